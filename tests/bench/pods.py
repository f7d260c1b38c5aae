"""The independent witness: one raw watch of a namespace's pods, in the process of the bench."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from k8s_bridge import names
from k8s_bridge.client import ClusterClient, Stream
from k8s_bridge.errors import ClusterError
from k8s_bridge.kinds import POD, collection_path


@dataclass(slots=True)
class Seen:
    """When a node's pod was first seen at all, running and succeeded, by this process's monotonic clock."""

    added: float
    running: float | None = None
    succeeded: float | None = None


class PodWatch:
    """Every pod of the namespace as long as the block lasts, by instance id and node id as its labels tell."""

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self._client = ClusterClient(kubeconfig)
        self._path = collection_path(POD, namespace)
        self._changed = threading.Condition()
        self._seen: dict[str, dict[str, Seen]] = {}
        self._done: dict[str, int] = {}
        self._running: dict[str, int] = {}
        self._problem: BaseException | None = None
        self._is_closing = False

    def __enter__(self) -> PodWatch:
        self._version = self._client.request("GET", self._path, query={"limit": "1"})["metadata"]["resourceVersion"]
        self._stream = self._open()
        self._thread = threading.Thread(target=self._read, name="pod-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closing = True
        self._stream.interrupt()
        self._thread.join(10)
        self._client.close()

    def _open(self) -> Stream:
        query = {"watch": "1", "resourceVersion": self._version, "timeoutSeconds": "7200"}
        return self._client.stream(self._path, query=query, silence=7200)

    def _read(self) -> None:
        try:
            while not self._is_closing:
                for line in self._stream:
                    self._take(line, time.monotonic())
                self._stream.close()
                # The API server ends watches that it cannot serve fast enough; nothing is missed from where this one was.
                self._stream = self._open()
        except (ClusterError, ValueError, KeyError) as err:
            with self._changed:
                self._problem = err
                self._changed.notify_all()
        finally:
            self._stream.close()

    def _take(self, line: bytes, now: float) -> None:
        event = orjson.loads(line)
        pod = event["object"]
        if event["type"] == "ERROR":
            raise ClusterError(str(pod.get("message")))
        self._version = pod["metadata"]["resourceVersion"]
        labels = pod["metadata"].get("labels") or {}
        instance, node = labels.get(names.INSTANCE_ID), labels.get(names.NODE_ID)
        if instance is None or node is None:
            return
        phase = (pod.get("status") or {}).get("phase")
        with self._changed:
            seen = self._seen.setdefault(instance, {}).setdefault(node, Seen(now))
            if phase == "Running" and seen.running is None:
                seen.running = now
                self._running[instance] = self._running.get(instance, 0) + 1
            if phase == "Succeeded" and seen.succeeded is None:
                seen.succeeded = now
                self._done[instance] = self._done.get(instance, 0) + 1
            self._changed.notify_all()

    def of(self, instance: str) -> dict[str, Seen]:
        """The instance's pods by node id."""
        with self._changed:
            return dict(self._seen.get(instance, {}))

    def wait_added(self, instance: str, *, seconds: float) -> float:
        """When its first pod was seen."""
        self._wait(lambda: bool(self._seen.get(instance)), seconds, f"the first pod of {instance}")
        return min(seen.added for seen in self.of(instance).values())

    def wait_succeeded(self, instance: str, count: int, *, seconds: float) -> None:
        """Returns when so many of its nodes have a pod that succeeded."""
        self._wait(lambda: self._done.get(instance, 0) >= count, seconds, f"{count} finished pods of {instance}")

    def wait_running(self, count: int, *, seconds: float) -> None:
        """Returns when so many pods, of all instances, have been seen running."""
        self._wait(lambda: sum(self._running.values()) >= count, seconds, f"{count} running pods")

    def _wait(self, is_true: Callable[[], bool], seconds: float, what: str) -> None:
        with self._changed:
            arrived = self._changed.wait_for(lambda: is_true() or self._problem is not None, seconds)
            if self._problem is not None and not is_true():
                raise RuntimeError(f"the witness of the bench failed: {self._problem}")
            if not arrived:
                raise TimeoutError(f"{what} did not come within {seconds:g} s")


def hand_offs(seen: dict[str, Seen], order: list[str]) -> list[float]:
    """Milliseconds from a pod's Succeeded to the next pod's ADDED, along one chain of node ids."""
    found = []
    for before, after in zip(order, order[1:], strict=False):
        ended = seen[before].succeeded
        if ended is None:
            raise ValueError(f"node {before} has not succeeded")
        found.append((seen[after].added - ended) * 1000)
    return found
