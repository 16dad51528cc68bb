"""A fleet of invented charging stations that fills every input topic of the seed system 2.2.

`Fleet` puts one process per thing that sends on a schedule: a station's parameters, each gun, each car.
What a station does depends on the seed, the start and the pace, never on how often the fleet is asked.

Two clocks: simulated time runs `speedup` times as fast as delivery time. Times inside payloads are
simulated; the records' timestamps are delivery time, since Kafka refuses records from the future.
"""

import dataclasses
import functools
import itertools
import random
from collections.abc import Callable, Iterator, Mapping

from analysis_worker import simulation
from analysis_worker.simulation import profiles

OPENING_MS = 3_000
"""Every repeating source has sent once after so much delivery time."""
ARRIVALS_PER_GUN_HOUR = 1.2
"""Cars per gun and hour at full load: about seven guns in ten are then busy."""
GUN_RATED_CURRENT = 250.0
GUN_EFFICIENCY = 0.96
STORAGE_VOLTAGE = 768.0
SITE_BASE_KW = 5.0
ERROR_FIELDS = ("hostError", "acError", "dcError", "terminalError", "storageError")


@dataclasses.dataclass(frozen=True)
class Session:
    """One car at one gun, from `start_ms` (simulated) on."""

    order_id: str
    gun: profiles.Gun
    start_ms: int
    charge: profiles.Charge
    car_model: str
    mileage: int

    @property
    def end_ms(self) -> int:
        """Return the simulated time at which the gun is free again."""
        return self.start_ms + max(1, int(self.charge.duration_s * 1000))

    def power(self, at_ms: int) -> float:
        """Return the power in kW; 0 outside the session."""
        return self.charge.power((at_ms - self.start_ms) / 1000) if at_ms < self.end_ms else 0.0

    def order(self, at_ms: int) -> dict[str, object]:
        """Return the CAR-ORDER payload at `at_ms`; `endTime` is null while the session runs."""
        soc = self.charge.soc((at_ms - self.start_ms) / 1000)
        voltage = 360.0 + soc
        return {
            "orderId": self.order_id,
            "chargerId": self.gun.host_id,
            "gunId": self.gun.gun_id,
            "chargerRatedCurrent": GUN_RATED_CURRENT,
            "startTime": self.start_ms // 1000,
            "endTime": self.end_ms // 1000 if at_ms >= self.end_ms else None,
            "startSOC": self.charge.start_soc,
            "currentSOC": round(soc, 2),
            "demandVoltage": round(voltage, 1),
            "demandCurrent": round(1000 * self.power(at_ms) / voltage, 1),
            "mileage": self.mileage,
            "carModel": self.car_model,
            "batteryCapacity": self.charge.capacity_kwh,
        }


class Station:
    """One site at work: its sessions, its storage and the processes that report them."""

    def __init__(
        self, place: profiles.Site, *, seed: int, pace: simulation.Pace, schedule: simulation.Schedule
    ) -> None:
        self.site = place
        self._seed = seed
        self._schedule = schedule
        self._pace = pace
        self._chance = random.Random(f"{seed}/station/{place.number}")
        self._sessions: dict[profiles.Gun, Session] = {}
        self._orders = itertools.count(1)
        self._faulted: profiles.Gun | None = None
        self._storage_kw = 0.0

    def open(self, at_ms: int) -> None:
        """Start every process; the first gun is charging already, the others as the load has it."""
        slow = (
            self._parameters,
            self._prices,
            self._photovoltaic,
            self._weather,
            self._errors,
            self._arrivals,
        )
        for process in slow:
            self._schedule.start(process(at_ms), at_ms)
        for gun in self.site.guns:
            if gun is self.site.guns[0] or self._chance.random() < 0.7 * profiles.site_load(at_ms):
                self._begin(gun, at_ms, part_done=0.5 * self._chance.random())
        for steady in (self._realtime, self._meter, self._storage):
            self._start_soon(steady, at_ms)
        for gun in self.site.guns:
            self._start_soon(functools.partial(self._gun, gun), at_ms)
        for host_id in self.site.host_ids:
            self._start_soon(functools.partial(self._host, host_id), at_ms)

    def _start_soon(self, process: Callable[[int], simulation.Process], at_ms: int) -> None:
        """Start within the opening, so that sources do not all send at once."""
        first_ms = at_ms + int(self._chance.uniform(0, OPENING_MS) * self._pace.speedup)
        self._schedule.start(process(first_ms), first_ms)

    def _emit(self, topic: str, payload: Mapping[str, object], at_ms: int) -> None:
        """Send under the station's id."""
        named = {"stationId": self.site.station_id, **payload}
        self._schedule.emit(topic, named, key=self.site.station_id, at_ms=at_ms)

    # ---- on creation, change or event ----

    def _parameters(self, at_ms: int) -> simulation.Process:
        """On creation, and on each whole degree of change, looked for hourly."""
        told: float | None = None
        while True:
            temperature = profiles.ambient_temperature(at_ms, self._seed) - self.site.cooler
            if told is None or abs(temperature - told) >= 1.0:
                told = temperature
                payload = {
                    "stationTemp": round(temperature, 1),
                    "lat": self.site.lat,
                    "lng": self.site.lng,
                    "gunCount": len(self.site.guns),
                    "gridCapacity": self.site.grid_kw,
                    "storageCount": 1,
                    "storageCapacity": self.site.storage_kwh,
                    "hostId": self.site.host_ids,
                    "meterId": self.site.meter_id,
                }
                self._emit(simulation.STATION_PARAM, payload, at_ms)
            at_ms += profiles.HOUR_MS
            yield at_ms

    def _prices(self, at_ms: int) -> simulation.Process:
        """Monthly, a record per tariff period."""
        while True:
            for period in profiles.TARIFF:
                payload = {
                    "periodNo": period.number,
                    "startTime": f"{period.start_hour:02d}:00",
                    "endTime": f"{period.end_hour:02d}:00",
                    "periodType": int(period.period_type),
                    "gridPrice": period.grid_price,
                    "serviceFee": period.service_fee,
                }
                self._emit(simulation.CAR_PRICE, payload, at_ms)
            at_ms = profiles.next_month(at_ms)
            yield at_ms

    def _photovoltaic(self, at_ms: int) -> simulation.Process:
        """Daily: the 24 hourly powers of the day before."""
        while True:
            yesterday = profiles.local_day(at_ms) - 1
            powers = profiles.pv_day(yesterday, peak_kw=self.site.pv_kw, seed=self._seed)
            payload = {"pvId": f"pv-{self.site.number:03d}-1", "pvPreDcPower": powers}
            self._emit(simulation.PV, payload, at_ms)
            at_ms = profiles.next_day(at_ms)
            yield at_ms

    def _weather(self, at_ms: int) -> simulation.Process:
        """Daily."""
        while True:
            today = profiles.local_day(at_ms)
            payload = {
                "weatherSituationYesterday": profiles.sky(today - 1, self._seed),
                "seasonTomorrow": profiles.season(today + 1),
                "weatherSituationTomorrow": profiles.sky(today + 1, self._seed),
            }
            self._emit(simulation.WEATHER, payload, at_ms)
            at_ms = profiles.next_day(at_ms)
            yield at_ms

    def _errors(self, at_ms: int) -> simulation.Process:
        """On event: about two faults a day, each 10 to 60 minutes; a terminal fault closes an idle gun."""
        healthy = dict.fromkeys(ERROR_FIELDS, 0)
        while True:
            self._emit(simulation.DEVICE_ERROR, healthy, at_ms)
            at_ms += 1 + int(self._chance.expovariate(1 / 12) * profiles.HOUR_MS)
            yield at_ms
            field = self._chance.choice(ERROR_FIELDS)
            self._emit(simulation.DEVICE_ERROR, {**healthy, field: 1}, at_ms)
            idle = self._idle_guns(at_ms)
            broken = idle[0] if field == "terminalError" and idle else None
            self._close(broken, at_ms)
            at_ms += int(self._chance.uniform(10, 60) * profiles.MINUTE_MS)
            yield at_ms
            self._close(None, at_ms)

    def _close(self, gun: profiles.Gun | None, at_ms: int) -> None:
        """Make `gun` the one that is out of order and report each gun whose status that changes."""
        changed = [each for each in (self._faulted, gun) if each is not None]
        self._faulted = gun
        for each in changed:
            self._report_gun(each, at_ms)

    # ---- cars ----

    def _arrivals(self, at_ms: int) -> simulation.Process:
        """Cars come as a Poisson process thinned by the load curve; one that finds no idle gun leaves."""
        per_ms = ARRIVALS_PER_GUN_HOUR * len(self.site.guns) / profiles.HOUR_MS
        while True:
            at_ms += 1 + int(self._chance.expovariate(per_ms))
            yield at_ms
            idle = self._idle_guns(at_ms)
            if idle and self._chance.random() < profiles.site_load(at_ms):
                self._begin(self._chance.choice(idle), at_ms)

    def _begin(self, gun: profiles.Gun, at_ms: int, *, part_done: float = 0.0) -> None:
        """Plug a car into an idle gun; `part_done` is the share of its charge that lies behind it."""
        chance = self._chance
        charge = profiles.Charge(
            start_soc=round(chance.uniform(10, 50), 1),
            target_soc=round(chance.uniform(80, 98), 1),
            capacity_kwh=chance.choice((50.0, 60.0, 75.0, 90.0)),
            peak_kw=chance.choice((45.0, 60.0, 75.0, 90.0)),
        )
        session = Session(
            order_id=f"order-{self.site.number:03d}-{next(self._orders):06d}",
            gun=gun,
            start_ms=at_ms - int(part_done * charge.duration_s * 1000),
            charge=charge,
            car_model=f"C{chance.randint(1, 6)}",
            mileage=chance.randint(2_000, 120_000),
        )
        self._sessions[gun] = session
        self._schedule.start(self._charging(session, at_ms), at_ms)

    def _charging(self, session: Session, at_ms: int) -> simulation.Process:
        """Every second while the session runs, once more at its end; the gun's status at both ends."""
        self._report_gun(session.gun, at_ms)
        while at_ms < session.end_ms:
            self._emit(simulation.CAR_ORDER, session.order(at_ms), at_ms)
            at_ms = min(at_ms + self._pace.period(1), session.end_ms)
            yield at_ms
        self._emit(simulation.CAR_ORDER, session.order(at_ms), at_ms)
        self._report_gun(session.gun, at_ms)

    def _idle_guns(self, at_ms: int) -> list[profiles.Gun]:
        return [gun for gun in self.site.guns if self._status(gun, at_ms) == 0]

    def _status(self, gun: profiles.Gun, at_ms: int) -> int:
        """Return 0 idle, 1 charging, 2 fault (seed system 2.3)."""
        if gun is self._faulted:
            return 2
        session = self._sessions.get(gun)
        return int(session is not None and at_ms < session.end_ms)

    def _power(self, gun: profiles.Gun, at_ms: int) -> float:
        session = self._sessions.get(gun)
        return 0.0 if session is None else session.power(at_ms)

    # ---- at a steady cadence ----

    def _realtime(self, at_ms: int) -> simulation.Process:
        """Every minute: mean and peak of the busiest gun and of the station since the record before."""
        period_ms = self._pace.period(60)
        while True:
            instants = [at_ms - period_ms + period_ms * part // 8 for part in (1, 3, 5, 7)]
            curves = {gun: [self._power(gun, instant) for instant in instants] for gun in self.site.guns}
            totals = [sum(powers) for powers in zip(*curves.values(), strict=True)]
            busiest = max(curves, key=lambda gun: sum(curves[gun]))
            payload = {
                "gunId": busiest.gun_id,
                "historyCurveGunAvg": round(sum(curves[busiest]) / len(instants), 2),
                "historyCurveGunMax": round(max(curves[busiest]), 2),
                "historyCurveStationAvg": round(sum(totals) / len(instants), 2),
                "historyCurveStationMax": round(max(totals), 2),
            }
            self._emit(simulation.STATION_REALTIME, payload, at_ms)
            at_ms += period_ms
            yield at_ms

    def _meter(self, at_ms: int) -> simulation.Process:
        """Every 5 minutes: what the grid gives, below zero when the site feeds in."""
        while True:
            cars = sum(self._power(gun, at_ms) for gun in self.site.guns) / GUN_EFFICIENCY
            sun = profiles.pv_power(at_ms, peak_kw=self.site.pv_kw, seed=self._seed)
            payload = {
                "meterId": self.site.meter_id,
                "currentPower": round(SITE_BASE_KW + cars - sun - self._storage_kw, 2),
                "ratedPowerLimit": self.site.grid_kw,
            }
            self._schedule.emit(simulation.METER, payload, key=self.site.meter_id, at_ms=at_ms)
            at_ms += self._pace.period(5 * 60)
            yield at_ms

    def _gun(self, gun: profiles.Gun, at_ms: int) -> simulation.Process:
        """Every 15 s."""
        while True:
            self._report_gun(gun, at_ms)
            at_ms += self._pace.period(15)
            yield at_ms

    def _report_gun(self, gun: profiles.Gun, at_ms: int) -> None:
        payload = {"hostId": gun.host_id, "gunId": gun.gun_id, "gunStatus": self._status(gun, at_ms)}
        self._schedule.emit(simulation.GUN, payload, key=gun.host_id, at_ms=at_ms)

    def _host(self, host_id: str, at_ms: int) -> simulation.Process:
        """Every second while a gun of the host charges, else every 15 s; one DC module per gun."""
        guns = [gun for gun in self.site.guns if gun.host_id == host_id]
        while True:
            powers = [round(self._power(gun, at_ms), 2) for gun in guns]
            states = ["01" if power else "00" for power in powers]
            dc = {"hostId": host_id, "dcWorkStatus": states, "dcPower": powers}
            ac = {"hostId": host_id, "acPower": round(sum(powers) / GUN_EFFICIENCY, 2)}
            self._schedule.emit(simulation.HOST_DCDC, dc, key=host_id, at_ms=at_ms)
            self._schedule.emit(simulation.HOST_ACDC, ac, key=host_id, at_ms=at_ms)
            at_ms += self._pace.period(1 if any(powers) else 15)
            yield at_ms

    def _storage(self, at_ms: int) -> simulation.Process:
        """Every 15 s; the state of charge follows the power."""
        capacity_kwh, host_id = self.site.storage_kwh, self.site.host_ids[0]
        soc, health = self._chance.uniform(40, 70), round(self._chance.uniform(90, 99.5), 1)
        period_ms = self._pace.period(15)
        while True:
            period_type = profiles.tariff_period(at_ms).period_type
            power = profiles.storage_power(period_type, soc=soc, capacity_kwh=capacity_kwh)
            self._storage_kw = power
            warmth = profiles.ambient_temperature(at_ms, self._seed) / 4 + 20 + 20 * abs(power) / capacity_kwh
            payload = {
                "hostId": host_id,
                "storageId": f"storage-{self.site.number:03d}-1",
                "storagePower": round(power, 2),
                "storageCurrent": round(1000 * power / STORAGE_VOLTAGE, 2),
                "storageTempMax": round(warmth + 3, 1),
                "storageTempMin": round(warmth - 1, 1),
                "storageSOC": round(soc, 2),
                "storageSOH": health,
            }
            self._schedule.emit(simulation.STORAGE, payload, key=host_id, at_ms=at_ms)
            soc = profiles.storage_soc(soc, at_ms, at_ms + period_ms)
            at_ms += period_ms
            yield at_ms


class Fleet:
    """Many stations on one schedule.

    `start_ms` is the delivery time (epoch ms) at which they open; `speedup` simulated seconds pass in one
    second of delivery time; no source sends more than `cap_per_second` times in a second of delivery time.
    Raises ValueError for fewer than one station or a pace that is not above 0.
    """

    def __init__(
        self,
        *,
        stations: int = 20,
        seed: int = 0,
        start_ms: int,
        speedup: float = 60.0,
        cap_per_second: float = 5.0,
    ) -> None:
        _check_above_zero(stations=stations, speedup=speedup, cap_per_second=cap_per_second)
        self._pace = simulation.Pace(start_ms, speedup, cap_per_second)
        self._schedule = simulation.Schedule(self._pace.delivered)
        self.sites = tuple(profiles.site(number, seed) for number in range(1, stations + 1))
        self._schedule.start(self._calendar(start_ms), start_ms)
        for place in self.sites:
            Station(place, seed=seed, pace=self._pace, schedule=self._schedule).open(start_ms)

    def tick(self, now_ms: int) -> list[simulation.SimulatedRecord]:
        """Return, in time order, what was sent since the last tick up to the delivery time `now_ms`."""
        return list(self.records(now_ms))

    def records(self, until_ms: int) -> Iterator[simulation.SimulatedRecord]:
        """Yield what `tick` returns one by one, for stretches too long for a list."""
        return self._schedule.run(self._pace.simulated(until_ms))

    def _calendar(self, at_ms: int) -> simulation.Process:
        """At the start, and on each midnight that changes a code: the record tells of one day only."""
        told: dict[str, int] | None = None
        while True:
            day = profiles.local_day(at_ms)
            codes = {"workdayCode": profiles.workday_code(day), "holidayCode": profiles.holiday_code(day)}
            if codes != told:
                self._schedule.emit(simulation.CALENDAR, codes, key=None, at_ms=at_ms)
                told = codes
            at_ms = profiles.next_day(at_ms)
            yield at_ms


def _check_above_zero(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}: {value!r} is not above 0; give a number above 0")
