"""The rules of single parts in the CRD: what `rules` says, and what no pod may have."""

from collections.abc import Mapping
from typing import Any

from analysis_module import cel, names, rules, spec, wording

_HOST = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\]"
_SERVER = cel.form(rf"(?:{_HOST}):[0-9]{{1,5}}")
_PORT = 'int(self.substring(self.lastIndexOf(":") + 1))'

_SERVERS = (
    cel.Rule(
        f"self.matches({_SERVER})",
        "bootstrapServers has a text not of the form host:port; give a host and a port, as in kafka:9092",
    ),
    cel.Rule(
        f"!self.matches({_SERVER}) || ({_PORT} >= 1 && {_PORT} <= 65535)",
        "bootstrapServers names a port that there is not; give a port from 1 to 65535",
    ),
)

_SASL, _TLS = 'self.protocol.startsWith("SASL_")', 'self.protocol.endsWith("SSL")'
_MECHANISM = f"{_SASL} && has(self.mechanism) && self.mechanism"
_PROTOCOL = '"protocol " + self.protocol'

_SECURITY = (
    *(
        cel.useless(field, f"!{_SASL}", _PROTOCOL, "say SASL_SSL, or remove it")
        for field in ("mechanism", "username", "password", "token")
    ),
    *(
        cel.useless(field, f"!{_TLS}", _PROTOCOL, "say SSL or SASL_SSL, or remove it")
        for field in ("ca", "certificate", "privateKey")
    ),
    cel.missing("mechanism", _SASL, "SASL", "name a SASL mechanism, as SCRAM-SHA-512", "self.protocol"),
    cel.missing("token", f'{_MECHANISM} == "OAUTHBEARER"', "OAUTHBEARER", "say where the token is read from"),
    *(
        cel.missing(
            field,
            f'{_MECHANISM} != "OAUTHBEARER"',
            "this mechanism",
            f"say where the {field} is read from",
            "self.mechanism",
        )
        for field in ("username", "password")
    ),
    cel.missing("certificate", "has(self.privateKey)", "privateKey", "give both or neither"),
    cel.missing("privateKey", "has(self.certificate)", "certificate", "give both or neither"),
)


_SOURCES = (
    "[has(self.secretName) || has(self.key), has(self.file), has(self.env)].filter(given, given).size()"
)
_ONE_SOURCE = "give exactly one of secretName with key, file, env"

_SECRET_SOURCE = (
    cel.Rule(f"{_SOURCES} > 0", f"secretName, file and env are missing; {_ONE_SOURCE}", reason=cel.REQUIRED),
    cel.Rule(f"{_SOURCES} < 2", f"secretName, file, env: more than one; {_ONE_SOURCE}", reason=cel.FORBIDDEN),
    cel.missing("secretName", "has(self.key)", "key", "name the Secret"),
    cel.missing("key", "has(self.secretName)", "secretName", "name the key in the Secret"),
)

_STATION_KEY = (
    cel.Rule(
        "size(self.fields) > 0",
        "fields is empty, so that no record has a station; name a field, or leave the list out",
        "fields",
    ),
)

_TRIGGER = (
    cel.missing(
        "intervalSeconds", 'self.policy == "Interval"', "policy Interval", "give a number of seconds"
    ),
)

_WAYS = ", ".join(f"has(self.{way})" for way in ("entrypoint", "configMapRef", "file", "source"))

_CALLBACK = (
    cel.Rule(
        f"[{_WAYS}].filter(given, given).size() < 2",
        "entrypoint, configMapRef, file, source: more than one is given; keep one of them",
        reason=cel.FORBIDDEN,
    ),
)

_ERRORS = (
    cel.Rule(
        "self.maxBackoffSeconds >= self.backoffSeconds",
        "maxBackoffSeconds is less than backoffSeconds; give as much or more",
        "maxBackoffSeconds",
    ),
)

_SNAPSHOTS = (
    cel.Rule(
        f"!has(self.url) || !self.url.matches({cel.text(f'^{rules.CREDENTIALS}')})",
        "url names a user or a password before an @; "
        "remove it, and give credentials by the worker's environment or its service account",
        "url",
        cel.FORBIDDEN,
    ),
)

_AUTOSCALING = (
    cel.Rule(
        "self.maxReplicas >= self.minReplicas",
        "maxReplicas is less than minReplicas; give as many or more",
        "maxReplicas",
    ),
)

# Of an edit of replicas only: who lowers maxReplicas need not know how many workers there are just now.
_WORKERS = (
    cel.Rule(
        "!has(self.autoscaling) || self.replicas == oldSelf.replicas"
        " || self.replicas <= self.autoscaling.maxReplicas",
        "replicas is more than autoscaling.maxReplicas; lower it, raise maxReplicas, or remove autoscaling",
        "replicas",
    ),
)

_NOT_RESTRICTED = "which Pod Security restricted does not allow; remove it"


def _no_host(field: str) -> cel.Rule:
    return cel.Rule(
        f"!has(self.spec) || !has(self.spec.{field}) || !self.spec.{field}",
        f"podTemplate sets {field}, {_NOT_RESTRICTED}",
        f"spec.{field}",
        cel.FORBIDDEN,
    )


def _not_privileged(field: str) -> cel.Rule:
    context = "each.securityContext"
    privileged = f"has({context}) && has({context}.privileged) && {context}.privileged"
    return cel.Rule(
        f"!has(self.spec) || !has(self.spec.{field}) || !self.spec.{field}.exists(each, {privileged})",
        f"podTemplate has privileged in {field}, {_NOT_RESTRICTED}",
        f"spec.{field}",
        cel.FORBIDDEN,
    )


_POD_TEMPLATE = (
    *(_no_host(field) for field in ("hostNetwork", "hostPID", "hostIPC")),
    *(_not_privileged(field) for field in ("containers", "initContainers")),
)

_OBJECT = (
    cel.Rule(
        f"self.metadata.name.matches({cel.form(names.RESOURCE_NAME_PATTERN)})",
        "metadata.name leaves no room for the names of what is made for it; "
        f"give {wording.form(names.RESOURCE_NAME_PATTERN)}",
    ),
)

_MODULE_NAME = (
    cel.Rule(
        "self == oldSelf",
        "module cannot change: another one has other topics, windows and progress; make a new AnalysisModule",
        reason=cel.FORBIDDEN,
    ),
)

PARTS: Mapping[type, tuple[cel.Rule, ...]] = {
    spec.Security: _SECURITY,
    spec.SecretSource: _SECRET_SOURCE,
    spec.StationKey: _STATION_KEY,
    spec.Trigger: _TRIGGER,
    spec.Callback: _CALLBACK,
    spec.Errors: _ERRORS,
    spec.Snapshots: _SNAPSHOTS,
    spec.Autoscaling: _AUTOSCALING,
    spec.Workers: _WORKERS,
}
"""The rules of each kind of part, wherever it stands."""

PLACES: Mapping[str, tuple[cel.Rule, ...]] = {
    "": _OBJECT,
    "spec.module": _MODULE_NAME,
    "spec.kafka.bootstrapServers[]": _SERVERS,
    "spec.workers.podTemplate": _POD_TEMPLATE,
}
"""The rules of one place: a path, with [] for an item of a list and "" for the whole object."""


def _open(**properties: Mapping[str, Any]) -> dict[str, Any]:
    """An object of which only these fields are known, and any other is kept."""
    return {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": properties}


def _pod_template() -> dict[str, Any]:
    flag = {"type": "boolean"}
    container = _open(securityContext=_open(privileged=flag))
    containers = {"type": "array", "maxItems": 32, "items": container}
    listed = {"containers": containers, "initContainers": containers}
    return _open(spec=_open(hostNetwork=flag, hostPID=flag, hostIPC=flag, **listed))


KNOWN_INSIDE: Mapping[str, Mapping[str, Any]] = {"spec.workers.podTemplate": _pod_template()}
"""Path -> what the rules must see inside an object of the user's own."""
