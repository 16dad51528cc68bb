"""A module's Kafka settings become client arguments; the guide's names are taken, or it is told why not."""

import pathlib
import ssl
import traceback
from typing import Any

import pytest
from aiokafka import errors

from analysis_module import names, reading, spec
from analysis_worker.kafka import connecting
from analysis_worker.kafka.connecting import KafkaSettingsError
from tests.infrastructure import certificates

GUIDE_CONSUMER = {
    "group_id": "data_analysis_group",
    "auto_offset_reset": "latest",
    "enable_auto_commit": True,
    "max_poll_records": 500,
    "session_timeout_ms": 30000,
    "request_timeout_ms": 40000,
    "heartbeat_interval_ms": 3000,
    "max_poll_interval_ms": 300000,
    "fetch_min_bytes": 1,
    "fetch_max_wait_ms": 500,
}
GUIDE_PRODUCER = {
    "acks": "all",
    "retries": 3,
    "compression_type": "gzip",
    "linger_ms": 10,
    "batch_size": 16384,
    "max_in_flight_requests_per_connection": 5,
    "buffer_memory": 33554432,
}


def settings(**changes: Any) -> spec.Kafka:
    kafka = {"bootstrapServers": ["one:9092", "two:9092"], **changes}
    return reading.read_spec({"module": "load_prediction", "kafka": kafka}).kafka


def connection(**changes: Any) -> connecting.Connection:
    return connecting.connection_of(settings(**changes), "group")


def test_the_brokers_and_the_group_are_taken_over() -> None:
    made = connection()
    assert (made.bootstrap_servers, made.group_id) == (("one:9092", "two:9092"), "group")
    for arguments in (made.source_arguments(), made.sink_arguments(), made.admin_arguments()):
        assert arguments["bootstrap_servers"] == ["one:9092", "two:9092"]
        assert arguments["security_protocol"] == "PLAINTEXT"


def test_a_reader_joins_no_group_and_commits_nothing_by_itself() -> None:
    arguments = connection().source_arguments()
    assert "group_id" not in arguments
    assert (arguments["enable_auto_commit"], arguments["auto_offset_reset"]) == (False, "none")


def test_a_writer_asks_all_replicas_and_writes_nothing_twice_by_itself() -> None:
    arguments = connection().sink_arguments()
    assert (arguments["acks"], arguments["enable_idempotence"]) == ("all", True)


def test_acks_of_one_replica_do_without_idempotence() -> None:
    arguments = connection(producer={"acks": 1}).sink_arguments()
    assert (arguments["acks"], arguments["enable_idempotence"]) == (1, False)


def test_the_guides_consumer_settings_are_used_where_they_mean_something() -> None:
    made = connection(consumer=GUIDE_CONSUMER)
    assert made.max_poll_records == 500
    assert made.source_arguments()["request_timeout_ms"] == 40000
    assert made.source_arguments()["fetch_min_bytes"] == 1


def test_a_setting_without_use_gives_one_warning_with_its_name_and_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connection(consumer=GUIDE_CONSUMER, producer=GUIDE_PRODUCER)
    told = [record.getMessage() for record in caplog.records]
    named = [message.split()[0] for message in told]
    assert sorted(named) == [
        "kafka.consumer.enable_auto_commit",
        "kafka.consumer.heartbeat_interval_ms",
        "kafka.consumer.max_poll_interval_ms",
        "kafka.consumer.session_timeout_ms",
        "kafka.producer.buffer_memory",
        "kafka.producer.linger_ms",
        "kafka.producer.max_in_flight_requests_per_connection",
        "kafka.producer.retries",
    ]
    assert all("is ignored: " in message for message in told)


def test_the_guides_producer_settings_are_used_where_they_mean_something() -> None:
    made = connection(producer=GUIDE_PRODUCER)
    assert made.sink_arguments()["compression_type"] == "gzip"
    assert made.batch_bytes >= 16384


def test_an_unknown_setting_is_no_error_but_told(caplog: pytest.LogCaptureFixture) -> None:
    made = connection(consumer={"sesion_timeout_ms": 5})
    assert "kafka.consumer.sesion_timeout_ms is ignored: it is not a setting" in caplog.text
    assert "sesion_timeout_ms" not in made.source_arguments()


def test_a_connection_shows_no_secret_in_its_text(tmp_path: pathlib.Path) -> None:
    made = connection(security=sasl(tmp_path))
    assert "the-password" not in repr(made)


# -- secrets ----------------------------------------------------------------------------------------


def sasl(directory: pathlib.Path, **changes: Any) -> dict[str, Any]:
    for name, text in {"user": "worker", "password": "the-password\n"}.items():
        (directory / name).write_text(text, encoding="utf-8")
    return {
        "protocol": "SASL_PLAINTEXT",
        "mechanism": "SCRAM-SHA-256",
        "username": {"file": str(directory / "user")},
        "password": {"file": str(directory / "password")},
        **changes,
    }


def test_user_and_password_are_read_from_files_without_the_line_end(tmp_path: pathlib.Path) -> None:
    security = connection(security=sasl(tmp_path)).security
    assert security == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "worker",
        "sasl_plain_password": "the-password",
    }


def test_a_password_may_come_from_the_environment(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PASSWORD", "from-outside")
    made = connection(security=sasl(tmp_path, password={"env": "MY_PASSWORD"}))
    assert made.security["sasl_plain_password"] == "from-outside"


def test_a_missing_environment_variable_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KafkaSettingsError, match=r"kafka\.security\.password: .* MY_ABSENT; set it"):
        connection(security=sasl(tmp_path, password={"env": "MY_ABSENT"}))


def test_a_missing_file_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KafkaSettingsError, match=r"kafka\.security\.username: no file .*absent"):
        connection(security=sasl(tmp_path, username={"file": str(tmp_path / "absent")}))


def test_a_secrets_key_is_looked_for_where_it_is_mounted(tmp_path: pathlib.Path) -> None:
    source = {"secretName": "kafka-login", "key": "password"}
    with pytest.raises(KafkaSettingsError, match=names.secret_path("kafka-login", "password")):
        connection(security=sasl(tmp_path, password=source))


async def test_a_bearer_token_is_read_anew_each_time_it_is_asked_for(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n", encoding="utf-8")
    security = {"protocol": "SASL_SSL", "mechanism": "OAUTHBEARER", "token": {"file": str(file)}}
    provider = connection(security=security).security["sasl_oauth_token_provider"]
    assert await provider.token() == "first"
    file.write_text("second", encoding="utf-8")
    assert await provider.token() == "second"


async def test_a_bearer_token_that_is_gone_is_a_connection_that_fails_and_named(
    tmp_path: pathlib.Path,
) -> None:
    file = tmp_path / "token"
    file.write_text("first", encoding="utf-8")
    security = {"protocol": "SASL_SSL", "mechanism": "OAUTHBEARER", "token": {"file": str(file)}}
    provider = connection(security=security).security["sasl_oauth_token_provider"]
    file.unlink()
    with pytest.raises(errors.KafkaConnectionError, match=r"kafka\.security\.token: no file"):
        await provider.token()


def test_a_secret_that_is_no_text_is_named_and_no_part_of_it_shown(tmp_path: pathlib.Path) -> None:
    security = sasl(tmp_path)
    (tmp_path / "password").write_bytes(b"the-pass\xffword")
    with pytest.raises(KafkaSettingsError, match=r"kafka\.security\.password: .* is not UTF-8") as raised:
        connection(security=security)
    assert "the-pass" not in "".join(traceback.format_exception(raised.value))


def test_a_secret_that_cannot_be_read_is_named(tmp_path: pathlib.Path) -> None:
    unreadable = "/proc/self/mem"  # even for the superuser: there is nothing at its beginning
    with pytest.raises(KafkaSettingsError, match=r"kafka\.security\.username: .*mount the secret"):
        connection(security=sasl(tmp_path, username={"file": unreadable}))


# -- which files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "mechanism", "used"),
    [
        ("PLAINTEXT", None, set()),
        ("SSL", None, {"ca", "certificate", "privateKey"}),
        ("SASL_PLAINTEXT", "PLAIN", {"username", "password"}),
        ("SASL_SSL", "SCRAM-SHA-512", {"username", "password", "ca", "certificate", "privateKey"}),
        ("SASL_PLAINTEXT", "OAUTHBEARER", {"token"}),
    ],
)
def test_the_files_of_secrets_are_those_that_the_protocol_and_mechanism_use(
    protocol: str, mechanism: str | None, used: set[str]
) -> None:
    security = spec.Security(
        protocol=spec.SecurityProtocol(protocol),
        mechanism=spec.SaslMechanism(mechanism) if mechanism else None,
        username=spec.SecretSource(file="/secrets/username"),
        password=spec.SecretSource(file="/secrets/password"),
        token=spec.SecretSource(file="/secrets/token"),
        ca=spec.SecretSource(file="/secrets/ca"),
        certificate=spec.SecretSource(file="/secrets/certificate"),
        private_key=spec.SecretSource(file="/secrets/privateKey"),
    )
    files = connecting.secret_files(security)
    assert files == {f"kafka.security.{name}": pathlib.Path(f"/secrets/{name}") for name in used}


def test_a_text_in_a_variable_has_no_file_but_a_path_in_one_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CA_PATH", "/secrets/ca.pem")
    security = spec.Security(
        protocol=spec.SecurityProtocol.SASL_SSL,
        mechanism=spec.SaslMechanism.PLAIN,
        username=spec.SecretSource(env="USER_NAME"),
        password=spec.SecretSource(secret_name="login", key="password"),
        ca=spec.SecretSource(env="CA_PATH"),
    )
    assert connecting.secret_files(security) == {
        "kafka.security.password": pathlib.Path(names.secret_path("login", "password")),
        "kafka.security.ca": pathlib.Path("/secrets/ca.pem"),
    }


# -- TLS --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificate:
    return certificates.make_authority(tmp_path_factory.mktemp("tls"), "authority")


def test_tls_trusts_the_authority_that_is_given(authority: certificates.Certificate) -> None:
    security = {"protocol": "SSL", "ca": {"file": str(authority.certificate_file)}}
    context: ssl.SSLContext = connection(security=security).security["ssl_context"]
    assert [ca["subject"] for ca in context.get_ca_certs()] == [((("commonName", "authority"),),)]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_tls_may_leave_the_host_name_unchecked_but_never_the_certificate(
    authority: certificates.Certificate,
) -> None:
    ca = {"file": str(authority.certificate_file)}
    made = connection(security={"protocol": "SSL", "ca": ca, "checkHostname": False})
    context: ssl.SSLContext = made.security["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_a_client_certificate_that_is_no_certificate_is_refused_by_its_setting(
    authority: certificates.Certificate, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "no.pem").write_text("nonsense", encoding="utf-8")
    security = {
        "protocol": "SSL",
        "ca": {"file": str(authority.certificate_file)},
        "certificate": {"file": str(tmp_path / "no.pem")},
        "privateKey": {"file": str(authority.key_file)},
    }
    with pytest.raises(KafkaSettingsError, match=r"kafka\.security\.certificate"):
        connection(security=security)


def test_an_authority_that_is_no_certificate_is_refused_by_its_setting(tmp_path: pathlib.Path) -> None:
    (tmp_path / "no.pem").write_text("nonsense", encoding="utf-8")
    with pytest.raises(KafkaSettingsError, match=r"kafka\.security\.ca"):
        connection(security={"protocol": "SSL", "ca": {"file": str(tmp_path / "no.pem")}})
