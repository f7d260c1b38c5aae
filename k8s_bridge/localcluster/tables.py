"""Lists as Tables: the columns that `kubectl get` prints, per kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from k8s_bridge.localcluster.ages import age, human_duration
from k8s_bridge.localcluster.pod_cells import pod_ready, pod_restarts, pod_status

Object = dict[str, Any]
Cell = Callable[[Object, datetime], Any]


@dataclass(frozen=True)
class Column:
    """One column; a `wide` one is shown by `-o wide` only."""

    name: str
    cell: Cell
    type: str = "string"
    wide: bool = False

    def definition(self) -> Object:
        return {
            "name": self.name,
            "type": self.type,
            "format": "name" if self.name == "Name" else "",
            "description": "",
            "priority": 1 if self.wide else 0,
        }


def table(kind: str, objects: list[Object], now: datetime, *, include: str = "Metadata", header: bool = True) -> Object:
    """A Table of `objects`; `include` is what each row carries along: `Metadata`, `Object` or `None`."""
    columns = COLUMNS[kind]
    result: Object = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}}
    result["columnDefinitions"] = [column.definition() for column in columns] if header else []
    result["rows"] = [_row(columns, obj, now, include) for obj in objects]
    return result


def partial(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _row(columns: tuple[Column, ...], obj: Object, now: datetime, include: str) -> Object:
    row: Object = {"cells": [column.cell(obj, now) for column in columns]}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = partial(obj)
    return row


def _at(*path: str, default: Any = "") -> Cell:
    def cell(obj: Object, now: datetime) -> Any:
        found: Any = obj
        for step in path:
            found = found.get(step) if isinstance(found, dict) else None
        return default if found is None else found

    return cell


def _age(obj: Object, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _template(obj: Object) -> list[Object]:
    containers: list[Object] = obj["spec"]["template"]["spec"]["containers"]
    return containers


def _containers(obj: Object, now: datetime) -> str:
    return ",".join(container["name"] for container in _template(obj))


def _images(obj: Object, now: datetime) -> str:
    return ",".join(container["image"] for container in _template(obj))


def _selector(obj: Object, now: datetime) -> str:
    selector = obj["spec"].get("selector") or {}
    pairs = selector if obj["kind"] == "Service" else selector.get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(pairs.items())) or "<none>"


def _job_status(job: Object, now: datetime) -> str:
    status = job.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed", "Suspended"):
            return str(condition["type"])
    return "Terminating" if "deletionTimestamp" in job["metadata"] else "Running"


def _completions(job: Object, now: datetime) -> str:
    done = (job.get("status") or {}).get("succeeded", 0)
    if job["spec"].get("completions") is not None:
        return f"{done}/{job['spec']['completions']}"
    parallel = job["spec"].get("parallelism", 1)
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _duration(job: Object, now: datetime) -> str:
    status = job.get("status") or {}
    if not status.get("startTime"):
        return ""
    end = status.get("completionTime")
    if end is None:
        return age(status["startTime"], now)
    span = datetime.fromisoformat(end) - datetime.fromisoformat(status["startTime"])
    return human_duration(span.total_seconds())


def _deployment_ready(deployment: Object, now: datetime) -> str:
    return f"{(deployment.get('status') or {}).get('readyReplicas', 0)}/{deployment['spec']['replicas']}"


def _service_ports(service: Object, now: datetime) -> str:
    return ",".join(f"{port['port']}/{port['protocol']}" for port in service["spec"].get("ports") or ()) or "<none>"


def _external(service: Object, now: datetime) -> str:
    spec = service["spec"]
    return str(spec.get("externalName") or ",".join(spec.get("externalIPs") or ()) or "<none>")


def _access_modes(claim: Object, now: datetime) -> str:
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    modes = (claim.get("status") or {}).get("accessModes") or ()
    return ",".join(short.get(mode, mode) for mode in modes)


def _node_status(node: Object, now: datetime) -> str:
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = next((item["status"] for item in conditions if item["type"] == "Ready"), "Unknown")
    status = {"True": "Ready", "False": "NotReady"}.get(ready, "Unknown")
    return f"{status},SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else status


def _roles(node: Object, now: datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = node["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or "<none>"


def _address(kind: str) -> Cell:
    def cell(node: Object, now: datetime) -> str:
        addresses = (node.get("status") or {}).get("addresses") or ()
        return next((str(item["address"]) for item in addresses if item["type"] == kind), "<none>")

    return cell


def _last_seen(event: Object, now: datetime) -> str:
    return age(event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp"), now)


def _first_seen(event: Object, now: datetime) -> str:
    return age(event.get("firstTimestamp") or event.get("eventTime"), now)


def _about(event: Object, now: datetime) -> str:
    about = event["involvedObject"]
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def _source(event: Object, now: datetime) -> str:
    source = event.get("source") or {}
    return ", ".join(filter(None, (source.get("component") or event.get("reportingComponent"), source.get("host"))))


def _message(event: Object, now: datetime) -> str:
    return str(event.get("message") or "").strip()


def _entries(obj: Object, now: datetime) -> int:
    return len(obj.get("data") or ()) + len(obj.get("binaryData") or ())


_NAME: Final = Column("Name", _at("metadata", "name"))
_AGE: Final = Column("Age", _age)
_TEMPLATE: Final = (
    Column("Containers", _containers, wide=True),
    Column("Images", _images, wide=True),
    Column("Selector", _selector, wide=True),
)

COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "Pod": (
        _NAME,
        Column("Ready", pod_ready),
        Column("Status", pod_status),
        Column("Restarts", pod_restarts),
        _AGE,
        Column("IP", _at("status", "podIP", default="<none>"), wide=True),
        Column("Node", _at("spec", "nodeName", default="<none>"), wide=True),
    ),
    "Job": (
        _NAME,
        Column("Status", _job_status),
        Column("Completions", _completions),
        Column("Duration", _duration),
        _AGE,
        *_TEMPLATE,
    ),
    "Deployment": (
        _NAME,
        Column("Ready", _deployment_ready),
        Column("Up-to-date", _at("status", "updatedReplicas", default=0), "integer"),
        Column("Available", _at("status", "availableReplicas", default=0), "integer"),
        _AGE,
        *_TEMPLATE,
    ),
    "Service": (
        _NAME,
        Column("Type", _at("spec", "type")),
        Column("Cluster-IP", _at("spec", "clusterIP", default="<none>")),
        Column("External-IP", _external),
        Column("Port(s)", _service_ports),
        _AGE,
        Column("Selector", _selector, wide=True),
    ),
    "PersistentVolumeClaim": (
        _NAME,
        Column("Status", _at("status", "phase")),
        Column("Volume", _at("spec", "volumeName")),
        Column("Capacity", _at("status", "capacity", "storage")),
        Column("Access Modes", _access_modes),
        Column("StorageClass", _at("spec", "storageClassName")),
        _AGE,
        Column("VolumeMode", _at("spec", "volumeMode"), wide=True),
    ),
    "Namespace": (_NAME, Column("Status", _at("status", "phase")), _AGE),
    "Node": (
        _NAME,
        Column("Status", _node_status),
        Column("Roles", _roles),
        _AGE,
        Column("Version", _at("status", "nodeInfo", "kubeletVersion")),
        Column("Internal-IP", _address("InternalIP"), wide=True),
        Column("External-IP", _address("ExternalIP"), wide=True),
        Column("OS-Image", _at("status", "nodeInfo", "osImage", default="<unknown>"), wide=True),
        Column("Kernel-Version", _at("status", "nodeInfo", "kernelVersion", default="<unknown>"), wide=True),
        Column(
            "Container-Runtime", _at("status", "nodeInfo", "containerRuntimeVersion", default="<unknown>"), wide=True
        ),
    ),
    "Event": (
        Column("Last Seen", _last_seen),
        Column("Type", _at("type")),
        Column("Reason", _at("reason")),
        Column("Object", _about),
        Column("Subobject", _at("involvedObject", "fieldPath"), wide=True),
        Column("Source", _source, wide=True),
        Column("Message", _message),
        Column("First Seen", _first_seen, wide=True),
        Column("Count", _at("count", default=1), "integer", wide=True),
        Column("Name", _at("metadata", "name"), wide=True),
    ),
    "ConfigMap": (_NAME, Column("Data", _entries, "integer"), _AGE),
    "Secret": (_NAME, Column("Type", _at("type")), Column("Data", _entries, "integer"), _AGE),
}
