"""When to try again."""

from __future__ import annotations

from datetime import timedelta

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0


def backoff(
    tries: int, *, retry_after: float | None = None, spread: float = 0.0, longest: float = LONGEST_SECONDS
) -> timedelta:
    """The pause after the n-th failed try: doubling from one second to the longest, never shorter than the server asked for.

    `spread` between 0 and 1 lengthens it by up to a quarter, so that many failures at once do not come back at once.
    """
    seconds = min(FIRST_SECONDS * 2 ** min(max(tries - 1, 0), 10), longest)
    return timedelta(seconds=max(seconds * (1 + spread / 4), retry_after or 0.0))
