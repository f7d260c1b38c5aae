"""The floor: the least that any controller can do, as a process of its own. It watches pods and creates the next Job; it keeps no
records.

`python -m tests.bench.driver KUBECONFIG NAMESPACE` reads one order per line, {"tag", "chains", "length"}, says "ready" when its
watch is open, begins at the next line and says "done" when the last pod has succeeded.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from k8s_bridge import names
from k8s_bridge.gateway import Gateway
from k8s_bridge.kinds import collection_path
from k8s_bridge.manifests import job_manifest
from k8s_bridge.specs import JOB, Container, Owner, WorkloadSpec
from tests.stack import ROOT

INSTALLATION = "bench-driver"
THREADS = 8
CONTAINER = {"name": "main", "image": "busybox:latest", "command": ["true"]}


def node_id(chain: int, number: int) -> str:
    """What the pods of the driver's Jobs carry as their node id."""
    return f"c{chain}-n{number}"


class Driver:
    """Chains of Jobs in one namespace, made by hand."""

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self._gateway = Gateway.connect(kubeconfig, installation=INSTALLATION)
        self._namespace = namespace
        self._pool = ThreadPoolExecutor(THREADS)

    def _create(self, tag: str, chain: int, number: int) -> None:
        """One POST of the same Job that SecFlow makes of the bench's template."""
        container = Container(name="main", image=CONTAINER["image"], command=tuple(CONTAINER["command"]))
        name = f"{tag}-{chain}-{number}"
        spec = WorkloadSpec(JOB, self._namespace, name, (container,), backoff_limit=0)
        owner = Owner(INSTALLATION, "bench", tag, node_id(chain, number), 1, 1)
        path = collection_path(JOB, self._namespace)
        self._gateway.client.request("POST", path, body=job_manifest(spec, owner))

    def run(self, tag: str, chains: int, length: int) -> None:
        """All chains at once; in each, Job n+1 is made as soon as the watch shows the pod of Job n Succeeded."""
        _, version = self._gateway.list_for_watch("Pod")
        with self._gateway.watch("Pod", version, timeout=1800) as events:
            print("ready", flush=True)
            sys.stdin.readline()
            # A single chain is served by this thread: nothing is quicker.
            waiting: list[Future[None]] = []
            if chains == 1:
                self._create(tag, 0, 0)
            else:
                waiting = [self._pool.submit(self._create, tag, chain, 0) for chain in range(chains)]
            done: set[str] = set()
            for _, pod in events:
                labels = pod["metadata"].get("labels") or {}
                node = labels.get(names.NODE_ID, "")
                if labels.get(names.INSTANCE_ID) != tag or node in done:
                    continue
                if (pod.get("status") or {}).get("phase") != "Succeeded":
                    continue
                done.add(node)
                chain, number = (int(part[1:]) for part in node.split("-"))
                if number + 1 < length and chains == 1:
                    self._create(tag, chain, number + 1)
                elif number + 1 < length:
                    waiting.append(self._pool.submit(self._create, tag, chain, number + 1))
                if len(done) == chains * length:
                    break
            else:
                raise TimeoutError(f"the driver's watch ended after {len(done)} of {chains * length} pods")
        for future in waiting:
            future.result()
        print("done", flush=True)


class DriverProcess:
    """The driver, seen from the bench."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, tag: str, *, chains: int, length: int) -> tuple[float, float]:
        """When it began and when it knew of its last pod, by the monotonic clock."""
        self._say(json.dumps({"tag": tag, "chains": chains, "length": length}))
        self._expect("ready")
        began = time.monotonic()
        self._say("go")
        self._expect("done")
        return began, time.monotonic()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if line != word:
            raise RuntimeError(f"the driver said {line!r} instead of {word!r}")


@contextmanager
def driver_process(kubeconfig: str, namespace: str) -> Iterator[DriverProcess]:
    """The driver as long as the block lasts."""
    command = [sys.executable, "-m", "tests.bench.driver", kubeconfig, namespace]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield DriverProcess(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    logging.getLogger("k8s_bridge.client").setLevel(logging.ERROR)
    driver = Driver(*sys.argv[1:3])
    for line in sys.stdin:
        order = json.loads(line)
        driver.run(order["tag"], order["chains"], order["length"])


if __name__ == "__main__":
    main()
