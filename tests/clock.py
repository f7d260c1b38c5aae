"""Time for tests of waiting."""

from __future__ import annotations


class Clock:
    """Time that passes only while somebody sleeps: what is tested does not depend on how busy the machine is."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
