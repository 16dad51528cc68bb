"""What is started and stopped, as the context of a `with`."""

import abc
from typing import Self


class Startable(abc.ABC):
    """Started when a `with` begins, stopped when it ends, however that ends."""

    @abc.abstractmethod
    def start(self) -> None:
        """Start it; who derives from it says what that may raise."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Stop it. May be called twice."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
