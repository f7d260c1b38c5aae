"""What a user prepares in the cluster before a run: the project's namespace and the claims that its workflows mount."""

from __future__ import annotations

from collections.abc import Sequence

from k8s_bridge.client import ClusterClient
from k8s_bridge.errors import AlreadyExists, ClusterError
from secflow.runtime.definition import Claim
from secflow.runtime.errors import StandError


def ensure_claims(kubeconfig: str | None, project_id: str, claims: Sequence[Claim]) -> None:
    """Make the namespace `secflow-{project_id}` and the claims in it (default storage class); those there are kept.

    Raises StandError when the cluster refuses.
    """
    client = ClusterClient(kubeconfig)
    namespace = f"secflow-{project_id}"
    try:
        _create(
            client, "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        )
        for claim in claims:
            _create(
                client,
                f"/api/v1/namespaces/{namespace}/persistentvolumeclaims",
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": claim.name},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": claim.storage}},
                    },
                },
            )
    except ClusterError as err:
        raise StandError(f"The claims of the example cannot be made in namespace {namespace}: {err}") from err
    finally:
        client.close()


def _create(client: ClusterClient, path: str, body: dict[str, object]) -> None:
    try:
        client.request("POST", path, body=body)
    except AlreadyExists:
        return  # it is there already
