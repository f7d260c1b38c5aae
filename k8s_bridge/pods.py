"""Choices about pods. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from k8s_bridge.errors import NotFound
from k8s_bridge.names import container_name


def pod_for_logs(pods: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The newest pod, running ones first, pods that are going last (H.5). None when there is none."""
    return max(pods, key=_newness, default=None)


def newest_first(pods: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The pods in the order in which they were made, the last one first."""
    return sorted(
        pods, key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"]), reverse=True
    )


def _newness(pod: Mapping[str, Any]) -> tuple[bool, bool, str, str]:
    metadata = pod["metadata"]
    stays = not metadata.get("deletionTimestamp")
    running = pod.get("status", {}).get("phase") == "Running"
    return stays and running, stays, metadata.get("creationTimestamp") or "", metadata["name"]


def log_container(pod: Mapping[str, Any], wanted: str | None) -> str:
    """The name, in the pod, of the container that is asked for in either form (H.4); None means the first.

    Raises NotFound, naming the containers that there are.
    """
    present = [item["name"] for item in pod["spec"]["containers"]]
    if wanted is None:
        return str(present[0])
    for candidate in (wanted, container_name(wanted)):
        if candidate in present:
            return candidate
    raise NotFound(
        f"Pod {pod['metadata']['name']} has no container {wanted!r}: it has {', '.join(present)}.", status=404
    )
