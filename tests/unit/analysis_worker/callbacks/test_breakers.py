"""A breaker opens after failures in a row, lets one probe through after a while, and closes on a success."""

from analysis_module import spec
from analysis_worker.callbacks.breakers import Breaker


def a_breaker(failures: int = 3, open_seconds: float = 10.0) -> Breaker:
    return Breaker(spec.Breaker(failures=failures, open_seconds=open_seconds))


def test_a_fresh_breaker_is_closed() -> None:
    breaker = a_breaker()
    assert (breaker.allows(0.0), breaker.is_open(0.0)) == (True, False)


def test_it_stays_closed_below_the_failures_that_open_it() -> None:
    breaker = a_breaker()
    breaker.failed(1.0)
    breaker.failed(2.0)
    assert (breaker.allows(2.0), breaker.is_open(2.0)) == (True, False)


def test_it_opens_with_the_failure_that_reaches_the_limit_and_for_so_long() -> None:
    breaker = a_breaker()
    for at in (1.0, 2.0, 3.0):
        breaker.failed(at)
    assert (breaker.allows(3.0), breaker.is_open(3.0)) == (False, True)
    assert (breaker.allows(12.9), breaker.allows(13.0)) == (False, True)


def test_a_failed_probe_opens_it_again_at_once() -> None:
    breaker = a_breaker()
    for at in (1.0, 2.0, 3.0):
        breaker.failed(at)
    assert breaker.allows(13.0)
    breaker.failed(13.5)
    assert (breaker.allows(23.4), breaker.allows(23.5)) == (False, True)


def test_a_success_closes_it_and_the_count_begins_anew() -> None:
    breaker = a_breaker()
    for at in (1.0, 2.0, 3.0):
        breaker.failed(at)
    breaker.succeeded()
    assert breaker.allows(3.0)
    breaker.failed(4.0)
    breaker.failed(5.0)
    assert breaker.allows(5.0)


def test_failures_that_a_success_interrupts_do_not_add_up() -> None:
    breaker = a_breaker(2)
    for _ in range(10):
        breaker.failed(1.0)
        breaker.succeeded()
    assert not breaker.is_open(1.0)


def test_zero_failures_mean_that_it_never_opens() -> None:
    breaker = a_breaker(0)
    for at in range(100):
        breaker.failed(float(at))
    assert breaker.allows(99.0)


def test_new_settings_hold_from_the_next_failure_on() -> None:
    breaker = a_breaker(5)
    breaker.failed(1.0)
    breaker.settings = spec.Breaker(failures=2, open_seconds=1.0)
    breaker.failed(2.0)
    assert (breaker.allows(2.9), breaker.allows(3.0)) == (False, True)
