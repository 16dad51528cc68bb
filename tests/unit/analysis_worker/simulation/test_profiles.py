"""The curves of a site: what they keep to whatever the time and the seed."""

import datetime
import itertools

import pytest

from analysis_worker.simulation import profiles

OFFSET = datetime.timezone(datetime.timedelta(hours=8))
YEAR_MS = range(0, 365 * profiles.DAY_MS, profiles.HOUR_MS)


def at(text: str) -> int:
    """Return the epoch ms of a time on the site's clock."""
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=OFFSET).timestamp() * 1000)


def day(text: str) -> int:
    return profiles.local_day(at(text))


def test_the_sites_clock_is_eight_hours_ahead() -> None:
    assert profiles.local_hour(at("2025-11-07T13:30")) == 13.5


def test_a_days_start_is_its_midnight() -> None:
    assert profiles.day_start(day("2025-11-07T13:30")) == at("2025-11-07T00:00")


def test_the_next_day_begins_at_midnight() -> None:
    assert profiles.next_day(at("2025-11-07T13:30")) == at("2025-11-08T00:00")


def test_the_next_day_of_a_midnight_is_a_day_later() -> None:
    assert profiles.next_day(at("2025-11-07T00:00")) == at("2025-11-08T00:00")


@pytest.mark.parametrize(
    ("now", "first"),
    [
        ("2025-11-07T13:30", "2025-12-01T00:00"),
        ("2025-12-31T23:59", "2026-01-01T00:00"),
        ("2025-01-31T00:00", "2025-02-01T00:00"),
    ],
)
def test_the_next_month_begins_on_its_first(now: str, first: str) -> None:
    assert profiles.next_month(at(now)) == at(first)


def test_a_saturday_has_workday_code_1_and_a_friday_0() -> None:
    codes = [profiles.workday_code(day(text)) for text in ("2025-11-07T12:00", "2025-11-08T12:00")]
    assert codes == [0, 1]


def test_the_first_of_october_is_a_holiday_and_the_ninth_is_not() -> None:
    codes = [profiles.holiday_code(day(text)) for text in ("2025-10-01T12:00", "2025-10-09T12:00")]
    assert codes == [1, 0]


@pytest.mark.parametrize(
    ("text", "season"),
    [("2025-01-15", "winter"), ("2025-03-01", "spring"), ("2025-08-31", "summer"), ("2025-11-30", "autumn")],
)
def test_seasons_are_those_of_the_north(text: str, season: str) -> None:
    assert profiles.season(day(f"{text}T12:00")) == season


def test_the_load_stays_above_zero_and_at_most_one() -> None:
    loads = [profiles.site_load(ms) for ms in YEAR_MS]
    assert min(loads) > 0
    assert max(loads) <= 1


def test_a_working_day_peaks_in_the_evening_then_at_noon_and_sleeps_at_night() -> None:
    evening, noon, night = (
        profiles.site_load(at(f"2025-11-05T{hour}")) for hour in ("19:30", "12:00", "03:30")
    )
    assert evening > noon > night


def test_a_weekend_peaks_in_the_afternoon() -> None:
    loads = {hour: profiles.site_load(at(f"2025-11-08T{hour:02d}:00")) for hour in range(24)}
    assert max(loads, key=loads.__getitem__) in (14, 15)


def test_a_seed_gives_the_same_weather_on_every_machine() -> None:
    told = [profiles.sky(20_000 + day, 5).value for day in range(5)]
    degrees = profiles.ambient_temperature(at("2025-11-07T13:30"), 5)
    assert (told, round(degrees, 6)) == (["sunny", "overcast", "sunny", "sunny", "cloudy"], 20.092369)


def test_another_seed_gives_other_skies() -> None:
    assert [profiles.sky(d, 1) for d in range(60)] != [profiles.sky(d, 2) for d in range(60)]


def test_a_year_has_every_sky() -> None:
    assert {profiles.sky(d, 1) for d in range(365)} == set(profiles.Sky)


def test_the_sun_gives_nothing_from_six_in_the_evening_to_six_in_the_morning() -> None:
    night = [ms for ms in YEAR_MS if not 6 < profiles.local_hour(ms) < 18]
    assert {profiles.pv_power(ms, peak_kw=100, seed=1) for ms in night} == {0.0}


def test_the_sun_never_gives_more_than_the_peak() -> None:
    powers = [profiles.pv_power(ms, peak_kw=100, seed=1) for ms in YEAR_MS]
    assert 50 < max(powers) <= 100
    assert min(powers) == 0


def test_the_brightest_hour_of_a_rainy_day_is_dimmer_than_that_of_a_sunny_one() -> None:
    skies = {profiles.sky(d, 1): max(profiles.pv_day(d, peak_kw=100, seed=1)) for d in range(365)}
    assert skies[profiles.Sky.RAIN] < skies[profiles.Sky.OVERCAST] < skies[profiles.Sky.SUNNY]


def test_a_pv_day_has_24_hours_and_is_brightest_around_noon() -> None:
    powers = profiles.pv_day(3, peak_kw=100, seed=1)
    assert len(powers) == 24
    assert powers.index(max(powers)) in range(9, 15)


def test_the_temperature_has_no_jumps() -> None:
    minutes = range(0, 10 * profiles.DAY_MS, profiles.MINUTE_MS)
    degrees = [profiles.ambient_temperature(ms, 1) for ms in minutes]
    assert max(abs(b - a) for a, b in itertools.pairwise(degrees)) < 0.5


def test_july_is_warmer_than_january_and_the_afternoon_than_the_night() -> None:
    def mean(month: str, hour: str) -> float:
        starts = [at(f"2025-{month}-{d:02d}T{hour}") for d in range(1, 29)]
        return sum(profiles.ambient_temperature(ms, 1) for ms in starts) / len(starts)

    assert mean("07", "15:00") > mean("07", "03:00") > mean("01", "15:00") > mean("01", "03:00")


def test_the_tariff_covers_the_day_without_gaps() -> None:
    assert profiles.TARIFF[0].start_hour == 0
    assert profiles.TARIFF[-1].end_hour == 24
    assert all(a.end_hour == b.start_hour for a, b in itertools.pairwise(profiles.TARIFF))


def test_each_hour_is_in_the_tariff_period_that_holds_it() -> None:
    for hour in range(24):
        period = profiles.tariff_period(at(f"2025-11-07T{hour:02d}:00"))
        assert period.start_hour <= hour < period.end_hour


def test_a_peak_costs_more_than_a_flat_and_a_flat_more_than_a_valley() -> None:
    price = {period.period_type: period.grid_price for period in profiles.TARIFF}
    assert (
        price[profiles.PeriodType.PEAK] > price[profiles.PeriodType.FLAT] > price[profiles.PeriodType.VALLEY]
    )


@pytest.mark.parametrize(
    ("period", "power"),
    [
        (profiles.PeriodType.PEAK, 50.0),
        (profiles.PeriodType.FLAT, 0.0),
        (profiles.PeriodType.VALLEY, -50.0),
    ],
)
def test_a_storage_gives_in_a_peak_takes_in_a_valley_and_rests_between(
    period: profiles.PeriodType, power: float
) -> None:
    assert profiles.storage_power(period, soc=50, capacity_kwh=200) == power


def test_a_storage_at_its_limits_neither_gives_nor_takes() -> None:
    assert profiles.storage_power(profiles.PeriodType.PEAK, soc=10, capacity_kwh=200) == 0
    assert profiles.storage_power(profiles.PeriodType.VALLEY, soc=95, capacity_kwh=200) == 0


def test_a_storage_that_follows_the_tariff_stays_between_10_and_95_percent_and_uses_both() -> None:
    soc, reached = 50.0, []
    for hour_ms in range(at("2025-11-07T00:00"), at("2025-11-09T00:00"), profiles.HOUR_MS):
        soc = profiles.storage_soc(soc, hour_ms, hour_ms + profiles.HOUR_MS)
        reached.append(soc)
    assert 10 <= min(reached) < 12
    assert 93 < max(reached) <= 95


def test_a_storage_gains_what_its_power_brings() -> None:
    start_ms = at("2025-11-07T02:00")
    assert profiles.storage_soc(20, start_ms, start_ms + profiles.HOUR_MS) == pytest.approx(45)


CHARGES = [
    profiles.Charge(start_soc=20, target_soc=95, capacity_kwh=75, peak_kw=60),
    profiles.Charge(start_soc=20, target_soc=70, capacity_kwh=75, peak_kw=60),
    profiles.Charge(start_soc=85, target_soc=100, capacity_kwh=50, peak_kw=45),
]


@pytest.mark.parametrize("charge", CHARGES)
def test_a_charge_begins_at_its_start_and_ends_at_its_target(charge: profiles.Charge) -> None:
    assert charge.soc(0) == charge.start_soc
    assert charge.soc(charge.duration_s) == pytest.approx(charge.target_soc)
    assert charge.soc(charge.duration_s - 60) < charge.target_soc


@pytest.mark.parametrize("charge", CHARGES)
def test_the_state_of_charge_rises_without_pause(charge: profiles.Charge) -> None:
    socs = [charge.soc(second) for second in range(int(charge.duration_s))]
    assert all(b > a for a, b in itertools.pairwise(socs))


@pytest.mark.parametrize("charge", CHARGES)
def test_the_energy_of_the_power_curve_is_what_the_battery_gained(charge: profiles.Charge) -> None:
    energy_kwh = sum(charge.power(second + 0.5) for second in range(int(charge.duration_s))) / 3600
    gained_kwh = (charge.target_soc - charge.start_soc) / 100 * charge.capacity_kwh
    assert energy_kwh == pytest.approx(gained_kwh, rel=1e-3)


def test_power_is_full_up_to_the_taper_and_falls_after_it() -> None:
    powers = [CHARGES[0].power(second) for second in range(int(CHARGES[0].duration_s))]
    full = [power for power in powers if power == 60]
    assert powers[: len(full)] == full
    assert all(b < a for a, b in itertools.pairwise(powers[len(full) :]))
    assert len(full) < len(powers)


def test_no_power_flows_before_the_start_and_from_the_end_on() -> None:
    assert CHARGES[0].power(-1) == CHARGES[0].power(CHARGES[0].duration_s) == 0


def test_a_site_is_named_by_its_number() -> None:
    site = profiles.site(7, seed=1)
    assert (site.station_id, site.meter_id) == ("station-007", "meter-007")
    assert site.host_ids == ["host-007-1", "host-007-2"]


def test_the_guns_of_a_site_have_ids_of_their_own() -> None:
    ids = [gun.gun_id for gun in profiles.site(7, seed=1).guns]
    assert len(set(ids)) == len(ids) >= 4


def test_a_site_is_the_same_for_the_same_seed_only() -> None:
    assert profiles.site(7, seed=1) == profiles.site(7, seed=1) != profiles.site(7, seed=2)
