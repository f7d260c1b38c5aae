"""`python -m tests.bench.reconcile`: reconciles three times and prints, as JSON, seconds, counts, queries and memory."""

from __future__ import annotations

import json
import resource
import time

import django
import psutil

django.setup()

from django.db import connection  # noqa: E402

from workflows.services.reconciling import reconcile  # noqa: E402

PASSES = 3


def main() -> None:
    start = psutil.Process().memory_info().rss
    seconds: list[float] = []
    counts: list[dict[str, int]] = []
    queries: list[int] = []
    count = 0

    def counted(execute, *args):
        nonlocal count
        count += 1
        return execute(*args)

    with connection.execute_wrapper(counted):
        for _ in range(PASSES):
            count, began = 0, time.monotonic()
            counts.append(reconcile())
            seconds.append(time.monotonic() - began)
            queries.append(count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes on Linux
    print(
        json.dumps(
            {
                "seconds": seconds,
                "counts": counts,
                "queries": queries,
                "start_mb": start / 2**20,
                "peak_mb": peak / 2**10,
            }
        )
    )


if __name__ == "__main__":
    main()
