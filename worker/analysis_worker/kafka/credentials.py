"""A module's secrets as its files tell them now: read anew for each client, until they turn out to be wrong.

Files change while a worker runs: Kubernetes swaps the symbolic link of a mounted Secret, people write a new
one. What says that they changed is their content, never kept or shown otherwise than as a digest.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping

from analysis_module import spec
from analysis_worker.kafka import connecting, ports

Version = Mapping[str, str]
"""Setting, as kafka.security.password -> digest of its file's content; "" without a file to be read."""

_MOST_READS = 5


@dataclasses.dataclass(frozen=True)
class Reading:
    """Secrets that were read at one time, none before and another after a change."""

    version: Version
    connection: connecting.Connection


class Credentials:
    """The secrets of `kafka.security`; `taken` are those last taken over, at first those of now.

    It is `connecting.Connecting`: clients ask it each time that they connect. Raises KafkaSettingsError for
    a secret that is missing or cannot be used.
    """

    def __init__(self, kafka: spec.Kafka, group_id: str) -> None:
        self._security = kafka.security
        self._files = connecting.secret_files(kafka.security)
        self._base = connecting.connection_of(kafka, group_id)
        self._offered: Reading | None = None
        self._refused: Version | None = None
        self.taken = self.read()

    @property
    def watched(self) -> bool:
        """Whether there is any file whose content may change."""
        return bool(self._files)

    def version(self) -> Version:
        """What tells the files of now from those before."""
        return {setting: _digest(file) for setting, file in self._files.items()}

    def changed(self, version: Version) -> tuple[str, ...]:
        """The settings whose files are others than those taken over."""
        return tuple(setting for setting, digest in version.items() if digest != self.taken.version[setting])

    def read(self) -> Reading:
        """The secrets of now; raises KafkaSettingsError."""
        version = self.version()
        for _ in range(_MOST_READS):
            security = connecting.security_arguments(self._security)
            before, version = version, self.version()
            if before == version:
                return Reading(version, dataclasses.replace(self._base, security=security))
        raise connecting.KafkaSettingsError("kafka.security: its files change without an end; let them be")

    def current(self) -> connecting.Connection:
        """The connection to make now: as the files say, or as before while they say what was refused.

        Raises KafkaUnavailable that names the setting if a file is missing: it may come back.
        """
        if self._offered is not None:
            return self._offered.connection
        if self._refused is not None and self.version() == self._refused:
            return self.taken.connection
        try:
            return self.read().connection
        except connecting.KafkaSettingsError as error:
            raise ports.KafkaUnavailable(str(error)) from error

    # -- a change, step by step -------------------------------------------------------------------------

    def offer(self, reading: Reading) -> None:
        """Clients that connect from now on prove these."""
        self._offered = reading

    def take(self, reading: Reading) -> None:
        """They are right: what runs uses them."""
        self.taken, self._offered, self._refused = reading, None, None

    def refuse(self, version: Version) -> None:
        """They are wrong: while the files stay like this, clients use what was taken over before."""
        self._offered, self._refused = None, version


def _digest(file: pathlib.Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""
