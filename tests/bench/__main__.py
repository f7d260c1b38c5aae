"""`make bench`: SecFlow and a minimal driver on the same cluster, in the same run. Ratios are what counts.

Takes the cluster of KUBECONFIG, or the local one. Exit code 1 when an aim is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from k8s_bridge.client import ClusterClient
from tests.bench.driver import INSTALLATION, Driver
from tests.stack import ROOT, Stack, Witness, eventually, running_stack

PROJECT = "bench"
CONTAINER = {"name": "main", "image": "busybox:latest", "command": ["true"]}


@dataclass
class Row:
    """One line of the report. `limit` is the highest ratio that meets the aim; None: only reported."""

    figure: str
    secflow: str
    floor: str = ""
    ratio: float | None = None
    limit: float | None = None

    @property
    def is_missed(self) -> bool:
        return self.limit is not None and self.ratio is not None and self.ratio > self.limit


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--chain", type=int, default=30, help="jobs in the chain (default 30)")
    parser.add_argument("--fan", type=int, default=200, help="parallel jobs (default 200; a real node takes 30)")
    parser.add_argument("--only", choices=["chain", "fan", "lists"], help="measure only this")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    console = Console()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="secflow-bench-") as folder:
        console.print("starting SecFlow")
        with running_stack(Path(folder) / "data", kubeconfig=os.environ.get("KUBECONFIG")) as stack:
            template = make_template(stack)
            if given.only in (None, "chain"):
                console.print(f"a chain of {given.chain} jobs, by the driver and by SecFlow")
                rows += measure_chain(stack, template, given.chain)
            if given.only in (None, "fan"):
                console.print(f"{given.fan} parallel jobs, by the driver and by SecFlow")
                rows += measure_fan(stack, template, given.fan)
            if given.only in (None, "lists"):
                console.print("list of 100 out of 10,000 instances with 10 nodes each")
                rows += measure_lists(stack)
    console.print(table_of(rows))
    if given.json:
        given.json.write_text(json.dumps([vars(row) for row in rows], indent=1))
    return 1 if any(row.is_missed for row in rows) else 0


def make_template(stack: Stack) -> str:
    body = {"name": "bench", "scope": "global", "backoff_limit": 0, "containers": [CONTAINER]}
    return str(stack.api.post("job-templates", body=body)["id"])


def make_instance(stack: Stack, template: str, names: list[str], edges: list[tuple[str, str]]) -> str:
    body = {
        "name": "bench",
        "project_id": PROJECT,
        "nodes": [{"node_type": "job", "template_id": template, "name": name} for name in names],
        "edges": [{"edge_id": f"{a}-{b}", "source": a, "target": b} for a, b in edges],
    }
    return str(stack.api.post("workflow-instances", body=body)["id"])


def installation_of(stack: Stack) -> str:
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute("SELECT uid FROM secflow_platform_workflow_installation").fetchone()
    assert row is not None
    return str(row[0])


def hand_offs(witness: Witness, order: list[str]) -> list[float]:
    """Milliseconds from a pod's Succeeded to the next pod's ADDED, along the chain."""
    pod_of = {node: uid for uid, node in witness.node_of.items()}
    return [
        (witness.added[pod_of[after]] - witness.succeeded[pod_of[before]]) * 1000
        for before, after in zip(order, order[1:], strict=False)
    ]


def measure_chain(stack: Stack, template: str, length: int) -> list[Row]:
    names = [f"n{number}" for number in range(length)]
    with driver(stack) as floor, Witness(stack.kubeconfig, installation=INSTALLATION) as witness:
        floor.run_chain(length)
        eventually(lambda: len(witness.succeeded) == length, what="the driver's last pod")
        theirs = hand_offs(witness, names)
    instance_id = make_instance(stack, template, names, list(zip(names, names[1:], strict=False)))
    ids = {node["name"]: node["id"] for node in stack.instance(instance_id)["nodes"]}
    with Witness(stack.kubeconfig, installation=installation_of(stack)) as witness:
        before = requests(stack)
        began = time.monotonic()
        stack.api.post("workflow-instances", instance_id, "start")
        # The witness tells; asking the API meanwhile would take the processors from what is measured.
        eventually(lambda: len(witness.succeeded) == length, seconds=300, what="the last pod")
        stack.wait_for(instance_id, "succeeded", "failed", seconds=60)
        first = (min(witness.added.values()) - began) * 1000
        ours = hand_offs(witness, [ids[name] for name in names])
    logs_kept(stack, instance_id, length)
    asked = requests(stack) - before
    stack.api.delete("workflow-instances", instance_id)
    p50, p99 = statistics.median(ours), statistics.quantiles(ours, n=100)[98]
    floor50, floor99 = statistics.median(theirs), statistics.quantiles(theirs, n=100)[98]
    return [
        Row(f"hand-off p50, chain of {length}", f"{p50:.1f} ms", f"{floor50:.1f} ms", p50 / floor50, 2.5),
        Row(f"hand-off p99, chain of {length}", f"{p99:.1f} ms", f"{floor99:.1f} ms", p99 / floor99),
        Row("start call to first pod", f"{first:.1f} ms"),
        Row("cluster requests per node, logs included", f"{asked / length:.2f}"),
    ]


def measure_fan(stack: Stack, template: str, width: int) -> list[Row]:
    with driver(stack) as floor:
        theirs = seconds_of(lambda: floor.run_fan(width))
    instance_id = make_instance(stack, template, [f"n{number}" for number in range(width)], [])
    with Witness(stack.kubeconfig, installation=installation_of(stack)) as witness:
        began = time.monotonic()
        stack.api.post("workflow-instances", instance_id, "start")
        eventually(lambda: len(witness.succeeded) == width, seconds=600, what="the last pod")
        ours = max(witness.succeeded.values()) - began
        stack.wait_for(instance_id, "succeeded", "failed", seconds=60)
        recorded = time.monotonic() - began
    stack.api.delete("workflow-instances", instance_id)
    return [
        Row(f"{width} parallel jobs, last pod succeeded", f"{ours:.2f} s", f"{theirs:.2f} s", ours / theirs),
        Row(f"{width} parallel jobs, run recorded", f"{recorded:.2f} s", f"{theirs:.2f} s", recorded / theirs),
    ]


def measure_lists(stack: Stack) -> list[Row]:
    env = {
        **os.environ,
        "DATABASE_URL": stack.database_url,
        "REDIS_URL": stack.redis_url,
        "KUBECONFIG": stack.kubeconfig,
    }
    env |= {
        "DJANGO_SETTINGS_MODULE": "secflow.settings",
        "SECRET_KEY": "b" * 50,
        "HTTPS": "false",
        "LOG_LEVEL": "WARNING",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.lists"], cwd=ROOT, env=env, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:] + done.stdout[-500:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    (p50, p99, _), (floor50, floor99, _) = found["list"], found["floor"]
    return [
        Row("list of 100 instances, p50", f"{p50:.1f} ms", f"{floor50:.1f} ms", p50 / floor50),
        Row("list of 100 instances, p99", f"{p99:.1f} ms", f"{floor99:.1f} ms", p99 / floor99, 4.0),
    ]


@contextmanager
def driver(stack: Stack) -> Iterator[Driver]:
    made = Driver(stack.kubeconfig, f"secflow-{PROJECT}")
    made.clean()
    try:
        yield made
    finally:
        made.clean()
        made.close()


def seconds_of(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def requests(stack: Stack) -> int:
    """Requests that the API server says it has answered, without watches and without its own bookkeeping."""
    client = ClusterClient(stack.kubeconfig)
    try:
        text = client.read_text("/metrics", query={})
    finally:
        client.close()
    total = 0.0
    for line in text.splitlines():
        found = re.match(r"apiserver_request_total\{(.*)\} (\S+)$", line)
        if found is None or 'verb="WATCH"' in found[1]:
            continue
        if re.search(r'resource="(jobs|deployments|services|pods|namespaces)"', found[1]) is None:
            continue
        if 'subresource="status"' not in found[1]:
            total += float(found[2])
    return int(total)


def logs_kept(stack: Stack, instance_id: str, count: int) -> None:
    def is_done() -> bool:
        found = stack.api.get("workflow-instances", instance_id, "logs", page_size="100")
        return sum(1 for item in found["items"] if item["execution_logs"]["fetched_at"]) >= count

    eventually(is_done, seconds=60, what="the kept logs")


def table_of(rows: list[Row]) -> Table:
    table = Table("figure", "SecFlow", "floor", "ratio", "aim", title="SecFlow against the floor of the same run")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        aim = "" if row.limit is None else f"<= {row.limit:g} {'MISSED' if row.is_missed else 'met'}"
        table.add_row(row.figure, row.secflow, row.floor, ratio, aim)
    return table


if __name__ == "__main__":
    sys.exit(main())
