"""What a node's settings will probably come to that nobody wanted. Pure.

Nothing here is refused: a wrong hint must not keep anybody from anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from workflows.domain.findings import Path, Severity
from workflows.domain.inputs import NodeView, effective_service
from workflows.domain.node_types.registry import get_node_type

SHORTEST_TTL: Final = 60
# Of a HealthCheck (contract C.5).
_PROBE: Final = {"initial_delay_seconds": 10, "period_seconds": 10, "failure_threshold": 3, "success_threshold": 1}


@dataclass(frozen=True, slots=True)
class Hint:
    """One sentence. `path` leads on from the template if `of_template`, else from the node."""

    severity: Severity
    path: Path
    message: str
    of_template: bool


def hints_for(node: NodeView, *, timeout_seconds: int) -> Iterator[Hint]:
    """Everything worth saying about one node. `timeout_seconds`: its own, or the default of its type."""
    node_type = get_node_type(node.node_type)
    for place, container in enumerate(node.template.containers):
        path: Path = ("containers", place)
        yield from _image(container, path)
        if not _has_resources(node.resources) and not _has_resources(container.get("resources")):
            message = "asks for no resources: it is the first that a full cluster removes; set requests and limits"
            yield Hint(Severity.INFO, (*path, "resources"), message, of_template=True)
        if node_type.has_probes:
            yield from _probes(container, path, timeout_seconds)
    if node_type.has_probes and not any(item.get("readiness_probe") for item in node.template.containers):
        message = (
            "has no readiness probe: the app counts as ready as soon as its processes run, and what waits for it starts"
        )
        yield Hint(Severity.WARNING, ("containers", 0, "readiness_probe"), message, of_template=True)
    ttl = node.template.ttl_seconds_after_finished
    if not node_type.keeps_workload and ttl is not None and ttl < SHORTEST_TTL:
        message = f"{ttl} seconds after its end the Job is gone from the cluster; SecFlow keeps the log, kubectl shows nothing"
        yield Hint(Severity.INFO, ("ttl_seconds_after_finished",), message, of_template=True)


def source_hints(node: NodeView, nodes: Mapping[str, NodeView]) -> Iterator[Hint]:
    """Variables whose source has no Service and that therefore have only their default. `nodes`: all, by id."""
    for place, entry in enumerate(node.input_env_vars):
        source = nodes.get(entry["source_node_id"])
        if source is None or not entry.get("default_value"):
            continue
        if effective_service(source, generated_name="generated").create:
            continue
        why = "makes no Service" if get_node_type(source.node_type).has_service else "is a job, which has no Service"
        message = f"{entry['name']} always has its default value: its source {source.name} {why}"
        yield Hint(Severity.WARNING, ("input_env_vars", place), message, of_template=False)


def _image(container: Mapping[str, Any], path: Path) -> Iterator[Hint]:
    image = str(container.get("image", ""))
    last = image.rpartition("/")[2]
    if "@" in last:
        return
    tag = last.partition(":")[2]
    if tag in ("", "latest"):
        word = "has no tag, which means latest" if not tag else "has the tag latest"
        message = f"{image} {word}: runs of different days may be of different code; name a version"
        yield Hint(Severity.WARNING, (*path, "image"), message, of_template=True)


def _probes(container: Mapping[str, Any], path: Path, timeout_seconds: int) -> Iterator[Hint]:
    readiness, liveness = container.get("readiness_probe"), container.get("liveness_probe")
    if readiness:
        delay, period = _number(readiness, "initial_delay_seconds"), _number(readiness, "period_seconds")
        earliest = delay + period * (_number(readiness, "success_threshold") - 1)
        if earliest >= timeout_seconds:
            message = f"is ready after {earliest} seconds at the earliest, but the node fails after {timeout_seconds}"
            yield Hint(Severity.WARNING, ("timeout_seconds",), message, of_template=False)
    if liveness:
        period, tries = _number(liveness, "period_seconds"), _number(liveness, "failure_threshold")
        killed = _number(liveness, "initial_delay_seconds") + period * (tries - 1)
        if readiness and killed < _number(readiness, "initial_delay_seconds"):
            message = f"may be restarted after {killed} seconds, before its readiness is even asked for"
            yield Hint(Severity.WARNING, (*path, "liveness_probe"), message, of_template=True)


def _number(probe: Mapping[str, Any], key: str) -> int:
    value = probe.get(key)
    return _PROBE[key] if value is None else int(value)


def _has_resources(resources: Mapping[str, Any] | None) -> bool:
    return any((resources or {}).get(side) for side in ("requests", "limits"))
