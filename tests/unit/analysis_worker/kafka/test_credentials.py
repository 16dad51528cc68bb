"""Secrets are what their files say at each connection, but not while that is known to be wrong."""

import pathlib

import pytest

from analysis_module import reading, spec
from analysis_worker.kafka import connecting, credentials, ports
from tests.infrastructure.mounted_secret import MountedSecret

PASSWORD = "kafka.security.password"


@pytest.fixture
def secret(tmp_path: pathlib.Path) -> MountedSecret:
    return MountedSecret(tmp_path / "secret", user="worker", password="first\n")


def settings(secret: MountedSecret) -> spec.Kafka:
    security = {
        "protocol": "SASL_PLAINTEXT",
        "mechanism": "PLAIN",
        "username": secret.source("user"),
        "password": secret.source("password"),
    }
    consumer = {"fetch_min_bytes": 1, "session_timeout_ms": 9}
    kafka = {"bootstrapServers": ["one:9092"], "security": security, "consumer": consumer}
    return reading.read_spec({"module": "load_prediction", "kafka": kafka}).kafka


@pytest.fixture
def made(secret: MountedSecret) -> credentials.Credentials:
    return credentials.Credentials(settings(secret), "group")


def password(made: credentials.Credentials) -> str:
    return str(made.current().security["sasl_plain_password"])


def test_each_connection_is_made_with_what_the_files_say_then(
    secret: MountedSecret, made: credentials.Credentials
) -> None:
    assert password(made) == "first"
    secret.change(password="second")
    assert password(made) == "second"
    assert made.taken.connection.security["sasl_plain_password"] == "first", "which is not taken over by that"


def test_all_else_of_the_connection_stays_and_its_settings_are_told_of_once(
    secret: MountedSecret, caplog: pytest.LogCaptureFixture
) -> None:
    made = credentials.Credentials(settings(secret), "group")
    secret.change(password="second")
    assert made.current().source_arguments()["fetch_min_bytes"] == 1
    assert made.current().group_id == "group"
    assert caplog.text.count("session_timeout_ms is ignored") == 1


def test_what_has_changed_is_told_by_the_settings_names(
    secret: MountedSecret, made: credentials.Credentials
) -> None:
    assert made.watched
    assert made.changed(made.version()) == ()
    secret.change(password="second")
    assert made.changed(made.version()) == (PASSWORD,)
    secret.change(user="another")
    assert made.changed(made.version()) == ("kafka.security.username", PASSWORD)
    secret.change(password="first\n", user="worker")
    assert made.changed(made.version()) == ()


def test_the_same_text_written_anew_is_no_change(
    secret: MountedSecret, made: credentials.Credentials
) -> None:
    secret.change()
    assert made.version() == made.taken.version


def test_a_version_shows_no_secret(made: credentials.Credentials) -> None:
    assert "first" not in str(made.version())
    assert "first" not in repr(made.read())


def test_a_file_that_is_gone_is_a_change_and_no_connection_now(
    secret: MountedSecret, made: credentials.Credentials
) -> None:
    secret.remove("password")
    assert made.changed(made.version()) == (PASSWORD,)
    with pytest.raises(ports.KafkaUnavailable, match=r"kafka\.security\.password: no file"):
        made.current()
    with pytest.raises(connecting.KafkaSettingsError, match=r"kafka\.security\.password: no file"):
        made.read()


def test_without_its_file_there_is_no_beginning(secret: MountedSecret) -> None:
    secret.remove("user")
    with pytest.raises(connecting.KafkaSettingsError, match=r"kafka\.security\.username: no file"):
        credentials.Credentials(settings(secret), "group")


def test_what_is_offered_is_used_until_it_is_refused_and_then_what_was_taken_over(
    secret: MountedSecret, made: credentials.Credentials
) -> None:
    secret.change(password="second")
    reading = made.read()
    secret.change(password="third")
    made.offer(reading)
    assert password(made) == "second"
    made.refuse(made.version())
    assert password(made) == "first", "for the third is refused"
    secret.change(password="fourth")
    assert password(made) == "fourth", "which nobody has refused yet"


def test_what_is_refused_may_be_taken_over_after_all(
    secret: MountedSecret, made: credentials.Credentials
) -> None:
    secret.change(password="second")
    made.refuse(made.version())
    reading = made.read()
    made.offer(reading)
    made.take(reading)
    assert password(made) == "second"
    assert made.changed(made.version()) == ()


def test_secrets_are_read_again_if_their_files_change_meanwhile(
    secret: MountedSecret, made: credentials.Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the user of before might be proven with the password of after."""
    read = connecting.security_arguments
    changes = iter([{"password": "second", "user": "another"}])

    def interrupted(security: spec.Security) -> dict[str, object]:
        arguments = read(security)
        secret.change(**next(changes, {}))
        return arguments

    monkeypatch.setattr(connecting, "security_arguments", interrupted)
    security = made.read().connection.security
    assert (security["sasl_plain_username"], security["sasl_plain_password"]) == ("another", "second")


def test_files_that_never_rest_are_refused(
    secret: MountedSecret, made: credentials.Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, numbers = connecting.security_arguments, iter(range(100))

    def interrupted(security: spec.Security) -> dict[str, object]:
        secret.change(password=str(next(numbers)))
        return read(security)

    monkeypatch.setattr(connecting, "security_arguments", interrupted)
    with pytest.raises(connecting.KafkaSettingsError, match=r"kafka\.security: its files change"):
        made.read()


def test_without_secrets_in_files_there_is_nothing_to_look_at() -> None:
    made = credentials.Credentials(spec.Kafka(bootstrap_servers=("one:9092",)), "group")
    assert not made.watched
    assert made.version() == {}
    assert made.current() == made.taken.connection
