"""The summary of a soak, as markdown."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tests.soak.checks import Sample, recoveries
from tests.soak.client import Counts
from tests.soak.faults import Done
from tests.soak.runner import Tally


def report(tally: Tally, counts: Counts, faults: Sequence[Done], progress: Sequence[float], *, where: str) -> str:
    """Everything that is worth knowing of a soak."""
    verdict = f"{len(tally.violations)} violations" if tally.violations else "no violation"
    failed = ", ".join(f"{name} {count}" for name, count in sorted(counts.failed.items())) or "none"
    lines = [
        f"# Soak: {verdict}",
        "",
        f"{tally.seconds / 60:.1f} minutes on {where}, seed `{tally.seed}`.",
        "",
        "| what | how many |",
        "|---|---|",
        f"| workflows | {sum(tally.courses.values())} ({_counted(tally.courses)}) |",
        f"| runs accepted | {tally.runs} |",
        f"| nodes | {tally.nodes} |",
        f"| faults | {len(faults)} |",
        f"| requests | {counts.requests} |",
        f"| failed requests, all asked again | {sum(counts.failed.values())} ({failed}) |",
        "",
        "## Faults and recovery",
        "",
        "Recovery is the time from the end of the fault until the next node begins or ends.",
        "",
        "| fault | how many | recovery p50 | p95 | longest | process back, longest |",
        "|---|---|---|---|---|---|",
        *_faults(faults, progress),
        "",
        "## Processes",
        "",
        "| role | processes seen | memory at most | open files at most |",
        "|---|---|---|---|",
        *_processes(tally.samples),
        "",
        "## Violations",
        "",
        *([f"- {line}" for line in tally.violations] or ["None."]),
        "",
    ]
    return "\n".join(lines)


def _counted(courses: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(courses.items()))


def _faults(faults: Sequence[Done], progress: Sequence[float]) -> list[str]:
    groups: dict[str, list[Done]] = defaultdict(list)
    for done in faults:
        groups[f"{done.fault.kind} {done.fault.target}"].append(done)
    lines = []
    for name, group in sorted(groups.items()):
        times = recoveries([done.ended_at for done in group], progress)
        backs = [done.back_at - done.began_at for done in group if done.back_at is not None]
        cells = [name, str(len(group)), *_spread(times), _seconds(max(backs)) if backs else ""]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _spread(times: Sequence[float]) -> tuple[str, str, str]:
    if not times:
        return "", "", ""
    late = statistics.quantiles(times, n=20)[18] if len(times) > 1 else times[0]
    return _seconds(statistics.median(times)), _seconds(min(late, max(times))), _seconds(max(times))


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


def _processes(samples: Iterable[Sample]) -> list[str]:
    roles: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        roles[sample.role].append(sample)
    return [
        f"| {role} | {len({one.pid for one in several})} | {max(one.memory for one in several) >> 20} MiB"
        f" | {max(one.files for one in several)} |"
        for role, several in sorted(roles.items())
    ]
