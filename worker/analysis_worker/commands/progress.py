"""How long work shows that it goes on: a bar on a terminal, else a plain line every few seconds."""

import sys
import time
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    import rich.progress


class Progress:
    """Counts `unit`s done of `total` (None: nobody knows how many), on standard error.

    To be used as a context; `note` is a word on where the work is.
    """

    def __init__(
        self,
        label: str,
        *,
        total: float | None,
        unit: str,
        stream: TextIO | None = None,
        line_seconds: float = 5.0,
    ) -> None:
        self._label = label
        self._unit = unit
        self._total = total
        self._stream = stream or sys.stderr
        self._line_seconds = line_seconds
        self._started = time.monotonic()
        self._told_at = self._started
        self.count = 0
        self._bar = self._make_bar() if self._stream.isatty() else None
        self._task = self._bar.add_task(label, total=total, counted="", note="") if self._bar else None

    def _make_bar(self) -> "rich.progress.Progress":
        import rich.console
        import rich.progress

        return rich.progress.Progress(
            rich.progress.SpinnerColumn(),
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.fields[counted]}  {task.fields[note]}"),
            rich.progress.TimeElapsedColumn(),
            console=rich.console.Console(file=self._stream),
            transient=True,
        )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def seconds(self) -> float:
        """Since the work began."""
        return time.monotonic() - self._started

    def advance(self, count: int, *, done: float | None = None, note: str = "") -> None:
        """Count more; `done` is how much of the total is done if that is not the count itself."""
        self.count += count
        completed = self.count if done is None else done
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=completed, counted=self._counted(), note=note)
        elif time.monotonic() - self._told_at >= self._line_seconds:
            self._told_at = time.monotonic()
            share = f" {completed / self._total:.0%}" if self._total else ""
            self._stream.write(f"{self._label}:{share} {self._counted()}  {note}\n")
            self._stream.flush()

    def _counted(self) -> str:
        return f"{self.count:,} {self._unit}, {self.count / max(self.seconds, 1e-3):,.0f}/s"
