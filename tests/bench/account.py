"""A service account of the bench, so that the API server itself counts SecFlow's requests.

Where the cluster has priority and fairness, a FlowSchema of this account gives the count of everything but log reads, which that
feature leaves out; they are counted as log reads. Elsewhere the count is that of all requests for the kinds that SecFlow handles.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from k8s_bridge.client import ClusterClient
from k8s_bridge.errors import ClusterError, NotFound
from tests.stack import eventually

_FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_KINDS = re.compile(r'resource="(jobs|deployments|services|pods|namespaces|events)"')


@dataclass(frozen=True, slots=True)
class Requests:
    """All requests, and those of them that read logs."""

    total: float
    logs: float

    def __sub__(self, other: Requests) -> Requests:
        return Requests(self.total - other.total, self.logs - other.logs)

    def __mul__(self, factor: float) -> Requests:
        return Requests(self.total * factor, self.logs * factor)


@dataclass
class Account:
    """Whose requests are counted. `kubeconfig` is None where the stack brings its own cluster; `flow` names the FlowSchema."""

    kubeconfig: str | None
    flow: str | None = None

    def requests(self, client: ClusterClient) -> Requests:
        """Requests answered so far. Only differences mean something."""
        text = client.read_text("/metrics")
        return Requests(count_flow(text, self.flow) if self.flow else count_kinds(text), count_logs(text))


def samples(text: str, metric: str) -> Iterator[tuple[str, float]]:
    """Labels and value of each sample of one metric in the Prometheus text format."""
    for found in re.finditer(rf"^{re.escape(metric)}\{{(.*)\}} (\S+)$", text, re.MULTILINE):
        yield found[1], float(found[2])


def count_flow(text: str, schema: str) -> float:
    """What the schema let through, and all log reads."""
    flow = f'flow_schema="{schema}"'
    passed = sum(
        value for labels, value in samples(text, "apiserver_flowcontrol_dispatched_requests_total") if flow in labels
    )
    return passed + count_logs(text)


def count_logs(text: str) -> float:
    """Log reads, whoever made them: the API server does not tell them apart."""
    return sum(value for labels, value in samples(text, "apiserver_request_total") if 'subresource="log"' in labels)


def count_kinds(text: str) -> float:
    """All requests for the kinds of object that SecFlow handles, without those of the cluster's own bookkeeping."""
    return sum(
        value
        for labels, value in samples(text, "apiserver_request_total")
        if _KINDS.search(labels) and 'subresource="status"' not in labels and 'verb="WATCH"' not in labels
    )


@contextmanager
def account_on(kubeconfig: str | None, folder: Path) -> Iterator[Account]:
    """The account as long as the block lasts, with all rights on the cluster; everything is removed afterwards."""
    if kubeconfig is None:
        yield Account(None)
        return
    client = ClusterClient(kubeconfig)
    try:
        try:
            client.request("GET", f"{_FLOW}/flowschemas")
        except NotFound:
            yield Account(kubeconfig)
            return
        # Several benches on one cluster do not meet. All objects of one have its name, the namespace too.
        name = f"secflow-bench-{secrets.token_hex(3)}"
        try:
            _make(client, name)
            own = folder / "kubeconfig"
            own.write_text(json.dumps(with_token(yaml.safe_load(Path(kubeconfig).read_text()), _token(client, name))))
            own.chmod(0o600)
            _await_count(client, str(own), name)
            yield Account(str(own), name)
        finally:
            _remove(client, name)
    finally:
        client.close()


def _make(client: ClusterClient, name: str) -> None:
    for path, body in _objects(name):
        client.request("POST", path, body=body)


def _objects(name: str) -> list[tuple[str, dict[str, Any]]]:
    queuing = {"queues": 16, "handSize": 4, "queueLengthLimit": 500}
    resources = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
    rule = {
        "subjects": [{"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": name}}],
        "resourceRules": [resources],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
    meta = {"metadata": {"name": name}}
    level = {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": 200, "limitResponse": {"type": "Queue", "queuing": queuing}},
    }
    schema = {"matchingPrecedence": 450, "priorityLevelConfiguration": {"name": name}, "rules": [rule]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": name}
    return [
        ("/api/v1/namespaces", meta),
        (f"/api/v1/namespaces/{name}/serviceaccounts", meta),
        (f"{_RBAC}/clusterrolebindings", {**meta, "roleRef": role, "subjects": [subject]}),
        (f"{_FLOW}/prioritylevelconfigurations", {**meta, "spec": level}),
        (f"{_FLOW}/flowschemas", {**meta, "spec": schema}),
    ]


def _remove(client: ClusterClient, name: str) -> None:
    for path in (
        f"{_FLOW}/flowschemas/{name}",
        f"{_FLOW}/prioritylevelconfigurations/{name}",
        f"{_RBAC}/clusterrolebindings/{name}",
        f"/api/v1/namespaces/{name}",
    ):
        with suppress(NotFound):
            client.request("DELETE", path)
    await_namespace_gone(client, name)


def await_namespace_gone(client: ClusterClient, name: str, *, seconds: float = 600) -> None:
    """Returns when the namespace is there no more."""

    def is_gone() -> bool:
        try:
            client.request("GET", f"/api/v1/namespaces/{name}")
        except NotFound:
            return True
        return False

    eventually(is_gone, seconds=seconds, what=f"the end of namespace {name}")


def _token(client: ClusterClient, name: str) -> str:
    path = f"/api/v1/namespaces/{name}/serviceaccounts/{name}/token"
    answer = client.request("POST", path, body={"spec": {"expirationSeconds": 6 * 3600}})
    return str(answer["status"]["token"])


def with_token(config: dict[str, Any], token: str) -> dict[str, Any]:
    """The kubeconfig's current cluster, used with this token and nothing else."""
    current = next(item["context"] for item in config["contexts"] if item["name"] == config["current-context"])
    cluster = next(item["cluster"] for item in config["clusters"] if item["name"] == current["cluster"])
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "bench", "user": {"token": token}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    }


def _await_count(client: ClusterClient, kubeconfig: str, name: str) -> None:
    """The account may do everything, and is counted."""
    own = ClusterClient(kubeconfig)

    def is_counted() -> bool:
        try:
            own.request("GET", "/api/v1/namespaces", query={"limit": "1"})
        except ClusterError:
            return False  # its rights have not come through yet
        return count_flow(client.read_text("/metrics"), name) > 0

    try:
        eventually(is_counted, seconds=60, what="the account's first counted request")
    finally:
        own.close()
