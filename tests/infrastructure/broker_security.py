"""The secured listeners of a test broker: their names, their settings, and the secrets that open them."""

import dataclasses
import secrets
from pathlib import Path

from tests.infrastructure import certificates

SASL = "SASL"
SASL_TLS = "SASLTLS"
TLS = "TLS"
MUTUAL_TLS = "MTLS"
PROTOCOLS = {SASL: "SASL_PLAINTEXT", SASL_TLS: "SASL_SSL", TLS: "SSL", MUTUAL_TLS: "SSL"}
"""Secured listener -> the value of `security.protocol` that its clients set."""

_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
_SCRAM_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Security:
    """What a client of the secured listeners needs, and the broker's own PEM key store."""

    user: str
    password: str
    ca_file: Path
    client: certificates.Certificate
    key_store: Path


def make(directory: Path) -> Security:
    """New secrets and certificates, files in `directory`; `programs.Unavailable` without openssl."""
    authority = certificates.make_authority(directory, "authority")
    return Security(
        user="worker",
        password=secrets.token_urlsafe(12),
        ca_file=authority.certificate_file,
        client=certificates.issue(authority, directory, "worker"),
        key_store=certificates.issue(authority, directory, "broker").joined(),
    )


def properties(security: Security) -> dict[str, str]:
    """The broker settings of the secured listeners (Kafka documentation, "Security")."""
    settings = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(security.key_store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(security.ca_file),
        f"listener.name.{MUTUAL_TLS.lower()}.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": ",".join(("PLAIN", *_SCRAM_MECHANISMS)),
    }
    for listener in (SASL, SASL_TLS):
        prefix = f"listener.name.{listener.lower()}"
        settings[f"{prefix}.plain.sasl.jaas.config"] = (
            f'{_PLAIN} required user_{security.user}="{security.password}";'
        )
        for mechanism in _SCRAM_MECHANISMS:
            settings[f"{prefix}.{mechanism.lower()}.sasl.jaas.config"] = f"{_SCRAM} required;"
    return settings


def format_options(security: Security) -> list[str]:
    """The options of Kafka's storage tool that store the SCRAM credentials before the first start."""
    login = f"[name={security.user},password={security.password}]"
    return [f"--add-scram={mechanism}={login}" for mechanism in _SCRAM_MECHANISMS]
