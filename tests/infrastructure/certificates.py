"""A certificate authority of our own and what it signs for 127.0.0.1 and localhost, made by openssl."""

import dataclasses
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.infrastructure import programs

_KEY_OPTIONS = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A certificate and its private key (PKCS #8, no password), both PEM files."""

    certificate_file: Path
    key_file: Path

    def joined(self) -> Path:
        """One PEM file with the key and then the certificate, as Kafka's PEM key store wants it."""
        file = self.certificate_file.with_suffix(".pem")
        file.write_text(self.key_file.read_text() + self.certificate_file.read_text())
        return file


def make_authority(directory: Path, name: str) -> Certificate:
    """A new self-signed authority `name` with files in `directory`; raises Unavailable without openssl."""
    authority = _files(directory, name)
    # Python from 3.13 on trusts no authority that does not say what its key is for (VERIFY_X509_STRICT).
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl(["req", "-x509", *_KEY_OPTIONS, "-subj", f"/CN={name}", *usage, *_out(authority)])
    return authority


def issue(
    authority: Certificate,
    directory: Path,
    name: str,
    *,
    groups: Sequence[str] = (),
    hosts: Sequence[str] = (),
) -> Certificate:
    """A certificate for `name` signed by `authority`, fit for a server here and for a client.

    `groups` are its organizations, which Kubernetes takes for the groups of the user `name`; `hosts` are
    names and addresses that it serves at, as openssl spells them ("IP:192.0.2.1"), beside localhost.
    """
    issued = _files(directory, name)
    signer = ("-CA", str(authority.certificate_file), "-CAkey", str(authority.key_file))
    names = ("-addext", "subjectAltName=" + ",".join(["IP:127.0.0.1", "DNS:localhost", *hosts]))
    limits = ("-addext", "basicConstraints=critical,CA:FALSE")
    parts = [f"O={each}" for each in groups] + [f"CN={name}"]
    subject = ("-subj", "".join("/" + each.replace("/", "\\/") for each in parts))
    _openssl(["req", "-x509", *_KEY_OPTIONS, *subject, *_out(issued), *signer, *names, *limits])
    return issued


def _files(directory: Path, name: str) -> Certificate:
    return Certificate(directory / f"{name}.crt", directory / f"{name}.key")


def _out(files: Certificate) -> tuple[str, ...]:
    return "-out", str(files.certificate_file), "-keyout", str(files.key_file)


def _openssl(arguments: Sequence[str]) -> None:
    program = programs.require("openssl", package="openssl")
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed; version 3.0 or newer is needed:\n{done.stderr}")
