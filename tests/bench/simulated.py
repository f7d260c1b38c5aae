"""Every new pod goes to simulated (kwok) nodes, as long as a block lasts.

Only a cluster of this machine that has such nodes is touched: the others are cordoned, and the taint of the simulated ones is taken
away. Both are put back whatever happens in between.
"""

from __future__ import annotations

import fcntl
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from k8s_bridge.client import ClusterClient
from k8s_bridge.errors import ClusterError, StaleVersion
from tests.bench.figures import Skipped

TAINT = "kwok.x-k8s.io/node"
_NODES = "/api/v1/nodes"
_TRIES = 20

Json = dict[str, Any]


def is_simulated(node: Json) -> bool:
    """A node that kwok plays: by its label and by its annotation."""
    meta = node["metadata"]
    return (meta.get("labels") or {}).get("type") == "kwok" and TAINT in (meta.get("annotations") or {})


def simulated_nodes(client: ClusterClient) -> list[str]:
    """Their names. Raises Skipped when there are none, and on a cluster that is not of this machine."""
    host = urlsplit(client.server).hostname
    if host not in ("127.0.0.1", "localhost", "::1"):
        raise Skipped(f"the nodes of {host} are not touched: simulated figures are for a cluster of this machine")
    found = [node["metadata"]["name"] for node in client.request("GET", _NODES)["items"] if is_simulated(node)]
    if not found:
        raise Skipped("the cluster has no simulated nodes (label type=kwok)")
    return found


@contextmanager
def only_simulated(client: ClusterClient) -> Iterator[None]:
    """New pods go to simulated nodes only. Raises Skipped where that is not possible."""
    # Two benches at once would take the other's changes for what was there before.
    with _alone():
        yield from _only_simulated(client)


def _only_simulated(client: ClusterClient) -> Iterator[None]:
    simulated = set(simulated_nodes(client))
    before = {node["metadata"]["name"]: node["spec"] for node in client.request("GET", _NODES)["items"]}
    try:
        for name in before:
            change(client, name, open_up if name in simulated else cordon)
        yield
    finally:
        with uninterrupted():
            failed = [name for name, spec in before.items() if not _put_back(client, name, spec)]
        if failed:
            raise SystemExit(
                f"these nodes could not be put back as they were: {', '.join(failed)}; see kubectl get nodes"
            )


@contextmanager
def _alone() -> Iterator[None]:
    """One process of this machine at a time; the lock ends with its holder."""
    with (Path(tempfile.gettempdir()) / "secflow-bench-nodes.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """SIGTERM and Ctrl-C change nothing meanwhile."""
    known = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in known.items():
            signal.signal(number, handler)


def open_up(spec: Json) -> None:
    """Takes the taint away that keeps ordinary pods from a simulated node."""
    spec["taints"] = [taint for taint in spec.get("taints") or () if taint.get("key") != TAINT]


def cordon(spec: Json) -> None:
    """No new pods."""
    spec["unschedulable"] = True


def restored(before: Json) -> Callable[[Json], None]:
    """Gives a spec back what `open_up` and `cordon` change, and nothing else."""

    def restore(spec: Json) -> None:
        spec["unschedulable"] = bool(before.get("unschedulable"))
        taints = [taint for taint in spec.get("taints") or () if taint.get("key") != TAINT]
        # The taint of a cordoned node is the cluster's own; it follows `unschedulable`.
        taints += [taint for taint in before.get("taints") or () if taint.get("key") == TAINT]
        spec["taints"] = taints

    return restore


def change(client: ClusterClient, name: str, edit: Callable[[Json], None]) -> None:
    """Edits the node's spec; another one's change in between is kept."""
    for _ in range(_TRIES):
        node = client.request("GET", f"{_NODES}/{name}")
        edit(node["spec"])
        try:
            client.request("PUT", f"{_NODES}/{name}", body=node)
        except StaleVersion:
            continue
        return
    raise RuntimeError(f"node {name} changed {_TRIES} times while it was edited")


def _put_back(client: ClusterClient, name: str, before: Json) -> bool:
    try:
        change(client, name, restored(before))
    except (ClusterError, RuntimeError):
        return False
    return True
