"""Records that cannot be used, on their way to the dead-letter topic with their origin."""

from typing import Final

from analysis_module import names
from analysis_worker.engine.taken import Refused
from analysis_worker.kafka import ports

HEADER_CUT: Final = "dead-letter-truncated-from-bytes"
_KEPT_BYTES: Final = 1024


def dead_letter(topic: str, module: str, refused: Refused) -> ports.Message:
    """The record as it came, with headers that say from where, why, and by whom it was refused."""
    headers = [
        (names.HEADER_DEAD_LETTER_TOPIC, refused.origin.topic.encode()),
        (names.HEADER_DEAD_LETTER_PARTITION, str(refused.origin.partition).encode()),
        (names.HEADER_DEAD_LETTER_OFFSET, str(refused.record.offset).encode()),
        (names.HEADER_DEAD_LETTER_ERROR_TYPE, refused.refusal.error_type.encode()),
        (names.HEADER_DEAD_LETTER_ERROR, str(refused.refusal).encode()),
        (names.HEADER_DEAD_LETTER_MODULE, module.encode()),
    ]
    kept = [(key, value) for key, value in refused.record.headers if not key.startswith("dead-letter-")]
    record = refused.record
    return ports.Message(topic, record.key, record.value, headers + kept)


def too_large(message: ports.Message, topic: str, reason: str) -> ports.Message | None:
    """The dead letter of a record that Kafka refuses to take, None if it is one itself.

    Its value is cut; headers say how long it was and why it was refused.
    """
    if any(key == HEADER_CUT for key, _ in message.headers):
        return None
    value = message.value or b""
    headers = [(key, content) for key, content in message.headers if key != names.HEADER_DEAD_LETTER_ERROR]
    headers += [
        (HEADER_CUT, str(len(value)).encode()),
        (names.HEADER_DEAD_LETTER_ERROR, reason.encode()),
    ]
    return ports.Message(topic, message.key, value[:_KEPT_BYTES], headers, message.timestamp)
