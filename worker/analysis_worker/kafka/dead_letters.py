"""Records that cannot be used, on their way to the dead-letter topic with their origin."""

from analysis_module import names
from analysis_worker.engine.intake import Refused
from analysis_worker.kafka import ports


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


def too_large(message: ports.Message) -> ports.Message:
    """The dead letter of a record that fits no batch: its value is cut, and a header says how long it was."""
    size = str(len(message.value or b"")).encode()
    headers = [*message.headers, ("dead-letter-truncated-from-bytes", size)]
    return ports.Message(
        message.topic, message.key, (message.value or b"")[:1024], headers, message.timestamp
    )
