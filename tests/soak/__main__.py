"""`make soak`: random workflows under random faults, held against the published promises all the time.

Takes the cluster of KUBECONFIG, or the local one. Ctrl-C ends it early. Exit code 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from pathlib import Path

from tests.soak.report import report
from tests.soak.runner import Runner
from tests.soak.stage import clear, stage


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long faults go on (default 10)")
    parser.add_argument("--seed", help="the seed of another soak: the same workflows and faults")
    parser.add_argument("--parallel", type=int, default=6, help="workflows at once (default 6)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes (default 2)")
    parser.add_argument("--watchers", type=int, default=2, help="watcher processes (default 2)")
    parser.add_argument("--keep-going", action="store_true", help="go on after a violation")
    parser.add_argument("--report", type=Path, help="also write the summary to this file")
    parser.add_argument("--folder", type=Path, help="where data and logs go; they are kept then")
    given = parser.parse_args()
    seed = given.seed or secrets.token_hex(4)
    say(f"seed {seed}")
    folder = given.folder or Path(tempfile.mkdtemp(prefix="secflow-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    with stage(folder, seed=seed, workers=given.workers, watchers=given.watchers) as there:
        say("SecFlow runs")
        runner = Runner(there, seed=seed, parallel=given.parallel, keep_going=given.keep_going, say=say)
        runner.run(given.minutes)
        where = "the cluster of KUBECONFIG" if os.environ.get("KUBECONFIG") else "the local cluster"
        progress = there.database.progress()
        text = report(runner.tally, runner.counts, runner.injector.done, progress, where=where)
    print(text)
    if given.report:
        given.report.write_text(text)
    if runner.tally.violations:
        say(f"data and logs are kept in {folder}; the same again: --seed {seed}")
        return 1
    if given.folder is None:
        clear(folder)
    return 0


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
