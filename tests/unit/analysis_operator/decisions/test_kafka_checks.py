"""What is amiss with a module's Kafka, by the operator's look and the workers' word, and the mend."""

from typing import Any

import pytest

from analysis_module import catalogue, reading
from analysis_operator.decisions import kafka_checks
from analysis_operator.decisions.kafka_checks import Finding
from analysis_operator.decisions.observed import KafkaView, Report
from tests.unit.analysis_operator import fleets

ALIGNED = fleets.a_spec(
    inputs=[
        {"topic": "POWER", "fields": ["power"], "windowSize": 3},
        {"topic": "PRICE", "fields": ["p"], "windowSize": 1},
    ],
    dependencies=[{"module": "other", "topic": "OTHER-OUTPUT"}],
    partitioning={"slots": 8, "routing": "Aligned"},
)
ALL = {"POWER": 8, "PRICE": 8, "OTHER-OUTPUT": 1}
UNSEEN = KafkaView()
AWAY = KafkaView(reached=False, error="connection refused")


def seen(**partitions: int) -> KafkaView:
    counts = {name.replace("_", "-"): count for name, count in partitions.items()}
    return KafkaView(reached=True, partitions=ALL | counts)


def without(topic: str) -> KafkaView:
    return KafkaView(reached=True, partitions={name: n for name, n in ALL.items() if name != topic})


def report(**said: Any) -> Report:
    given: dict[str, Any] = {"state": "running", "connected": True, **said}
    return Report(pod_uid="u", taken_at=0.0, owner="demo-0", epoch=1, **given)


def examine(view: KafkaView, *reports: Report, document: Any = ALIGNED) -> Finding:
    asked = reading.read_spec(document)
    return kafka_checks.examine(asked, catalogue.resolve(asked), view, reports)


CUT_OFF = report(connected=False)

TABLE: dict[str, tuple[Finding, bool | None, str, str]] = {
    "all is there": (examine(seen(), report()), True, "Reachable", "all of 3 topics are there"),
    "the operator alone sees it": (examine(seen()), True, "Reachable", "all of 3 topics"),
    "a worker alone sees it": (examine(UNSEEN, report()), True, "Reachable", "all of 3 topics"),
    "a worker sees what the operator does not reach": (examine(AWAY, report()), True, "Reachable", ""),
    "nobody has looked": (examine(UNSEEN), None, "NotLookedAt", "no credentials, and no worker has told"),
    "a worker that starts has not looked": (
        examine(UNSEEN, report(connected=False, state="starting")),
        None,
        "NotLookedAt",
        "",
    ),
    "nobody reaches it": (
        examine(AWAY, CUT_OFF),
        False,
        "Unreachable",
        "no Kafka at kafka:9092: connection refused; check spec.kafka.bootstrapServers",
    ),
    "no worker reaches what the operator does": (
        examine(seen(), CUT_OFF, CUT_OFF),
        False,
        "Unreachable",
        "2 workers have no connection to Kafka; see the workers' log; check spec.kafka",
    ),
    "one of two workers reaches it": (examine(seen(), CUT_OFF, report()), True, "Reachable", ""),
    "an input is missing": (
        examine(without("POWER")),
        False,
        "TopicsMissing",
        "topics that do not exist: POWER (with 8 partitions, for routing Aligned); create them",
    ),
    "a dependency's topic is missing": (
        examine(without("OTHER-OUTPUT")),
        False,
        "TopicsMissing",
        "OTHER-OUTPUT (the first worker of other creates it)",
    ),
    "a filtered input is missing": (
        examine(KafkaView(reached=True), document=fleets.SHORTEST),
        False,
        "TopicsMissing",
        "topics that do not exist: POWER; create them",
    ),
    "a worker misses one": (
        examine(UNSEEN, report(missing_topics=("PRICE", "foreign"))),
        False,
        "TopicsMissing",
        "topics that do not exist: PRICE (with",
    ),
    "the operator's eye is fresher than a worker's": (
        examine(seen(), report(missing_topics=("PRICE",))),
        True,
        "Reachable",
        "",
    ),
    "too few partitions": (
        examine(seen(PRICE=3)),
        False,
        "PartitionCount",
        "routing Aligned needs 8 partitions, but PRICE has 3; give it 8 partitions, or set routing: Filtered",
    ),
    "any number of a dependency's partitions": (examine(seen(OTHER_OUTPUT=5)), True, "Reachable", ""),
    "a worker cannot align": (
        examine(UNSEEN, report(misaligned_topics=("POWER",))),
        False,
        "PartitionCount",
        "POWER has another number",
    ),
    "what is missing before what is unequal": (
        examine(KafkaView(reached=True, partitions={"POWER": 3})),
        False,
        "TopicsMissing",
        "PRICE",
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_situation_is_judged_with_its_mend(name: str) -> None:
    found, good, reason, said = TABLE[name]
    assert (found.good, found.reason) == (good, reason)
    assert said in found.message
