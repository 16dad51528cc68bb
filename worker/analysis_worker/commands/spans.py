"""How long a time a window covers: its size by the usual time between two records of the topic."""

from analysis_module import topics, wiring

_UNITS = (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0))


def span_seconds(source: wiring.InputWiring) -> float | None:
    """Seconds that a full window covers; None where records come at no steady pace."""
    known = topics.BY_NAME.get(source.topic)
    if known is None or known.interval_seconds is None:
        return None
    return source.window_size * known.interval_seconds


def worded(seconds: float) -> str:
    """A span in its largest fitting unit: `7 d`, `90 min`."""
    for unit, size in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
