"""Which Kafka a command feeds, and what becomes of its errors."""

import pytest

from analysis_module import errors, spec
from analysis_worker.commands import kafka_target
from analysis_worker.kafka import synchronous


def test_other_servers_leave_the_other_settings() -> None:
    kafka = spec.Kafka(bootstrap_servers=("old:1",), group_id="g")
    assert kafka_target.at_servers(kafka, "a:1,b:2") == spec.Kafka(
        bootstrap_servers=("a:1", "b:2"), group_id="g"
    )


def test_what_is_no_address_is_named_without_a_manifest_s_path() -> None:
    with pytest.raises(errors.InvalidSpec, match=r'^bootstrapServers\[0\]: "nothing" is not of the form'):
        kafka_target.at_servers(spec.Kafka(), "nothing")


def test_a_cluster_that_is_not_reached_gives_3(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise synchronous.Unreachable("no Kafka is reached")

    assert kafka_target.exit_code(work) == 3
    assert capsys.readouterr().err == "no Kafka is reached\n"


@pytest.mark.parametrize("error", [ValueError("wrong"), FileNotFoundError("wrong")])
def test_what_is_wrong_with_the_options_gives_2(capsys: pytest.CaptureFixture[str], error: Exception) -> None:
    def work() -> int:
        raise error

    assert kafka_target.exit_code(work) == 2
    assert capsys.readouterr().err == "wrong\n"
