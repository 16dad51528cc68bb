"""Streams gone wrong on purpose, and counted: late, doubled and broken records; and bytes only hostile.

Whatever is called broken or hostile here must be refused under the seed system 2.1 on every topic but the
Global one: not UTF-8, not JSON, not an object, no station id, or an object where a scalar belongs. What
that contract accepts (fields unknown or absent, any scalar in any field) is never called hostile.
"""

import collections
import dataclasses
import heapq
import itertools
import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping

from analysis_worker import simulation

HUGE_BYTES = 1_000_000
"""Just under what a broker takes by default, so that a huge record arrives."""
LATENESS_MS = (1_000, 10_000)
"""By how much stream time a late record is held back."""
FIRST_BROKEN_WITHIN = 50
"""A stream's first broken record comes this early, so that a short look at a demo sees one."""
ID_FIELDS = ("stationId", "hostId", "meterId", "station_id", "host_id", "hostCode", "meter_id")
"""Where a station id is looked for (seed system 2.1)."""
SCALAR_FIELDS = (
    "hostId",
    "lat",
    "historyCurveStationAvg",
    "workdayCode",
    "currentPower",
    "gunStatus",
    "currentSOC",
    "gridPrice",
    "hostError",
    "acPower",
    "storageSOC",
    "pvId",
    "weatherSituationTomorrow",
)
"""At least one declared scalar field of each topic of the catalogue (seed system 2.3)."""

Payload = dict[str, object]


# ---- a stream with faults ----


class FaultInjector:
    """Spoils a seeded share of the records that pass and counts each kind in `injected`.

    late: held back and delivered, with its own timestamp, after newer ones. doubled: the same bytes twice.
    broken: a broken copy comes before the sound record, as from a producer that tried again, so that no
    station lacks what is sent only once. The Global calendar is never broken: it needs no station id.

    Counted in `injected` are `late`, `doubled` and the kinds of `BREAKAGES`; in `broken_by_topic` how many
    dead letters are due to whoever reads a topic.
    Raises ValueError for shares outside 0..1 or above 1 together.
    """

    def __init__(
        self, *, seed: int = 0, late: float = 0.01, doubled: float = 0.01, broken: float = 0.005
    ) -> None:
        _check_shares(late=late, doubled=doubled, broken=broken)
        self.injected: collections.Counter[str] = collections.Counter()
        self.broken_by_topic: collections.Counter[str] = collections.Counter()
        self._late, self._doubled, self._broken = late, doubled, broken
        self._chance = random.Random(f"{seed}/faults")
        self._first_broken_at = self._chance.randrange(FIRST_BROKEN_WITHIN)
        self._passed = 0
        self._newest_ms = 0
        self._held: list[tuple[int, int, simulation.SimulatedRecord]] = []

    @property
    def broken(self) -> int:
        """Return how many broken records were injected, of any kind and topic."""
        return self.broken_by_topic.total()

    def inject(self, record: simulation.SimulatedRecord) -> list[simulation.SimulatedRecord]:
        """Return what is delivered once `record` is sent: nothing yet, or it, its faults and late ones."""
        drawn = self._chance.random()
        first_broken = self._broken > 0 and self.broken == 0 and self._passed >= self._first_broken_at
        self._passed += 1
        if _breakable(record) and (first_broken or drawn < self._broken):
            return [self._break(record), *self._deliver(record)]
        drawn -= self._broken
        if 0.0 <= drawn < self._late:
            release_ms = record.timestamp_ms + self._chance.randint(*LATENESS_MS)
            heapq.heappush(self._held, (release_ms, self._passed, record))
            return []
        drawn -= self._late
        if 0.0 <= drawn < self._doubled:
            self.injected["doubled"] += 1
            return [record, *self._deliver(record)]
        return self._deliver(record)

    def drain(self) -> list[simulation.SimulatedRecord]:
        """Return the records still held back, at the end of a stream."""
        return self._release(math.inf)

    def _deliver(self, record: simulation.SimulatedRecord) -> list[simulation.SimulatedRecord]:
        self._newest_ms = max(self._newest_ms, record.timestamp_ms)
        return [record, *self._release(self._newest_ms)]

    def _release(self, until_ms: float) -> list[simulation.SimulatedRecord]:
        """Return the held records due by `until_ms`; late are those that newer ones have overtaken."""
        released = []
        while self._held and self._held[0][0] <= until_ms:
            record = heapq.heappop(self._held)[2]
            self.injected["late"] += record.timestamp_ms < self._newest_ms
            released.append(record)
        return released

    def _break(self, record: simulation.SimulatedRecord) -> simulation.SimulatedRecord:
        kind = self._chance.choices(list(BREAKAGES), weights=_BREAKAGE_WEIGHTS)[0]
        self.injected[kind] += 1
        self.broken_by_topic[record.topic] += 1
        return dataclasses.replace(record, value=BREAKAGES[kind](json.loads(record.value or b"{}")))


def spoiled(
    stream: Iterable[simulation.SimulatedRecord], injector: FaultInjector
) -> Iterator[simulation.SimulatedRecord]:
    """Yield a whole stream with the faults of `injector`; every record of it arrives in the end."""
    for record in stream:
        yield from injector.inject(record)
    yield from injector.drain()


def _check_shares(**shares: float) -> None:
    for name, share in shares.items():
        if not 0.0 <= share <= 1.0:
            raise ValueError(
                f"{name}: a share of {share!r} is not within 0..1; give 0.01 for one in a hundred"
            )
    if sum(shares.values()) > 1.0:
        raise ValueError(f"{', '.join(shares)}: the shares sum to more than 1; lower one")


def _breakable(record: simulation.SimulatedRecord) -> bool:
    return record.topic != simulation.CALENDAR and record.key is not None and record.value is not None


# ---- how one sound payload is broken ----


def _encoded(payload: Mapping[str, object]) -> bytes:
    """Return JSON in which a lone surrogate U+DCxx stands for the raw byte xx."""
    return json.dumps(payload, ensure_ascii=False).encode("utf-8", "surrogateescape")


def _nameless(payload: Payload) -> Payload:
    return {name: value for name, value in payload.items() if name not in ID_FIELDS}


def _not_utf8(payload: Payload) -> bytes:
    return _encoded({**payload, "stationId": "station-\udcff\udcfe"})


def _cut_short(payload: Payload) -> bytes:
    encoded = _encoded(payload)
    return encoded[: len(encoded) // 2]


def _nested(payload: Payload) -> bytes:
    """Wrap each scalar that is data; of a payload without one, the id."""
    data = [name for name, value in _nameless(payload).items() if not isinstance(value, list)]
    names = data or [name for name in payload if name in ID_FIELDS]
    return _encoded({**payload, **{name: {"value": payload[name]} for name in names}})


def _without_id(payload: Payload) -> bytes:
    return _encoded(_nameless(payload))


def _null(_payload: Payload) -> None:
    return None


def _huge(payload: Payload) -> bytes:
    """Without an id as well: no reader need have a limit in order to refuse it."""
    return _encoded({**_nameless(payload), "note": "x" * HUGE_BYTES})[: HUGE_BYTES - 2] + b'"}'


BREAKAGES: Mapping[str, Callable[[Payload], bytes | None]] = {
    "broken_utf8": _not_utf8,
    "broken_json": _cut_short,
    "no_station_id": _without_id,
    "nested": _nested,
    "null": _null,
    "huge": _huge,
}
"""Each kind of broken record: from a sound payload to a value that must be refused."""
_BREAKAGE_WEIGHTS = (5, 5, 5, 5, 5, 1)  # huge ones are few: a demo's broker keeps its log in memory


# ---- records that are only hostile ----


def hostile_records(count: int, seed: int) -> Iterator[bytes | None]:
    """Yield `count` values, every one to be refused on any topic but the Global one; None is a Kafka null.

    Each kind comes once, in turn, then all at random; huge ones are about one in a thousand.
    """
    chance = random.Random(f"{seed}/hostile")
    weights = [_HUGE_WEIGHT if kind is _hostile_huge else 1.0 for kind in _HOSTILE]
    drawn = (chance.choices(_HOSTILE, weights)[0] for _ in itertools.count())
    for kind in itertools.islice(itertools.chain(_HOSTILE, drawn), count):
        yield kind(chance)


def _id(chance: random.Random) -> str:
    return f"station-{chance.randint(1, 999):03d}"


def _in_every_field(chance: random.Random, literal: str) -> bytes:
    """Return an object with a sound id whose declared scalars are all `literal`, whichever topic reads it."""
    fields = ",".join(f'"{name}":{literal}' for name in SCALAR_FIELDS)
    return f'{{"stationId":"{_id(chance)}",{fields}}}'.encode()


def _hostile_utf8(chance: random.Random) -> bytes:
    raw = chance.choice(
        (b"\xff\xfe", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\x80")
    )
    sound = f'{{"stationId":"{_id(chance)}'.encode()
    return chance.choice((sound + raw + b'"}', raw + sound + b'"}', (sound.decode() + '"}').encode("utf-16")))


def _hostile_noise(chance: random.Random) -> bytes:
    return b"\xff" + chance.randbytes(chance.randint(0, 200))


def _hostile_syntax(chance: random.Random) -> bytes:
    name = _id(chance)
    broken = (
        f'{{"stationId":"{name}"',
        f'{{"stationId":"{name}",}}',
        f"{{'stationId':'{name}'}}",
        f'{{stationId:"{name}"}}',
        f'{{"stationId":"{name}"}}{{"stationId":"{name}"}}',
        f'{{"stationId":"{name}"}} // sent by the gateway',
        f'{{"stationId" "{name}"}}',
        f'{{"stationId":"{name}","lat":}}',
        f'[{{"stationId":"{name}"}}',
        f"stationId={name}",
    )
    return chance.choice(broken).encode()


def _hostile_not_a_number(chance: random.Random) -> bytes:
    return _in_every_field(chance, chance.choice(("NaN", "Infinity", "-Infinity", "nan")))


def _hostile_number(chance: random.Random) -> bytes:
    return _in_every_field(chance, chance.choice(("01", "+1", ".5", "1.", "0x10", "1e", "--1", "1_000")))


def _hostile_wrong_type(chance: random.Random) -> bytes:
    return _in_every_field(chance, chance.choice(("{}", '{"value":1}', '{"value":{"value":[1]}}')))


def _hostile_wrong_id(chance: random.Random) -> bytes:
    wrong = {chance.choice(ID_FIELDS[:3]): {"id": _id(chance)}, "currentSOC": chance.random()}
    return _encoded(wrong)


def _hostile_no_id(chance: random.Random) -> bytes:
    names = chance.sample(SCALAR_FIELDS[1:], k=chance.randint(0, 5))
    return _encoded({name: chance.random() for name in names})


def _hostile_null_id(chance: random.Random) -> bytes:
    names = chance.sample(ID_FIELDS, k=chance.randint(1, len(ID_FIELDS)))
    return _encoded({**{name: chance.choice((None, "")) for name in names}, "currentSOC": 40})


def _hostile_duplicate_keys(chance: random.Random) -> bytes:
    return b'{"stationId":null,"stationId":"","stationId":null,"currentSOC":%d}' % chance.randint(0, 100)


def _hostile_scalar(chance: random.Random) -> bytes:
    return chance.choice((b"0", b"-1.5", b"true", b"false", b'"station-001"', b'""', b"1e308"))


def _hostile_json_null(_chance: random.Random) -> bytes:
    return b"null"


def _hostile_array(chance: random.Random) -> bytes:
    return chance.choice((b"[1,2,3]", b"[null]", b'["station-001"]', b"[[]]", b"[{}]", b'[{"lat":30.1}]'))


def _hostile_empty(chance: random.Random) -> bytes:
    return chance.choice((b"", b" ", b"\n\t", b"{}", b"\x00", b"\x00" * 64))


def _hostile_kafka_null(_chance: random.Random) -> None:
    return None


def _hostile_deep(chance: random.Random) -> bytes:
    depth = chance.choice((200, 2_000, 20_000))
    shapes = (
        b"[" * depth + b"]" * depth,
        b"[" * depth,
        b'{"a":' * depth + b"1" + b"}" * depth,
        b'{"stationId":' * depth + b'"station-001"' + b"}" * depth,
    )
    return chance.choice(shapes)


def _hostile_integer(chance: random.Random) -> bytes:
    digits = b"9" * chance.choice((20, 400, 5_000))
    return chance.choice((digits, b"-" + digits, b"[" + digits + b"]", b'{"mileage":' + digits + b"}"))


def _hostile_huge(chance: random.Random) -> bytes:
    fields: Payload = {name: chance.random() for name in SCALAR_FIELDS[1:]}
    return chance.choice((_huge(fields), _huge({})[:-2], b"[" + b"0," * (HUGE_BYTES // 2 - 2) + b"0]"))


_HOSTILE: tuple[Callable[[random.Random], bytes | None], ...] = (
    _hostile_utf8,
    _hostile_noise,
    _hostile_syntax,
    _hostile_not_a_number,
    _hostile_number,
    _hostile_wrong_type,
    _hostile_wrong_id,
    _hostile_no_id,
    _hostile_null_id,
    _hostile_duplicate_keys,
    _hostile_scalar,
    _hostile_json_null,
    _hostile_array,
    _hostile_empty,
    _hostile_kafka_null,
    _hostile_deep,
    _hostile_integer,
    _hostile_huge,
)
_HUGE_WEIGHT = 0.017
