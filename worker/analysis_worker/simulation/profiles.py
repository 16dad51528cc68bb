"""What an invented charging site is and how it behaves over a day and a year: functions of time and seed.

Times are epoch milliseconds; a site's own clock is UTC+8. Powers are kW, temperatures deg C, states of
charge %. The shapes are invented: plausible, smooth, and the same for the same seed.
"""

import dataclasses
import datetime
import enum
import functools
import math
import random

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
SITE_UTC_OFFSET_MS = 8 * HOUR_MS

TAPER_SOC = 80.0
"""A battery takes full power up to here (%), then less and less."""
FULL_SOC_SHARE = 0.1
"""The share of full power that is left at 100 %."""


# ---- the site ----


@dataclasses.dataclass(frozen=True)
class Gun:
    """One charging gun: its id is unique within the station."""

    host_id: str
    gun_id: str


@dataclasses.dataclass(frozen=True)
class Site:
    """What does not change about a station: ids, place (degrees), sizes (kW, kWh).

    `cooler` is by how many deg C the site lies under the region's temperature.
    """

    number: int
    station_id: str
    meter_id: str
    guns: tuple[Gun, ...]
    lat: float
    lng: float
    grid_kw: float
    storage_kwh: float
    pv_kw: float
    cooler: float

    @property
    def host_ids(self) -> list[str]:
        """Return the ids of the hosts, in order."""
        return list(dict.fromkeys(gun.host_id for gun in self.guns))


def site(number: int, seed: int) -> Site:
    """Return station `number` (from 1) of the region that `seed` describes: `station-001` with two hosts."""
    chance = random.Random(f"{seed}/site/{number}")
    hosts = [f"host-{number:03d}-{index}" for index in (1, 2)]
    on_host = [host for host in hosts for _ in range(chance.randint(2, 4))]
    return Site(
        number=number,
        station_id=f"station-{number:03d}",
        meter_id=f"meter-{number:03d}",
        guns=tuple(Gun(host, f"G{index}") for index, host in enumerate(on_host, start=1)),
        lat=round(30.27 + chance.uniform(-0.2, 0.2), 5),
        lng=round(120.15 + chance.uniform(-0.2, 0.2), 5),
        grid_kw=chance.choice((630.0, 800.0, 1000.0)),
        storage_kwh=chance.choice((100.0, 200.0, 400.0)),
        pv_kw=chance.choice((40.0, 80.0, 120.0)),
        cooler=round(chance.uniform(0.0, 3.0), 1),
    )


# ---- its clock ----


def local_hour(at_ms: int) -> float:
    """Return the hour of the site's day, 0.0 up to 24.0."""
    return (at_ms + SITE_UTC_OFFSET_MS) % DAY_MS / HOUR_MS


def local_day(at_ms: int) -> int:
    """Return the site's day as a count of days since 1970-01-01."""
    return (at_ms + SITE_UTC_OFFSET_MS) // DAY_MS


def local_date(day: int) -> datetime.date:
    """Return the date of a day that `local_day` counted."""
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=day)


def day_start(day: int) -> int:
    """Return the epoch milliseconds of the midnight at which a site's day begins."""
    return day * DAY_MS - SITE_UTC_OFFSET_MS


def next_day(at_ms: int) -> int:
    """Return the site's first midnight after `at_ms`."""
    return day_start(local_day(at_ms) + 1)


def next_month(at_ms: int) -> int:
    """Return the midnight that begins the site's next month."""
    today = local_date(local_day(at_ms))
    first = (today.replace(day=1) + datetime.timedelta(days=32)).replace(day=1)
    return day_start((first - datetime.date(1970, 1, 1)).days)


# ---- calendar ----

_HOLIDAYS = frozenset({(1, 1), (5, 1), (5, 2), (5, 3), *((10, day) for day in range(1, 8))})


def workday_code(day: int) -> int:
    """Return 1 on a weekend, else 0 (seed system 2.3)."""
    return int(local_date(day).weekday() >= 5)


def holiday_code(day: int) -> int:
    """Return 1 on a public holiday, else 0 (seed system 2.3; exchanged working days do not occur here)."""
    date = local_date(day)
    return int((date.month, date.day) in _HOLIDAYS)


def season(day: int) -> str:
    """Return the northern season of a day: spring, summer, autumn or winter."""
    return ("winter", "spring", "summer", "autumn")[local_date(day).month % 12 // 3]


# ---- demand ----


def site_load(at_ms: int) -> float:
    """Return how busy a site is, above 0 and at most 1.

    Working days peak at noon and, higher, in the evening; weekends and holidays have one broad afternoon.
    """
    hour, day = local_hour(at_ms), local_day(at_ms)
    if workday_code(day) or holiday_code(day):
        return 0.15 + 0.65 * _bump(hour, centre=14.5, width=4.0)
    return 0.08 + 0.45 * _bump(hour, centre=12.0, width=2.0) + 0.8 * _bump(hour, centre=19.5, width=2.5)


def _bump(hour: float, *, centre: float, width: float) -> float:
    """Return a bell of height 1 on the 24 h circle; centre and width in hours."""
    distance = abs((hour - centre + 12.0) % 24.0 - 12.0)
    return math.exp(-0.5 * (distance / width) ** 2)


# ---- weather and sun ----


class Sky(enum.StrEnum):
    """What hangs over the site for a whole day."""

    SUNNY = "sunny"
    CLOUDY = "cloudy"
    OVERCAST = "overcast"
    RAIN = "rain"


_TRANSMISSION = {Sky.SUNNY: 1.0, Sky.CLOUDY: 0.7, Sky.OVERCAST: 0.4, Sky.RAIN: 0.15}


def sky(day: int, seed: int) -> Sky:
    """Return the sky of a day."""
    drawn = _draw(seed, "sky", day)
    limits = ((0.45, Sky.SUNNY), (0.75, Sky.CLOUDY), (0.9, Sky.OVERCAST))
    return next((kind for limit, kind in limits if drawn < limit), Sky.RAIN)


def pv_power(at_ms: int, *, peak_kw: float, seed: int) -> float:
    """Return the DC power of a PV plant: a bell from 6 to 18 h, dimmed by the sky and passing clouds."""
    hour = local_hour(at_ms)
    if not 6.0 < hour < 18.0:
        return 0.0
    bell = math.pow(math.sin(math.pi * (hour - 6.0) / 12.0), 1.5)
    passing = 1.0 - 0.2 * _draw(seed, "cloud", at_ms // HOUR_MS)
    clear = _TRANSMISSION[sky(local_day(at_ms), seed)]
    return peak_kw * clear * passing * bell


def pv_day(day: int, *, peak_kw: float, seed: int) -> list[float]:
    """Return the 24 hourly powers of a day, each at the middle of its hour."""
    middles = (day_start(day) + hour * HOUR_MS + HOUR_MS // 2 for hour in range(24))
    return [round(pv_power(middle, peak_kw=peak_kw, seed=seed), 2) for middle in middles]


def ambient_temperature(at_ms: int, seed: int) -> float:
    """Return the outdoor temperature: season, hour of day, and the day's own deviation, without jumps."""
    day, hour = local_day(at_ms), local_hour(at_ms)
    season_part = 12.0 * math.sin(2 * math.pi * (local_date(day).timetuple().tm_yday - 110) / 365)
    hour_part = 5.0 * math.sin(2 * math.pi * (hour - 9.0) / 24)
    today, tomorrow = (8.0 * _draw(seed, "warmth", index) - 4.0 for index in (day, day + 1))
    return 17.0 + season_part + hour_part + today + (tomorrow - today) * hour / 24


@functools.lru_cache(maxsize=4096)
def _draw(seed: int, name: str, index: int) -> float:
    """Return the same number in [0, 1) for the same arguments, on any machine."""
    return random.Random(f"{seed}/{name}/{index}").random()


# ---- tariff and storage ----


class PeriodType(enum.IntEnum):
    """The price level of a tariff period (seed system 2.3)."""

    PEAK = 1
    FLAT = 2
    VALLEY = 3


@dataclasses.dataclass(frozen=True)
class TariffPeriod:
    """One stretch of the day at one price: hours of the site's clock, prices per kWh."""

    number: int
    start_hour: int
    end_hour: int
    period_type: PeriodType
    grid_price: float
    service_fee: float


TARIFF = (
    TariffPeriod(1, 0, 8, PeriodType.VALLEY, 0.31, 0.35),
    TariffPeriod(2, 8, 11, PeriodType.PEAK, 1.02, 0.35),
    TariffPeriod(3, 11, 17, PeriodType.FLAT, 0.64, 0.35),
    TariffPeriod(4, 17, 22, PeriodType.PEAK, 1.02, 0.35),
    TariffPeriod(5, 22, 24, PeriodType.FLAT, 0.64, 0.35),
)
"""The whole day, in order, without gaps."""


def tariff_period(at_ms: int) -> TariffPeriod:
    """Return the tariff period that holds at `at_ms`."""
    hour = local_hour(at_ms)
    return next(period for period in TARIFF if hour < period.end_hour)


def storage_power(period: PeriodType, *, soc: float, capacity_kwh: float) -> float:
    """Return a storage's power: positive discharges in a peak period, negative charges in a valley.

    It fades to zero over the last 5 % before 10 % and before 95 %, so that the state of charge stays between.
    """
    full = capacity_kwh / 4
    if period is PeriodType.PEAK:
        return full * min(1.0, max(0.0, (soc - 10.0) / 5.0))
    if period is PeriodType.VALLEY:
        return -full * min(1.0, max(0.0, (95.0 - soc) / 5.0))
    return 0.0


def storage_soc(soc: float, from_ms: int, until_ms: int) -> float:
    """Return the state of charge at `until_ms` of a storage that follows the tariff, of whatever capacity."""
    for at_ms in range(from_ms, until_ms, MINUTE_MS):
        hours = min(MINUTE_MS, until_ms - at_ms) / HOUR_MS
        soc -= hours * storage_power(tariff_period(at_ms).period_type, soc=soc, capacity_kwh=100.0)
    return soc


# ---- one car ----


@dataclasses.dataclass(frozen=True)
class Charge:
    """One car's charge: full power up to `TAPER_SOC`, then falling in a line with the state of charge.

    `start_soc` < `target_soc` <= 100 in %, `capacity_kwh` and `peak_kw` above 0.
    """

    start_soc: float
    target_soc: float
    capacity_kwh: float
    peak_kw: float

    @property
    def duration_s(self) -> float:
        """Return the seconds from the start to the target."""
        return self._seconds_to(self.target_soc)

    def soc(self, elapsed_s: float) -> float:
        """Return the state of charge after `elapsed_s`, held at the target once reached."""
        straight_s = self._seconds_to(min(max(TAPER_SOC, self.start_soc), self.target_soc))
        if elapsed_s <= straight_s:
            return self.start_soc + self._rate * max(0.0, elapsed_s)
        share = _taper(max(TAPER_SOC, self.start_soc))
        share *= math.exp(-_TAPER_SLOPE * self._rate * (elapsed_s - straight_s))
        return min(self.target_soc, TAPER_SOC + (1.0 - share) / _TAPER_SLOPE)

    def power(self, elapsed_s: float) -> float:
        """Return the power after `elapsed_s`; 0 before the start and from the end on."""
        if not 0.0 <= elapsed_s < self.duration_s:
            return 0.0
        return self.peak_kw * _taper(self.soc(elapsed_s))

    @property
    def _rate(self) -> float:
        """Return the % gained in a second at full power."""
        return 100.0 * self.peak_kw / (3600.0 * self.capacity_kwh)

    def _seconds_to(self, soc: float) -> float:
        """Return the seconds from the start to `soc`; the taper's share falls exponentially in time."""
        straight = max(0.0, min(soc, TAPER_SOC) - self.start_soc) / self._rate
        if soc <= TAPER_SOC:
            return straight
        shares = _taper(max(TAPER_SOC, self.start_soc)) / _taper(soc)
        return straight + math.log(shares) / (_TAPER_SLOPE * self._rate)


_TAPER_SLOPE = (1.0 - FULL_SOC_SHARE) / (100.0 - TAPER_SOC)


def _taper(soc: float) -> float:
    """Return the share of full power that a battery takes at `soc`."""
    return 1.0 - _TAPER_SLOPE * max(0.0, soc - TAPER_SOC)
