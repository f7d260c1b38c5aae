"""When a worker is to be replaced (fault F07)."""

from __future__ import annotations

from secflow.runtime.watchdog import LEAST, Watchdog

LIMIT = 60.0


class Broker:
    """A clock, and a broker that takes messages or does not."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.takes = True
        self.dog = Watchdog(lambda: self.takes, limit=LIMIT, now=lambda: self.time)

    def pass_time(self, seconds: float, *, steps: int = 6) -> bool:
        """Whether a canary was late at the end or before."""
        late = False
        for _ in range(steps):
            late = late or self.dog.is_late()
            self.time += seconds / steps
        return late or self.dog.is_late()


def test_silence_for_the_limit_is_late() -> None:
    assert Broker().pass_time(LIMIT)


def test_silence_for_less_is_not() -> None:
    assert not Broker().pass_time(LIMIT * 0.9)


def test_any_message_is_a_sign_of_life() -> None:
    broker = Broker()
    for _ in range(5):
        assert not broker.pass_time(LIMIT * 0.9)
        broker.dog.hear()


def test_nobody_is_late_while_the_broker_takes_nothing() -> None:
    broker = Broker()
    broker.takes = False
    assert not broker.pass_time(10 * LIMIT)
    broker.takes = True
    assert not broker.pass_time(LIMIT * 0.9)
    assert broker.pass_time(LIMIT * 0.2)


def test_a_process_that_stood_still_is_not_late_for_one_lost_message() -> None:
    broker = Broker()
    assert LEAST > 1
    assert not broker.dog.is_late()
    broker.time += 100 * LIMIT
    assert not broker.dog.is_late()
