"""What `manage.py doctor` looks at in the cluster: version, rights one by one (contract H.5), storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from k8s_bridge.client import ClusterClient
from k8s_bridge.errors import ClusterError, NotAllowed, NotFound
from secflow.runtime.checkup import Finding
from secflow.settings.variables import SecFlowSettings

# Contract H.5, and events as evidence of failures: (API group, resource, subresource, verbs). docs/security.md has the role.
RIGHTS = (
    ("", "namespaces", "", ("get", "list", "create")),
    ("", "pods", "", ("get", "list", "watch", "delete")),
    ("", "pods", "log", ("get",)),
    ("", "services", "", ("get", "list", "watch", "create", "update", "delete")),
    ("apps", "deployments", "", ("get", "list", "watch", "create", "update", "delete")),
    ("batch", "jobs", "", ("get", "list", "watch", "create", "update", "delete")),
    ("", "persistentvolumeclaims", "", ("get", "list")),
    ("", "events", "", ("get", "list")),
)
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def check_cluster(found: SecFlowSettings) -> Iterable[Finding]:
    """The cluster answers, SecFlow may do there what it must, and claims get a volume by themselves."""
    answer = list(check_reachable(found))
    yield from answer
    if any(finding.level == "fail" for finding in answer):
        return
    client = ClusterClient(found.kubeconfig, read_timeout=10)
    try:
        yield from _rights(client)
        yield from _storage(client)
    except ClusterError as err:
        yield Finding("cluster", "fail", f"stopped answering: {err}", "Run doctor again.")
    finally:
        client.close()


def check_reachable(found: SecFlowSettings) -> Iterable[Finding]:
    """The cluster answers and accepts SecFlow's credentials."""
    client = ClusterClient(found.kubeconfig, read_timeout=10)
    try:
        version = client.request("GET", "/version")
        yield Finding("cluster", "ok", f"Kubernetes {version.get('gitVersion', '?')} at {client.server}")
    except ClusterError as err:
        text = " ".join(str(err).split()).rstrip(".")
        yield Finding("cluster", "fail", text, "Correct KUBECONFIG, or see that the cluster runs.")
    finally:
        client.close()


def _rights(client: ClusterClient) -> Iterator[Finding]:
    missing = []
    for group, resource, subresource, verbs in RIGHTS:
        for verb in verbs:
            try:
                allowed = _may(client, group, resource, subresource, verb)
            except NotFound:
                yield Finding("rights", "ok", "this cluster has no access rules")
                return
            if not allowed:
                missing.append(f"{verb} {resource}{'/' if subresource else ''}{subresource}")
    if missing:
        yield Finding(
            "rights",
            "fail",
            f"SecFlow's account may not: {', '.join(missing)}",
            "Give its service account the ClusterRole of docs/security.md, Rights in the cluster.",
        )
    else:
        yield Finding("rights", "ok", "everything SecFlow needs is allowed, making namespaces included")


def _may(client: ClusterClient, group: str, resource: str, subresource: str, verb: str) -> bool:
    attributes = {"group": group, "resource": resource, "verb": verb}
    if subresource:
        attributes["subresource"] = subresource
    answer = client.request(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        body={
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        },
    )
    return bool(answer.get("status", {}).get("allowed"))


def _storage(client: ClusterClient) -> Iterator[Finding]:
    try:
        items = client.request("GET", "/apis/storage.k8s.io/v1/storageclasses")["items"]
    except NotFound:
        yield Finding("storage", "ok", "claims are folders of the local cluster")
        return
    except NotAllowed:
        yield Finding("storage", "ok", "not looked at: SecFlow needs no right to read storage classes")
        return
    default = [
        i["metadata"]["name"] for i in items if i["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true"
    ]
    if default:
        yield Finding("storage", "ok", f"default class {default[0]}")
    else:
        yield Finding(
            "storage",
            "warn",
            "there is no default storage class: claims that name none stay pending",
            "Mark one as default, or name a class in every claim.",
        )
