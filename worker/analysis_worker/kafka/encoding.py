"""Results to JSON, outputs to Kafka records (seed system 5.4)."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import orjson

from analysis_module import spec
from analysis_worker.engine import inputs, views
from analysis_worker.engine.stations import Trigger

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS


def encode_json(value: Any) -> bytes:
    """UTF-8 JSON: numpy values and windows as plain JSON, non-finite floats as null.

    Raises TypeError naming the type that JSON has no form for.
    """
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except TypeError as error:
        if error.__cause__ is not None:
            raise error.__cause__ from None
        # Refused by the encoder itself: integers beyond 64 bits and numpy keys do have a JSON form.
        return msgspec.json.encode(_with_text_keys(value), enc_hook=_plain)


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {_text_key(key): _with_text_keys(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_text_keys(inner) for inner in value]
    return value


def _text_key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, int | float | np.generic):
        return msgspec.json.encode(key, enc_hook=_plain).decode().strip('"')
    raise TypeError(f"a result's key of type {type(key).__name__} has no JSON form; use text")


def _plain(value: Any) -> Any:
    if isinstance(value, views.Window):
        return value.tolist()
    if isinstance(value, inputs.ModuleInput):
        return value.plain()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    raise TypeError(
        f"a result of type {type(value).__name__} has no JSON form; return dicts, lists, numbers, text"
    )


def encode_output(module: str, trigger: Trigger, result: Any, envelope: spec.Envelope) -> bytes:
    """The value of an output record; `timestamp` is the triggering record's, in s."""
    station = "stationId" if envelope is spec.Envelope.STANDARD else "station_id"
    return encode_json(
        {
            station: trigger.station.id,
            "module": module,
            "output": result,
            "timestamp": trigger.timestamp / 1000,
        }
    )


def output_id(module: str, trigger: Trigger) -> str:
    """The deterministic id of a trigger's output: the same each time the record is taken."""
    return f"{_id_prefix(module, trigger)}{trigger.offset}"


def output_ids(module: str, triggers: Sequence[Trigger]) -> list[bytes]:
    """The ids of one station's triggers, in order."""
    ids = []
    batch, prefix = None, b""
    for trigger in triggers:
        if trigger.batch is not batch:
            batch, prefix = trigger.batch, _id_prefix(module, trigger).encode()
        ids.append(b"%b%d" % (prefix, trigger.offset))
    return ids


def _id_prefix(module: str, trigger: Trigger) -> str:
    origin = trigger.batch.origin
    return f"{module}/{trigger.station.id}/{origin.topic}/{origin.partition}/"
