"""Sync: one full reconcile while many nodes run.

Nodes that run for hours without a processor: each is a suspended Job, which the cluster leaves alone, and a pod on a simulated node
under that Job's labels.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from k8s_bridge import names
from k8s_bridge.client import ClusterClient
from k8s_bridge.kinds import POD, collection_path
from k8s_bridge.manifests import job_manifest
from k8s_bridge.specs import JOB, Container, Owner, WorkloadSpec
from tests.bench.bed import Bed, environment
from tests.bench.driver import CONTAINER
from tests.bench.figures import Row, Skipped
from tests.bench.pods import PodWatch
from tests.bench.simulated import simulated_nodes
from tests.stack import ROOT

PER_INSTANCE = 100
_WRITERS = 12


def measure_sync(bed: Bed) -> list[Row]:
    """The rows and objects of many running nodes, then reconcile in a process of its own. The bed's own must be resting."""
    if bed.is_local:
        raise Skipped("the local cluster runs real processes: too many of them")
    nodes = simulated_nodes(bed.admin)
    count = bed.options.sync_nodes
    bed.say(f"sync: making {count} Jobs and pods")
    with PodWatch(bed.stack.kubeconfig, bed.namespace) as pods, _Writer(bed, nodes) as writer:
        made = writer.make_all(count)
        pods.wait_running(count, seconds=900)
    bed.say("sync: writing the rows")
    rows = {"project": bed.project, "template": bed.template, "made": made}
    _run(bed, "tests.bench.running_rows", json.dumps(rows))
    bed.say("sync: three times reconcile")
    found = json.loads(_run(bed, "tests.bench.reconcile").splitlines()[-1])
    _demand_agreement(found["counts"], count)
    return rows_of(found, count)


def _run(bed: Bed, module: str, text: str = "") -> str:
    """What a module of the bench prints in a process of its own, as one of SecFlow's."""
    env = {**os.environ, **environment(bed.stack)}
    command = [sys.executable, "-m", module]
    done = subprocess.run(command, cwd=ROOT, env=env, input=text, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr[-1500:]}")
    return done.stdout


def _demand_agreement(passes: list[dict[str, int]], count: int) -> None:
    """The figure is worth nothing unless every node was seen and all was as recorded."""
    for counts in passes:
        if counts["seen"] != 2 * count or counts["moved"] or counts["missing"] or counts["stray"]:
            raise RuntimeError(f"reconcile found {counts} with {count} running nodes")


def rows_of(found: dict[str, Any], count: int) -> list[Row]:
    """The slowest pass and the most memory count."""
    passes = ", ".join(f"{seconds:.2f}" for seconds in found["seconds"])
    name = f"full reconcile, {count} running nodes"
    return [
        Row(name, max(found["seconds"]), "s", most=10.0, note=f"passes: {passes} s; {found['queries'][-1]} queries"),
        Row(f"{name}, memory", found["peak_mb"], "MB", most=300.0, note=f"{found['start_mb']:.0f} MB before"),
    ]


class _Writer:
    """Makes the objects, several at once."""

    def __init__(self, bed: Bed, nodes: list[str]) -> None:
        self._bed = bed
        self._nodes = nodes
        self._client = ClusterClient(bed.stack.kubeconfig, pool_size=_WRITERS, read_timeout=60)
        with psycopg.connect(bed.stack.database_url) as connection:
            found = connection.execute("SELECT uid FROM secflow_platform_workflow_installation").fetchone()
        assert found is not None
        self._installation = str(found[0])

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def make_all(self, count: int) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        with ThreadPoolExecutor(_WRITERS) as pool:
            for record in pool.map(self._make, range(1, count + 1)):
                made.append(record)
                if len(made) % 1000 == 0:
                    self._bed.say(f"sync: {len(made)} of {count}")
        return made

    def _make(self, attempt: int) -> dict[str, Any]:
        run = (attempt - 1) // PER_INSTANCE + 1
        instance, node = f"wf-inst-sync-{run:08d}", f"wf-node-sync-{attempt:08d}"
        namespace = self._bed.namespace
        container = Container(name="main", image=CONTAINER["image"], command=tuple(CONTAINER["command"]))
        spec = WorkloadSpec(JOB, namespace, names.workload_name(f"{run:08d}", f"{attempt:08d}"), (container,))
        owner = Owner(self._installation, self._bed.project, instance, node, 1, attempt)
        body = job_manifest(spec, owner)
        pod = body["spec"]["template"]
        body["spec"]["suspend"] = True
        job = self._client.request("POST", collection_path(JOB, namespace), body=body)
        meta = {"name": f"{spec.name}-bench", "labels": pod["metadata"]["labels"]}
        placed = {**pod["spec"], "nodeName": self._nodes[attempt % len(self._nodes)]}
        bare = {"apiVersion": "v1", "kind": POD, "metadata": meta, "spec": placed}
        self._client.request("POST", collection_path(POD, namespace), body=bare)
        return {
            "attempt": attempt,
            "run_id": run,
            "instance_id": instance,
            "node_id": node,
            "uid": job["metadata"]["uid"],
            "spec": spec.to_json(),
        }
