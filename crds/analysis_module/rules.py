"""What the fields of one part of a spec may not say together.

A rule is run on a part that reads well; it yields the field at fault, what is wrong, and the mend.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

from analysis_module import spec, wording

Finding = tuple[str, str, str]
"""Path inside the part ("" = the part itself), what is wrong, how to mend it."""

_SERVER = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")
CREDENTIALS = r"[a-z0-9]+://[^/]*@"
"""How a URL begins that names a user or a password."""
_RESERVED = ("_data_quality", "_topics")


@dataclasses.dataclass(frozen=True)
class Rule:
    """A check of one kind of part; `needs` are the JSON names of the fields that must be sound for it."""

    part: type
    needs: tuple[str, ...]
    check: Callable[[Any], Iterator[Finding]]


def _bootstrap_servers(kafka: spec.Kafka) -> Iterator[Finding]:
    for index, server in enumerate(kafka.bootstrap_servers):
        match = _SERVER.fullmatch(server)
        here = f"bootstrapServers[{index}]"
        if match is None:
            told = "the text" if "@" in server else wording.shown(server)  # it may hold a password
            yield here, f"{told} is not of the form host:port", "give a host and a port, as in kafka:9092"
        elif not 1 <= int(match[1]) <= 65_535:
            yield here, f"there is no port {match[1]}", "give a port from 1 to 65535"


def _sasl(security: spec.Security) -> Iterator[Finding]:
    protocol, mechanism = security.protocol, security.mechanism
    if not protocol.startswith("SASL_"):
        for name in ("mechanism", "username", "password", "token"):
            if getattr(security, name) is not None:
                yield name, f"is of no use with protocol {protocol}", "say SASL_SSL, or remove it"
    elif mechanism is None:
        yield "mechanism", f"is missing, which {protocol} needs", "name a SASL mechanism, as SCRAM-SHA-512"
    elif mechanism is spec.SaslMechanism.OAUTHBEARER:
        if security.token is None:
            yield "token", "is missing, which OAUTHBEARER needs", "say where the token is read from"
    else:
        for name in ("username", "password"):
            if getattr(security, name) is None:
                yield name, f"is missing, which {mechanism} needs", f"say where the {name} is read from"


def _tls(security: spec.Security) -> Iterator[Finding]:
    if not security.protocol.endswith("SSL"):
        for name, source in (
            ("ca", security.ca),
            ("certificate", security.certificate),
            ("privateKey", security.private_key),
        ):
            if source is not None:
                mend = "say SSL or SASL_SSL, or remove it"
                yield name, f"is of no use with protocol {security.protocol}", mend
    if security.certificate is None and security.private_key is not None:
        yield "certificate", "is missing, which privateKey needs", "give both or neither"
    if security.private_key is None and security.certificate is not None:
        yield "privateKey", "is missing, which certificate needs", "give both or neither"


def _secret_source(source: spec.SecretSource) -> Iterator[Finding]:
    secret = source.secret_name is not None or source.key is not None
    ways = [secret, source.file is not None, source.env is not None]
    if sum(ways) != 1:
        wrong = "names more than one source" if any(ways) else "names no source"
        yield "", wrong, "give exactly one of secretName with key, file, env"
    elif secret and source.secret_name is None:
        yield "secretName", "is missing, which key needs", "name the Secret"
    elif secret and source.key is None:
        yield "key", "is missing, which secretName needs", "name the key in the Secret"


def _station_key(station_key: spec.StationKey) -> Iterator[Finding]:
    if not station_key.fields:
        yield "fields", "is empty, so that no record has a station", "name a field, or leave the list out"


def _field_names(asked: spec.Input) -> Iterator[Finding]:
    given = set(asked.fields or ())
    for index, name in enumerate(asked.fields or ()):
        base = name.removesuffix("_window")
        if name in _RESERVED:
            yield f"fields[{index}]", f"{name} is a key of module_input's own", "give it another name"
        elif base != name and base in given:
            wrong = f"{name} is the key of the window of {base}"
            yield f"fields[{index}]", wrong, "give it another name"


def _interval(trigger: spec.Trigger) -> Iterator[Finding]:
    if trigger.policy is spec.TriggerPolicy.INTERVAL and trigger.interval_seconds is None:
        yield (
            "intervalSeconds",
            "is missing, which policy Interval needs",
            "give a number of seconds",
        )


def _callback(callback: spec.Callback) -> Iterator[Finding]:
    ways = {
        "entrypoint": callback.entrypoint,
        "configMapRef": callback.config_map_ref,
        "file": callback.file,
        "source": callback.source,
    }
    given = [name for name, value in ways.items() if value is not None]
    for name in given[1:]:
        yield name, f"is given beside {given[0]}", "keep one of entrypoint, configMapRef, file, source"


def _backoff(policy: spec.Errors) -> Iterator[Finding]:
    least, most = policy.backoff_seconds, policy.max_backoff_seconds
    if most < least:
        wrong = f"{most:g} is less than backoffSeconds, {least:g}"
        yield "maxBackoffSeconds", wrong, f"give {least:g} or more"


def _snapshots(snapshots: spec.Snapshots) -> Iterator[Finding]:
    if snapshots.url is not None and re.match(CREDENTIALS, snapshots.url):
        mend = "remove it, and give credentials by the worker's environment or its service account"
        yield "url", "names a user or a password before an @", mend


def _autoscaling(bounds: spec.Autoscaling) -> Iterator[Finding]:
    least, most = bounds.min_replicas, bounds.max_replicas
    if most < least:
        yield "maxReplicas", f"{most} is less than minReplicas, {least}", f"give {least} or more"


_SASL_FIELDS = ("protocol", "mechanism", "username", "password", "token")
_TLS_FIELDS = ("protocol", "ca", "certificate", "privateKey")

ALL = (
    Rule(spec.Kafka, ("bootstrapServers",), _bootstrap_servers),
    Rule(spec.Security, _SASL_FIELDS, _sasl),
    Rule(spec.Security, _TLS_FIELDS, _tls),
    Rule(spec.SecretSource, ("secretName", "key", "file", "env"), _secret_source),
    Rule(spec.StationKey, ("fields",), _station_key),
    Rule(spec.Input, ("fields",), _field_names),
    Rule(spec.Trigger, ("policy", "intervalSeconds"), _interval),
    Rule(spec.Callback, ("entrypoint", "configMapRef", "file", "source"), _callback),
    Rule(spec.Errors, ("backoffSeconds", "maxBackoffSeconds"), _backoff),
    Rule(spec.Snapshots, ("url",), _snapshots),
    Rule(spec.Autoscaling, ("minReplicas", "maxReplicas"), _autoscaling),
)
"""Every rule; reading applies those of a part's type."""
