"""What the gateway hands back: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from k8s_bridge.specs import Owner


@dataclass(frozen=True, slots=True)
class Ensured:
    """The workload exists. `created` is False when it was there already and was adopted. `service_name` is the name of
    its Service, None when it has none.
    """

    uid: str
    created: bool
    service_name: str | None = None


@dataclass(frozen=True, slots=True)
class NameHolder:
    """Who holds a name. `owner` is set only for an object of this installation; neither free nor owned means somebody
    else's.
    """

    free: bool
    owner: Owner | None = None

    @property
    def is_foreign(self) -> bool:
        return not self.free and self.owner is None


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is still there after a deletion, objects that are going included. `names` are "Kind/name", sorted; `going`
    are the pods among them that were told to end and only use their grace period up.
    """

    count: int
    names: tuple[str, ...] = ()
    going: int = 0


@dataclass(frozen=True, slots=True)
class PodLogs:
    """The text one container of one pod has written. Bytes that are no UTF-8 are replaced."""

    pod_name: str
    container: str
    text: str


@dataclass(frozen=True, slots=True)
class WarningEvent:
    """One warning of the cluster about one object. `last_seen` is ISO 8601 in UTC or None."""

    kind: str
    name: str
    reason: str
    message: str
    count: int
    last_seen: str | None


def warning_event(item: Mapping[str, Any]) -> WarningEvent:
    """An Event object of the cluster, old form or new."""
    involved = item.get("involvedObject") or {}
    return WarningEvent(
        kind=str(involved.get("kind", "")),
        name=str(involved.get("name", "")),
        reason=str(item.get("reason") or ""),
        message=str(item.get("message") or ""),
        count=int(item.get("count") or (item.get("series") or {}).get("count") or 1),
        last_seen=item.get("lastTimestamp") or item.get("eventTime") or item["metadata"].get("creationTimestamp"),
    )


@dataclass(frozen=True, slots=True)
class ClusterVersion:
    """Which cluster answers: `version` as in "v1.34.4", `server` is its address."""

    version: str
    server: str
