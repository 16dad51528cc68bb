"""A dead letter is the record as it came, with its origin and the reason in headers."""

from typing import Any

from analysis_worker.engine import progress
from analysis_worker.engine.records import Refusal, TopicPartition
from analysis_worker.engine.taken import Refused
from analysis_worker.kafka import dead_letters, ports
from tests.builders import a_record


def a_refusal(**changes: Any) -> Refused:
    record = a_record(b"\xff broken", offset=41, key=b"S1", **changes)
    refusal = Refusal("invalid_utf8", "不是 UTF-8")
    return Refused(TopicPartition("POWER", 3), record, refusal, progress.Pending())


def test_a_dead_letter_has_the_records_key_and_value_and_headers_that_say_from_where_and_why() -> None:
    letter = dead_letters.dead_letter("module-dead-letters", "module", a_refusal())
    assert (letter.topic, letter.key, letter.value) == ("module-dead-letters", b"S1", b"\xff broken")
    assert dict(letter.headers) == {
        "dead-letter-topic": b"POWER",
        "dead-letter-partition": b"3",
        "dead-letter-offset": b"41",
        "dead-letter-error-type": b"invalid_utf8",
        "dead-letter-error": "不是 UTF-8".encode(),
        "dead-letter-module": b"module",
    }


def test_the_records_own_headers_are_kept_but_not_those_of_an_earlier_death() -> None:
    refused = a_refusal(headers=[("trace", b"1"), ("dead-letter-offset", b"5"), ("trace", b"2")])
    letter = dead_letters.dead_letter("letters", "module", refused)
    assert [value for key, value in letter.headers if key == "trace"] == [b"1", b"2"]
    assert [value for key, value in letter.headers if key == "dead-letter-offset"] == [b"41"]


def test_a_tombstone_stays_one() -> None:
    refused = Refused(
        TopicPartition("POWER", 0), a_record(None), Refusal("null_value", "no value"), progress.Pending()
    )
    assert dead_letters.dead_letter("letters", "module", refused).value is None


def test_what_kafka_refuses_is_cut_and_says_how_long_it_was_and_why() -> None:
    message = ports.Message("OUT", b"S1", b"x" * 5_000, [("output-id", b"a/b")], 17)
    letter = dead_letters.too_large(message, "letters", "1000 bytes at most")
    assert letter is not None
    assert (letter.topic, letter.key, letter.value, letter.timestamp) == ("letters", b"S1", b"x" * 1024, 17)
    assert dict(letter.headers) == {
        "output-id": b"a/b",
        "dead-letter-truncated-from-bytes": b"5000",
        "dead-letter-error": b"1000 bytes at most",
    }


def test_what_was_cut_before_is_not_cut_again() -> None:
    message = ports.Message("OUT", b"S1", b"x" * 5_000)
    letter = dead_letters.too_large(message, "letters", "too large")
    assert letter is not None
    assert dead_letters.too_large(letter, "letters", "still too large") is None
