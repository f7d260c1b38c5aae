"""What the scripted cluster is told to answer in the tests of the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k8s_bridge import names
from k8s_bridge.specs import Owner

if TYPE_CHECKING:
    from tests.unit.k8s_bridge.conftest import Call, ScriptedCluster

Json = dict[str, Any]
JOBS = "/apis/batch/v1/namespaces/secflow-p1/jobs"
JOB = f"{JOBS}/wf-x81m44zt-7h2k9q0d"
DEPLOYMENTS = "/apis/apps/v1/namespaces/secflow-p1/deployments"
SERVICES = "/api/v1/namespaces/secflow-p1/services"
PODS = "/api/v1/namespaces/secflow-p1/pods"
OURS = "managed-by=secflow-workflow,secflow.io/installation=inst-a"


def stored(manifest: Json, uid: str, **metadata: Any) -> Json:
    return {**manifest, "metadata": {**manifest["metadata"], "uid": uid, **metadata}}


def created(uid: str) -> Any:
    return lambda call: call.answer(201, stored(call.body or {}, uid))


def taken(call: Call) -> None:
    call.refuse(409, "AlreadyExists", "already exists")


def gone(call: Call) -> None:
    call.refuse(404, "NotFound", "not found")


def deleted(call: Call) -> None:
    call.answer(200, {"kind": "Status", "status": "Success"})


def shows(obj: Json) -> Any:
    return lambda call: call.answer(200, obj)


def listing(*items: Json, token: str = "", version: str = "9") -> Any:
    return lambda call: call.answer(
        200, {"metadata": {"resourceVersion": version, "continue": token}, "items": list(items)}
    )


def sent(cluster: ScriptedCluster) -> list[str]:
    return [f"{call.method} {call.path}" for call in cluster.calls]


def owned(name: str, uid: str, owner: Owner, *, references: tuple[str, ...] = (), **metadata: Any) -> Json:
    return {
        "metadata": {
            "name": name,
            "namespace": "secflow-p1",
            "uid": uid,
            "labels": {"app": name.split(".")[0], **names.labels(owner)},
            "ownerReferences": [{"uid": reference} for reference in references],
            **metadata,
        }
    }
