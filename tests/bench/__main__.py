"""`make bench`: SecFlow and a minimal driver on the same cluster, in the same run.

Takes the cluster of KUBECONFIG, or the local one that comes with SecFlow, and prints a table of figures, aims and verdicts. Ratios
are what counts: the floor of each is measured in the same run, on the same machine. Each figure is also said when it is there, and
an interrupted run prints the table of those. Exit code 1 when an aim is missed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from tests.bench import figures
from tests.bench.account import Account, account_on
from tests.bench.bed import Bed, Options, running_bed
from tests.bench.chains import measure_cost, measure_first, measure_handoff
from tests.bench.console import measure_console
from tests.bench.fans import measure_fan, measure_many, measure_wide
from tests.bench.figures import Row, Skipped, Verdict
from tests.bench.idle import measure_idle
from tests.bench.reads import measure_reads
from tests.bench.scale import measure_scale
from tests.bench.sync import measure_sync

# These share one SecFlow; each of the others has one of its own, with its own rows.
SHARED: dict[str, Callable[[Bed], list[Row]]] = {
    "handoff": measure_handoff,
    "first": measure_first,
    "cost": measure_cost,
    "fan": measure_fan,
    "wide": measure_wide,
    "many": measure_many,
}
OWN: dict[str, Callable[[Bed], list[Row]]] = {
    "idle": measure_idle,
    "reads": measure_reads,
    "console": measure_console,
    "sync": measure_sync,
}
# No pass of the stand's own may come between objects and their rows, nor between two that are measured.
ENVIRONMENT = {"sync": {"RECONCILE_SECONDS": "3600"}}

PARTS = """
parts, for --only:
  handoff  a pod Succeeded -> the next pod ADDED, seen by an independent watch, along a chain; against the driver
  first    start call -> first pod ADDED
  cost     API requests per node, counted by the API server, less those of a SecFlow without work
  fan      one instance of parallel nodes on the real node, the whole run; against the driver
  wide     the same with many nodes, on simulated (kwok) nodes
  many     many instances of five nodes at once, on simulated nodes; against the driver
  idle     requests per minute and processor time of all processes with instances at rest
  reads    instance list and detail in a large table; against a raw query as JSON behind the same middleware
  console  front page, lists and the page of an instance in a large table: milliseconds on the server, and queries
  sync     one full reconcile with many running nodes: seconds and memory
  scale    nodes per second with one and with two workers and watchers

The driver is a process with one raw watch that creates identical Jobs and keeps no records. wide, many, scale: for their
duration all other nodes of the cluster are cordoned and the taint of the simulated ones is removed; both are put back.
Only a cluster of this machine with nodes labelled type=kwok is touched so; elsewhere these parts are skipped. After a
SIGKILL of the bench put them back by hand:
  kubectl uncordon NODE; kubectl taint nodes -l type=kwok kwok.x-k8s.io/node=fake:NoSchedule

examples:
  make bench ARGS='--only handoff first --rounds 5'
  KUBECONFIG=... make bench ARGS='--markdown speed.md --json speed.json'
  make bench ARGS='--only wide --wide 50'            a quick look
"""


def main() -> int:
    given = arguments().parse_args()
    options = options_of(given)
    console = Console()
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.0f} s[/]  {escape(text)}", highlight=False)

    # The ends of all `with` blocks put the cluster back as it was; a SIGTERM must not pass them by.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Every client would say that a test cluster's certificate is not checked.
    logging.getLogger("k8s_bridge.client").setLevel(logging.ERROR)
    kubeconfig = os.environ.get("KUBECONFIG") or None
    say(machine())
    rows: list[Row] = []
    try:
        with tempfile.TemporaryDirectory(prefix="secflow-bench-") as folder:
            for part in measure_all(Path(folder), kubeconfig, given.only or [*SHARED, *OWN, "scale"], options, say):
                rows += part
                for row in part:
                    say(figures.line(row))
    except KeyboardInterrupt:
        say("interrupted: what follows is what had been measured")
        return 130
    finally:
        report(rows, console, given)
    return 1 if figures.is_bad(rows) else 0


def report(rows: Sequence[Row], console: Console, given: argparse.Namespace) -> None:
    """The table and the files, of as much as there is."""
    console.print(figures.table(rows, "SecFlow and the floor of the same run"))
    console.print(figures.notes(rows), highlight=False, markup=False)
    if given.json:
        given.json.write_text(json.dumps([figures.as_data(row) for row in rows], indent=1) + "\n")
    if given.markdown:
        given.markdown.write_text(figures.markdown(rows))


def machine() -> str:
    """How fast this machine is, for figures without a floor of the same run: the best of five equal loops."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        sum(number * number for number in range(1_000_000))
        times.append(time.perf_counter() - began)
    return f"{os.cpu_count()} processors; one of them adds a million squares in {min(times) * 1000:.0f} ms"


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, epilog=PARTS, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", choices=[*SHARED, *OWN, "scale"], metavar="PART", help="measure only these"
    )
    for name, meaning in (
        ("rounds", "how often handoff and fan are measured"),
        ("chain", "nodes of the chain of handoff and cost"),
        ("first", "starts of first"),
        ("fan", "nodes of fan"),
        ("many", "instances of many"),
        ("scale", "instances of scale"),
        ("instances", "rows of reads and console"),
        ("idle-instances", "rows of idle"),
        ("idle-seconds", "how long idle and cost watch a SecFlow without work"),
        ("sync-nodes", "running nodes of sync"),
    ):
        value = getattr(defaults, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=_positive, default=value, metavar="N", help=f"{meaning} ({value})")
    parser.add_argument(
        "--wide",
        type=_positive,
        nargs="+",
        default=defaults.wide,
        metavar="N",
        help="nodes of each fan of wide (500 2000)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table, as the README shows it")
    return parser


def options_of(given: argparse.Namespace) -> Options:
    """The sizes that were asked for."""
    return Options(**{name: getattr(given, name) for name in vars(Options()) if name != "wide"}, wide=tuple(given.wide))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def measure_all(
    folder: Path, kubeconfig: str | None, wanted: Sequence[str], options: Options, say: Callable[[str], None]
) -> Iterator[list[Row]]:
    """The rows of each wanted part, one part after the other. One that fails becomes a row that says so; the others go on."""
    with account_on(kubeconfig, folder) as account:
        shared = [name for name in SHARED if name in wanted]
        if shared:
            failed: list[Row] = []
            with guarded("SecFlow", failed), running_bed(folder, account, options, say) as bed:
                for name in shared:
                    with guarded(name, rows := []):
                        rows += SHARED[name](bed)
                    yield rows
            yield failed
        for name in OWN:
            if name in wanted:
                yield measure_alone(name, folder, account, options, say)
        if "scale" in wanted:
            with guarded("scale", rows := []):
                rows += measure_scale(folder, account, options, say)
            yield rows


def measure_alone(name: str, folder: Path, account: Account, options: Options, say: Callable[[str], None]) -> list[Row]:
    """One part with a SecFlow of its own."""
    rows: list[Row] = []
    with guarded(name, rows), running_bed(folder, account, options, say, ENVIRONMENT.get(name)) as bed:
        rows += OWN[name](bed)
    return rows


@contextmanager
def guarded(name: str, rows: list[Row]) -> Iterator[None]:
    """What cannot be measured, and what fails, becomes a row."""
    try:
        yield
    except Skipped as err:
        rows.append(Row(name, outcome=Verdict.SKIPPED, note=str(err)))
    except Exception as err:  # noqa: BLE001  the other figures are still wanted; the exit code tells of this one
        traceback.print_exc()
        rows.append(Row(name, outcome=Verdict.FAILED, note=f"{type(err).__name__}: {err}"[:300]))


if __name__ == "__main__":
    sys.exit(main())
