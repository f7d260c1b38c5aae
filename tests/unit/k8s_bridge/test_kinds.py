from __future__ import annotations

import pytest

from k8s_bridge.kinds import collection_path, describe_call, object_path


@pytest.mark.parametrize(
    ("kind", "namespace", "expected"),
    [
        ("Job", "n", "/apis/batch/v1/namespaces/n/jobs"),
        ("Job", None, "/apis/batch/v1/jobs"),
        ("Deployment", "n", "/apis/apps/v1/namespaces/n/deployments"),
        ("Service", "n", "/api/v1/namespaces/n/services"),
        ("Namespace", None, "/api/v1/namespaces"),
        ("Pod", "../x", "/api/v1/namespaces/..%2Fx/pods"),
    ],
)
def test_collections_have_a_path(kind: str, namespace: str | None, expected: str) -> None:
    assert collection_path(kind, namespace) == expected


def test_objects_and_their_parts_have_a_path() -> None:
    assert object_path("Pod", "n", "a/b?c", "log") == "/api/v1/namespaces/n/pods/a%2Fb%3Fc/log"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_names_that_would_climb_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        object_path("Pod", "n", name)


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/version", {}, ("get", "/version")),
        ("GET", "/api/v1/namespaces", {}, ("list", "namespaces")),
        ("GET", "/api/v1/namespaces/n", {}, ("get", "namespaces")),
        ("POST", "/api/v1/namespaces", {}, ("create", "namespaces")),
        ("GET", "/api/v1/namespaces/n/pods", {}, ("list", "pods")),
        ("GET", "/api/v1/namespaces/n/pods/p", {}, ("get", "pods")),
        ("GET", "/api/v1/namespaces/n/pods/p/log", {}, ("get", "pods/log")),
        ("GET", "/apis/batch/v1/jobs", {"watch": "1"}, ("watch", "jobs")),
        ("GET", "/apis/batch/v1/jobs", {}, ("list", "jobs")),
        ("DELETE", "/apis/apps/v1/namespaces/n/deployments/d", {}, ("delete", "deployments")),
        ("PUT", "/apis/apps/v1/namespaces/n/deployments/d", {}, ("update", "deployments")),
    ],
)
def test_calls_are_described_as_access_rules_name_them(
    method: str, path: str, query: dict[str, str], expected: tuple[str, str]
) -> None:
    assert describe_call(method, path, query) == expected
