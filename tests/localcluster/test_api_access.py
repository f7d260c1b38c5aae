"""Who may speak to the server, and what it tells about itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from kubernetes import client

from tests.localcluster.apistand import Api, running_api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/v1/pods", {"Authorization": ""}, 401),
        ("/api/v1/pods", {"Authorization": "Bearer wrong"}, 401),
        ("/metrics", {"Authorization": "Basic x"}, 401),
        ("/api/v1/pods", {"Host": "evil.example"}, 403),
        ("/healthz", {"Host": "evil.example:1"}, 403),
        ("/api/v1/pods", {"Host": "localhost:1"}, 200),
        ("/api/v1/pods", {"Host": "[::1]:1"}, 200),
        ("/readyz", {"Authorization": ""}, 200),
        ("/livez", {"Authorization": ""}, 200),
        ("/healthz", {"Authorization": ""}, 200),
        ("/version", {"Authorization": ""}, 200),
    ],
)
def test_who_may_speak(api: Api, path: str, headers: dict[str, str], status: int) -> None:
    answer = api.send("GET", path, headers={"Origin": "https://evil.example", **headers})

    assert answer.status_code == status
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_the_certificate_is_checked_against_the_own_authority(api: Api) -> None:
    named = api.url.replace("127.0.0.1", "localhost")

    with requests.Session() as stranger:
        stranger.trust_env = False
        with pytest.raises(requests.exceptions.SSLError):
            stranger.get(f"{api.url}/healthz", timeout=5)
        stranger.verify = str(api.identity.ca_certificate)
        answers = [stranger.get(f"{url}/healthz", timeout=5).text for url in (api.url, named)]

    assert answers == ["ok", "ok"]


def test_the_holder_of_the_token_may_do_everything(api: Api) -> None:
    review = client.AuthorizationV1Api(api.client()).create_self_subject_access_review(
        {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods"}}}
    )

    assert review.status.allowed is True


def test_requests_are_counted_per_verb_and_resource(api: Api) -> None:
    api.send("GET", "/api/v1/nodes")
    api.send("GET", "/api/v1/nodes/none")

    lines = api.send("GET", "/metrics").text.splitlines()

    assert (
        'apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="nodes",'
        'scope="cluster",subresource="",verb="LIST",version="v1"} 1'
    ) in lines
    assert any('code="404"' in line and 'resource="nodes"' in line and 'verb="GET"' in line for line in lines)
    assert 'apiserver_storage_objects{resource="namespaces"} 2' in lines


@pytest.mark.parametrize(
    "path", ["/version/", "/api/", "/apis/", "/apis/batch/", "/api/v1", "/apis/apps/v1", "/openapi/v3"]
)
def test_discovery_answers_with_and_without_a_slash(api: Api, path: str) -> None:
    first, second = api.send("GET", path), api.send("GET", path.rstrip("/"))

    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()


def test_both_forms_of_discovery_name_the_same_resources(api: Api) -> None:
    wanted = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"

    answers = [api.send("GET", path, headers={"Accept": wanted}) for path in ("/api", "/apis")]
    classic = [api.send("GET", path).json() for path in ("/api/v1", "/apis/apps/v1", "/apis/batch/v1")]

    assert all("APIGroupDiscoveryList" in answer.headers["Content-Type"] for answer in answers)
    found = {
        resource["resource"]
        for answer in answers
        for item in answer.json()["items"]
        for resource in item["versions"][0]["resources"]
    }
    assert found == {entry["name"] for page in classic for entry in page["resources"] if "/" not in entry["name"]}
