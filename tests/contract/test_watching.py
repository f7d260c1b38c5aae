"""What SecFlow needs of any cluster: changes are seen as they happen, and the way to it may fail."""

from __future__ import annotations

import queue
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from k8s_bridge.errors import Expired, NotAllowed, Unreachable
from k8s_bridge.gateway import Gateway
from k8s_bridge.observations import Phase, observe
from k8s_bridge.streams import WatchStream
from k8s_bridge.watcher import Change, Snapshot, Watcher

if TYPE_CHECKING:
    from tests.contract.conftest import Stage

pytestmark = [pytest.mark.cluster]

Seen = queue.Queue[Snapshot | Change]


def changes_until(seen: Seen, kind: str, happened: str) -> list[Change]:
    """The changes of one kind up to the first of this type."""
    found: list[Change] = []
    while True:
        delivery = seen.get(timeout=60)
        if isinstance(delivery, Change) and delivery.kind == kind:
            found.append(delivery)
            if delivery.type == happened:
                return found


def test_a_job_is_followed_from_its_first_to_its_last_change(stage: Stage) -> None:
    seen: Seen = queue.Queue()
    watcher = Watcher(stage.gateway, seen.put)
    watcher.start()
    try:
        stage.wait_for(lambda: watcher.is_synced or None, "the first snapshots")
        spec = stage.job("true")
        stage.run(spec)
        stage.clear(stage.owner())

        jobs = changes_until(seen, "Job", "DELETED")
    finally:
        watcher.stop()

    phases = [found.phase for change in jobs if (found := observe("Job", change.obj, deleted=change.type == "DELETED"))]
    assert jobs[0].type == "ADDED"
    assert phases[0] == Phase.WAITING
    assert phases[-1] == Phase.SUCCEEDED
    assert watcher.restarts == {"Deployment": 0, "Job": 0, "Pod": 0}


def test_both_the_pod_and_the_job_tell_of_success(stage: Stage) -> None:
    seen: Seen = queue.Queue()
    watcher = Watcher(stage.gateway, seen.put)
    watcher.start()
    try:
        stage.wait_for(lambda: watcher.is_synced or None, "the first snapshots")
        stage.gateway.ensure_workload(stage.job("true"), stage.owner())

        succeeded: list[str] = []
        while len(succeeded) < 2:
            delivery = seen.get(timeout=60)
            found = observe(delivery.kind, delivery.obj) if isinstance(delivery, Change) else None
            if found is not None and found.phase == Phase.SUCCEEDED and found.source not in succeeded:
                succeeded.append(found.source)
    finally:
        watcher.stop()

    # They come by two streams, in no order that anybody promises.
    assert sorted(succeeded) == ["Job", "Pod"]


def test_what_happens_between_list_and_watch_is_not_lost(stage: Stage) -> None:
    _, version = stage.gateway.list_for_watch("Job")
    spec = stage.job("true")
    stage.gateway.ensure_workload(spec, stage.owner())

    with stage.gateway.watch("Job", version, 20) as watch:
        happened, obj = next(watch)

    assert (happened, obj["metadata"]["name"]) == ("ADDED", spec.name)


def test_the_server_ends_a_watch_in_time(stage: Stage) -> None:
    _, version = stage.gateway.list_for_watch("Deployment")

    with stage.gateway.watch("Deployment", version, 1) as watch:
        # What other tests left may still be on its way out.
        seen = [happened for happened, obj in watch if obj["metadata"].get("namespace") == stage.namespace]

    assert seen == []


class Forgetful:
    """The real gateway, but the first watch of each kind asks for a version that is long forgotten."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._kinds: set[str] = set()

    def list_for_watch(self, kind: str) -> tuple[list[dict[str, Any]], str]:
        return self._gateway.list_for_watch(kind)

    def watch(self, kind: str, resource_version: str, timeout: float, *, silence: float | None = None) -> WatchStream:
        if kind in self._kinds:
            return self._gateway.watch(kind, resource_version, timeout, silence=silence)
        self._kinds.add(kind)
        with self._gateway.watch(kind, "1", 1) as watch:
            for _ in watch:
                break
        raise Expired("A young cluster still remembers its first version.")


def test_a_version_that_is_too_old_leads_to_a_new_snapshot(stage: Stage) -> None:
    seen: Seen = queue.Queue()
    watcher = Watcher(Forgetful(stage.gateway), seen.put, kinds=("Job",), first_delay=0.05)
    watcher.start()
    try:
        first, second = seen.get(timeout=10), seen.get(timeout=10)
        stage.gateway.ensure_workload(stage.job("true", name="wf-later"), stage.owner())
        later = changes_until(seen, "Job", "ADDED")
    finally:
        watcher.stop()

    assert isinstance(first, Snapshot)
    assert isinstance(second, Snapshot)
    assert [change.obj["metadata"]["name"] for change in later] == ["wf-later"]
    assert watcher.restarts == {"Job": 1}


def test_the_cluster_says_which_version_it_is(stage: Stage) -> None:
    assert stage.gateway.check().version.startswith("v1.")


def test_an_unknown_token_is_not_allowed(kubeconfig: str, tmp_path: Path) -> None:
    config = yaml.safe_load(Path(kubeconfig).read_text())
    for user in config["users"]:
        user["user"] = {"token": "nobody-knows-this"}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    stranger = Gateway.connect(str(path), installation="x")

    with pytest.raises(NotAllowed) as caught:
        list(stranger.list_owned("Job"))
    stranger.close()

    assert caught.value.status == 401
    assert caught.value.message.startswith("Not allowed to list jobs: ")


def test_a_server_that_is_away_is_unreachable(kubeconfig: str, tmp_path: Path) -> None:
    config = yaml.safe_load(Path(kubeconfig).read_text())
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for cluster in config["clusters"]:
            cluster["cluster"]["server"] = f"https://127.0.0.1:{closed.getsockname()[1]}"
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))

        with pytest.raises(Unreachable) as caught:
            Gateway.connect(str(path), installation="x").check()

    assert caught.value.retryable


def test_a_server_with_a_strange_certificate_is_unreachable(kubeconfig: str, tmp_path: Path) -> None:
    config = yaml.safe_load(Path(kubeconfig).read_text())
    for cluster in config["clusters"]:
        cluster["cluster"] = {"server": cluster["cluster"]["server"]}  # trusts only what the system trusts
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))

    with pytest.raises(Unreachable, match=r"(?i)certificate"):
        Gateway.connect(str(path), installation="x").check()
