"""Events about objects, worded as a real cluster words them; a repeated one counts up instead of piling up."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from k8s_bridge.localcluster.controller import parse_time
from k8s_bridge.localcluster.errors import StoreError
from k8s_bridge.localcluster.store import Store, timestamp

logger = logging.getLogger(__name__)

KEPT_FOR: Final = timedelta(hours=1)
_Same = tuple[str, str, str, str, str]


class Recorder:
    """Writes events of one component. Events are dropped an hour after their last occurrence."""

    def __init__(self, store: Store, now: Callable[[], datetime], component: str, host: str = "") -> None:
        self._store = store
        self._now = now
        self._component = component
        self._host = host
        self._names: dict[_Same, str] = {}
        self._ages: deque[tuple[datetime, str, str, _Same]] = deque()

    def normal(self, obj: dict[str, Any], reason: str, message: str, container: str = "") -> None:
        self._record(obj, "Normal", reason, message, container)

    def warning(self, obj: dict[str, Any], reason: str, message: str, container: str = "") -> None:
        self._record(obj, "Warning", reason, message, container)

    def _record(self, obj: dict[str, Any], type: str, reason: str, message: str, container: str) -> None:
        meta = obj["metadata"]
        now = self._now()
        self._drop_old(now)
        same = (meta["uid"], type, reason, message, container)
        namespace = meta.get("namespace") or "default"
        try:
            known = self._store.find("Event", namespace, self._names[same]) if same in self._names else None
            if known is not None:
                self._store.update("Event", {**known, "count": known["count"] + 1, "lastTimestamp": timestamp(now)})
                return
            name = f"{meta['name'][:200]}.{uuid4().hex[:16]}"
            self._store.create("Event", self._event(obj, namespace, name, type, reason, message, container, now))
        except StoreError as error:
            # A namespace that is being deleted takes no new events, as in Kubernetes.
            if error.status not in (403, 404):
                raise
            logger.debug("event dropped", extra={"reason": reason, "object": meta["name"], "why": error.message})
            return
        self._names[same] = name
        self._ages.append((now, namespace, name, same))

    def _event(
        self,
        obj: dict[str, Any],
        namespace: str,
        name: str,
        type: str,
        reason: str,
        message: str,
        container: str,
        now: datetime,
    ) -> dict[str, Any]:
        meta = obj["metadata"]
        involved = {
            "apiVersion": obj["apiVersion"],
            "kind": obj["kind"],
            "name": meta["name"],
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
        }
        if "namespace" in meta:
            involved["namespace"] = meta["namespace"]
        if container:
            involved["fieldPath"] = f"spec.containers{{{container}}}"
        source = {"component": self._component, **({"host": self._host} if self._host else {})}
        return {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved,
            "type": type,
            "reason": reason,
            "message": message,
            "source": source,
            "count": 1,
            "firstTimestamp": timestamp(now),
            "lastTimestamp": timestamp(now),
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }

    def _drop_old(self, now: datetime) -> None:
        while self._ages and now - self._ages[0][0] > KEPT_FOR:
            _, namespace, name, same = self._ages.popleft()
            found = self._store.find("Event", namespace, name)
            if found is not None and now - parse_time(found["lastTimestamp"]) <= KEPT_FOR:
                self._ages.append((parse_time(found["lastTimestamp"]), namespace, name, same))
                continue
            self._names.pop(same, None)
            if found is not None:
                self._store.delete("Event", namespace, name)


def drop_old_events(store: Store, now: datetime) -> None:
    """Remove what an earlier run of the cluster left behind and nobody counts any more."""
    for event in store.list("Event")[0]:
        last = event.get("lastTimestamp") or event["metadata"]["creationTimestamp"]
        if now - parse_time(last) > KEPT_FOR:
            store.delete("Event", event["metadata"]["namespace"], event["metadata"]["name"])
