"""Real charging sessions as the records that their stations would have sent.

Reads a folder with `boulder-sessions.csv.gz` (sessions of the City of Boulder, times in UTC),
`shenzhen-stations.csv` and `shenzhen-weather.csv` (UrbanEV). The stations of Boulder, in order of their
first session, take the Shenzhen rows in file order that have piles enough; the weather's days are laid
round and round over the sessions' years, each at its hour of the day. What the data does not tell (battery,
car, voltage) is filled by the constants below.
"""

import collections
import csv
import dataclasses
import datetime
import gzip
import math
import pathlib
import zlib
from collections.abc import Iterator, Mapping, Sequence

from analysis_worker import simulation

SESSIONS_FILE = "boulder-sessions.csv.gz"
STATIONS_FILE = "shenzhen-stations.csv"
WEATHER_FILE = "shenzhen-weather.csv"

SITE_UTC_OFFSET = datetime.timedelta(hours=-7)
"""Boulder's clock without summer time: it says which hour's weather a session has."""
BATTERIES_KWH = (40.0, 60.0, 75.0, 100.0, 150.0)
"""A car has the smallest battery that its session's energy fills by no more than `LARGEST_FILL`."""
LARGEST_FILL = 0.85
END_SOC = 90.0
"""The state of charge (%) that every session reaches."""
LINE_VOLTAGE = 240.0
RATED_CURRENT = 40.0
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """One car at one gun: epoch ms from plug to plug, charging up to `charged_ms`, energy in kWh.

    `gun` counts the station's guns from 1.
    """

    number: str
    gun: int
    start_ms: int
    charged_ms: int
    end_ms: int
    energy_kwh: float

    @property
    def power_kw(self) -> float:
        """Return the mean power while charging, 0 for a session that took nothing."""
        return self.energy_kwh * HOUR_MS / max(1, self.charged_ms - self.start_ms)

    @property
    def battery_kwh(self) -> float:
        """Return the battery assumed for the car."""
        fitting = (size for size in BATTERIES_KWH if self.energy_kwh <= size * LARGEST_FILL)
        return next(fitting, self.energy_kwh / LARGEST_FILL)

    def power(self, at_ms: int) -> float:
        """Return the power in kW at a time, 0 outside the charge."""
        return self.power_kw if self.start_ms <= at_ms < self.charged_ms else 0.0

    def energy(self, until_ms: int) -> float:
        """Return the kWh taken up to a time."""
        spent_ms = min(until_ms, self.charged_ms) - self.start_ms
        return self.power_kw * max(0, spent_ms) / HOUR_MS


@dataclasses.dataclass(frozen=True, slots=True)
class Station:
    """A row of the stations' file: its id, place in degrees, number of guns."""

    station_id: str
    lat: float
    lng: float
    guns: int

    @property
    def host_id(self) -> str:
        """Return the id of the one host that all guns hang on."""
        return f"host-{self.station_id}"


@dataclasses.dataclass(frozen=True)
class Weather:
    """Hourly temperatures in deg C from `first_hour` (hours since 1970, the site's clock) on, repeated."""

    first_hour: int
    temperatures: Sequence[float]

    def temperature(self, at_ms: int) -> float:
        """Return the temperature of the hour that holds `at_ms`."""
        hour = (at_ms + int(SITE_UTC_OFFSET.total_seconds() * 1000)) // HOUR_MS
        return self.temperatures[(hour - self.first_hour) % len(self.temperatures)]


def records(
    folder: pathlib.Path, *, order_period_s: int = 60, start_ms: int | None = None
) -> Iterator[simulation.SimulatedRecord]:
    """Return the records of all sessions in time order, made one by one as they are taken.

    CAR-ORDER every `order_period_s` while a car charges and once at the session's end; GUN at both ends;
    REALTIME per minute while any gun of the station charges, and one of zeros after; PARAM at the first
    session and again at a session that starts in an hour of another temperature. `start_ms` moves the whole
    replay so that its first record has that time; without it times are the real ones.

    The files are read before this returns: FileNotFoundError for a missing one, ValueError for a row that
    cannot be read or too few stations.
    """
    if order_period_s < 1:
        raise ValueError(f"order_period_s: {order_period_s!r} is below 1; give whole seconds from 1 on")
    sessions = _read_sessions(folder)
    stations = _match(_read_stations(folder), sessions)
    weather = _read_weather(folder)
    first_ms = min(runs[0].start_ms for runs in sessions.values())
    replay = _Replay(order_period_s * 1000, 0 if start_ms is None else start_ms - first_ms)
    for name, runs in sessions.items():
        replay.add(stations[name], runs, weather)
    return replay.schedule.run()


# ---- reading ----

Row = Mapping[str, str]


def _read_sessions(folder: pathlib.Path) -> dict[str, list[Session]]:
    """Return the sessions by station name, both in order of start; the file is not in order itself."""
    by_name: dict[str, list[Session]] = {}
    rows = [_session(row, where) for row, where in _rows(folder / SESSIONS_FILE)]
    for name, session in sorted(rows, key=lambda row: row[1].start_ms):
        by_name.setdefault(name, []).append(session)
    if not by_name:
        raise ValueError(f"{folder / SESSIONS_FILE}: holds no session; give the whole file")
    return {name: _on_guns(runs) for name, runs in by_name.items()}


def _session(row: Row, where: str) -> tuple[str, Session]:
    """Read a row; some ends lie before the start or within the charge, which then decides."""
    try:
        start_ms = _utc_ms(row["Start_Date___Time"])
        charged_ms = start_ms + _duration_ms(row["Charging_Time__hh_mm_ss_"])
        session = Session(
            number=row["ObjectId"],
            gun=0,
            start_ms=start_ms,
            charged_ms=charged_ms,
            end_ms=max(_utc_ms(row["End_Date___Time"]), charged_ms),
            energy_kwh=float(row["Energy__kWh_"]),
        )
        return row["Station_Name"], session
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(where, error) from error


def _on_guns(runs: Sequence[Session]) -> list[Session]:
    """Return a station's sessions, each on the first gun that is free at its start."""
    free_ms: list[int] = []
    placed = []
    for run in runs:
        gun = next((index for index, ms in enumerate(free_ms) if ms <= run.start_ms), len(free_ms))
        free_ms[gun : gun + 1] = [run.end_ms]
        placed.append(dataclasses.replace(run, gun=gun + 1))
    return placed


def _read_stations(folder: pathlib.Path) -> list[Station]:
    stations = []
    for row, where in _rows(folder / STATIONS_FILE):
        try:
            lat, lng = float(row["latitude"]), float(row["longitude"])
            stations.append(Station(row["station_id"], lat, lng, int(row["charge_count"])))
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable(where, error) from error
    return stations


def _match(stations: Sequence[Station], sessions: Mapping[str, Sequence[Session]]) -> dict[str, Station]:
    """Return for each station of the sessions the next row with guns enough for them."""
    left = list(stations)
    matched = {}
    for name, runs in sessions.items():
        guns = max(run.gun for run in runs)
        found = next((station for station in left if station.guns >= guns), None)
        if found is None:
            raise ValueError(
                f"{STATIONS_FILE}: no row with {guns} or more piles is left for {name!r}; add rows"
            )
        left.remove(found)
        matched[name] = found
    return matched


def _read_weather(folder: pathlib.Path) -> Weather:
    first_hour: int | None = None
    temperatures = []
    for row, where in _rows(folder / WEATHER_FILE):
        try:
            if first_hour is None:
                first = datetime.datetime.strptime(row["time"], "%Y/%m/%d %H:%M")
                first_hour = _epoch_ms(first) // HOUR_MS
            temperatures.append(float(row["T"]))
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable(where, error) from error
    if first_hour is None:
        raise ValueError(f"{folder / WEATHER_FILE}: holds no hour; give the whole file")
    return Weather(first_hour, temperatures)


def _rows(path: pathlib.Path) -> Iterator[tuple[Row, str]]:
    """Yield each row of a CSV file, gzipped or not, with where it stands."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; the real data is the three files {SESSIONS_FILE}, {STATIONS_FILE} and"
            f" {WEATHER_FILE} in one folder"
        )
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            for row in reader:
                yield row, f"{path}, line {reader.line_num}"
    except (gzip.BadGzipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}; fetch the file anew") from error


def _unreadable(where: str, error: Exception) -> ValueError:
    told = f"the column {error} is missing" if isinstance(error, KeyError) else str(error)
    return ValueError(f"{where}: {told}; mend the row or fetch the file anew")


def _utc_ms(text: str) -> int:
    """Read `2018/01/12 15:54:00+00`."""
    return _epoch_ms(datetime.datetime.strptime(text, "%Y/%m/%d %H:%M:%S+00"))


def _epoch_ms(utc: datetime.datetime) -> int:
    return int(utc.replace(tzinfo=datetime.UTC).timestamp()) * 1000


def _duration_ms(text: str) -> int:
    """Read `118:16:25`."""
    hours, minutes, seconds = (int(part) for part in text.split(":"))
    return ((hours * 60 + minutes) * 60 + seconds) * 1000


# ---- replaying ----


class _Replay:
    """The stations' processes on one schedule; `shift_ms` is added to every time that is told."""

    def __init__(self, order_period_ms: int, shift_ms: int) -> None:
        self._order_period_ms = order_period_ms
        self._shift_ms = shift_ms
        self.schedule = simulation.Schedule(lambda at_ms: at_ms + shift_ms)

    def add(self, station: Station, runs: Sequence[Session], weather: Weather) -> None:
        """Start the station's parameters, cars and load curve with its first session."""
        first_ms = runs[0].start_ms
        for process in (
            self._parameters(station, runs, weather),
            self._arrivals(station, runs),
            self._curve(station, runs),
        ):
            self.schedule.start(process, first_ms)

    def _emit(self, station: Station, topic: str, payload: Mapping[str, object], at_ms: int) -> None:
        named = {"stationId": station.station_id, **payload}
        self.schedule.emit(topic, named, key=station.station_id, at_ms=at_ms)

    def _parameters(self, station: Station, runs: Sequence[Session], weather: Weather) -> simulation.Process:
        told: float | None = None
        for run in runs:
            yield run.start_ms
            temperature = weather.temperature(run.start_ms)
            if temperature != told:
                told = temperature
                payload = {
                    "stationTemp": temperature,
                    "lat": station.lat,
                    "lng": station.lng,
                    "gunCount": station.guns,
                    "hostId": station.host_id,
                }
                self._emit(station, simulation.STATION_PARAM, payload, run.start_ms)

    def _arrivals(self, station: Station, runs: Sequence[Session]) -> simulation.Process:
        """Start each session's process at its time, so that only running ones take memory."""
        for run in runs:
            yield run.start_ms
            self.schedule.start(self._charging(station, run), run.start_ms)

    def _charging(self, station: Station, run: Session) -> simulation.Process:
        self._report_gun(station, run, status=1)
        at_ms = run.start_ms
        while at_ms < run.charged_ms:
            self._report_order(station, run, at_ms=at_ms)
            at_ms += self._order_period_ms
            yield min(at_ms, run.end_ms)
        yield run.end_ms
        self._report_order(station, run, at_ms=run.end_ms)
        self._report_gun(station, run, status=0)

    def _report_gun(self, station: Station, run: Session, *, status: int) -> None:
        """Tell that a car took the gun (1) or left it (0)."""
        payload = {"hostId": station.host_id, "gunId": f"G{run.gun}", "gunStatus": status}
        at_ms = run.start_ms if status else run.end_ms
        self.schedule.emit(simulation.GUN, payload, key=station.host_id, at_ms=at_ms)

    def _report_order(self, station: Station, run: Session, *, at_ms: int) -> None:
        gained = 100 * run.energy_kwh / run.battery_kwh
        payload = {
            "orderId": f"order-{run.number}",
            "chargerId": station.host_id,
            "gunId": f"G{run.gun}",
            "chargerRatedCurrent": RATED_CURRENT,
            "startTime": (run.start_ms + self._shift_ms) // 1000,
            "endTime": (run.end_ms + self._shift_ms) // 1000 if at_ms >= run.end_ms else None,
            "startSOC": round(END_SOC - gained, 2),
            "currentSOC": round(END_SOC - gained + 100 * run.energy(at_ms) / run.battery_kwh, 2),
            "demandVoltage": LINE_VOLTAGE,
            "demandCurrent": round(1000 * run.power(at_ms) / LINE_VOLTAGE, 2),
            "mileage": None,
            "carModel": None,
            "batteryCapacity": run.battery_kwh,
        }
        self._emit(station, simulation.CAR_ORDER, payload, at_ms)

    def _curve(self, station: Station, runs: Sequence[Session]) -> simulation.Process:
        """At the end of each minute in which a gun charged, and of the one after: means and peaks."""
        coming = collections.deque(run for run in runs if run.charged_ms > run.start_ms)
        charging: list[Session] = []
        while coming or charging:
            if not charging:
                at_ms = (coming[0].start_ms // MINUTE_MS + 1) * MINUTE_MS
            yield at_ms
            while coming and coming[0].start_ms < at_ms:
                charging.append(coming.popleft())
            self._emit(station, simulation.STATION_REALTIME, _minute(charging, at_ms), at_ms)
            charging = [run for run in charging if run.charged_ms > at_ms - MINUTE_MS]
            at_ms += MINUTE_MS


def _minute(charging: Sequence[Session], end_ms: int) -> dict[str, object]:
    """Return the REALTIME fields of the minute up to `end_ms`; the gun is the one that took most."""
    begin_ms = end_ms - MINUTE_MS
    means = [(run.energy(end_ms) - run.energy(begin_ms)) * HOUR_MS / MINUTE_MS for run in charging]
    instants = [begin_ms, *(run.start_ms for run in charging if run.start_ms > begin_ms)]
    busiest = max(range(len(charging)), key=means.__getitem__)
    return {
        "gunId": f"G{charging[busiest].gun}",
        "historyCurveGunAvg": round(means[busiest], 3),
        "historyCurveGunMax": round(max(charging[busiest].power(instant) for instant in instants), 3),
        "historyCurveStationAvg": round(math.fsum(means), 3),
        "historyCurveStationMax": round(
            max(sum(run.power(instant) for run in charging) for instant in instants), 3
        ),
    }
