"""Bad and hostile bodies: never a 500, never a half-done change, always the place of the error (contract A.1, A.4)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.factories import InstanceFactory, JobTemplateFactory, NodeFactory
from workflows.models import Event, WorkflowInstance, WorkflowNode

LENGTHS = [0, 1, 62, 63, 64, 253, 254, 65536]
TEXTS = [
    *("a" * length for length in LENGTHS),
    "é" * 64,
    "A_B",
    "trailing-",
    "\u202eevil",
    "zero\u200bwidth",
    "\U0001f600",
    "   ",
    "../../etc/passwd",
    "/proc/self",
    "{{7*7}}",
    "${jndi:x}",
    "a\nb",
    "a\u0007b",
    "'; DROP TABLE x; --",
    "-rf",
    "LD_PRELOAD",
    "A=B",
]
VALUES: list[Any] = [None, True, -1, 2**31, 2**200, 1e308, [], {}, [None], {"a": 1}]

INSTANCE = {"name": "x", "project_id": "p1"}
ENTRY = {"name": "A", "source_node_id": "n"}
MOUNT = {"pvc_name": "data", "mount_path": "/data"}
PORT = {"name": "http", "port": 80, "target_port": 80}


def with_value(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A deep copy of the body with another value at a dotted path."""
    copy = json.loads(json.dumps(body))
    spot: Any = copy
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        spot = spot[part]
    spot[last] = value
    return copy


NODE: dict[str, Any] = {
    "node_type": "app",
    "template_id": "T",
    "name": "n",
    "ref": "n",
    "position": {"x": 1, "y": 2},
    "env_vars": [{"name": "A", "value": "b"}],
    "volume_mounts": [{**MOUNT, "sub_path": "x", "read_only": True}],
    "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}},
    "timeout_seconds": 5,
    "create_service": True,
    "service_name": "web",
    "service_ports": [{**PORT, "protocol": "TCP"}],
    "service_type": "ClusterIP",
    "create_ingress": False,
    "ingress_type": "nginx",
    "ingress_host": "a.example.org",
    "ingress_ip": "10.0.0.1",
    "input_env_vars": [{**ENTRY, "default_value": "x"}],
    "input_volume_mounts": [{"mount_path": "/in", "sub_path": "x", "source_node_id": "n", "source_pvc_name": "y"}],
}
FULL: dict[str, Any] = {
    **INSTANCE,
    "description": "d",
    "run_mode": "once",
    "trigger_type": "manual",
    "trigger_enabled": False,
    "nodes": [NODE],
    "edges": [{"edge_id": "e", "source": "n", "target": "n", "shared_pvc": "x"}],
}


def paths(value: Any, prefix: str = "") -> list[str]:
    """Every dotted path below a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, item in items:
        path = f"{prefix}{key}"
        found += [path, *paths(item, f"{path}.")]
    return found


def assert_refused_or_made(answer: Any, *, allowed: set[int]) -> None:
    document = answer.json()
    assert answer.status_code in allowed, (answer.status_code, document)
    if answer.status_code >= 400:
        assert set(document) == {"code", "message", "details"}
        assert "Traceback" not in document["message"]


@pytest.mark.parametrize("path", paths(FULL))
def test_no_value_anywhere_in_a_create_body_breaks_it(admin: Api, path: str) -> None:
    for value in [*VALUES, *TEXTS]:
        answer = admin.call("POST", "/workflow-instances", with_value(FULL, path, value))
        # The template does not exist, so nothing of this body can be made: what remains is how it is refused.
        assert_refused_or_made(answer, allowed={201, 400, 404, 409, 413})
        if answer.status_code == 201:
            assert path in ("nodes", "edges")
    assert not WorkflowNode.objects.exists()


@pytest.mark.parametrize("path", [path for path in paths(NODE) if path not in ("ref", "node_type", "template_id")])
def test_no_value_anywhere_in_a_node_change_breaks_it(admin: Api, path: str) -> None:
    node = NodeFactory(node_type="app")
    changes = {key: value for key, value in NODE.items() if key not in ("ref", "node_type", "template_id")}
    where = f"/workflow-instances/{node.instance_id}/nodes/{node.pk}"

    for value in [*VALUES, *TEXTS]:
        body = with_value(changes, path, value)
        # One field alone goes further than a whole body with something else wrong in it.
        top = path.partition(".")[0]
        assert_refused_or_made(admin.call("PUT", where, {top: body[top]}), allowed={200, 400, 409, 413})
    assert admin.read(where)["id"] == node.pk


@pytest.mark.parametrize("field", ["action", "edge_id", "source", "target", "shared_pvc"])
@pytest.mark.parametrize("action", ["add", "update", "delete"])
def test_no_value_anywhere_in_an_edge_breaks_it(admin: Api, action: str, field: str) -> None:
    instance = InstanceFactory()
    a, b = NodeFactory(instance=instance), NodeFactory(instance=instance)
    path = f"/workflow-instances/{instance.pk}/edges"
    body = {"action": action, "edge_id": "e", "source": a.pk, "target": b.pk, "shared_pvc": "x"}

    for value in [*VALUES, *TEXTS]:
        answer = admin.call("POST", path, body | {field: value})
        assert_refused_or_made(answer, allowed={200, 400, 404, 409, 413})
        answer = admin.call("PUT", path[:-6], {"edges": [body | {field: value}]})
        assert_refused_or_made(answer, allowed={200, 400, 409, 413})


@pytest.mark.parametrize("field", ["name", "description", "trigger_enabled", "is_active", "edges"])
def test_no_value_anywhere_in_an_instance_change_breaks_it(admin: Api, field: str) -> None:
    instance = InstanceFactory(run_mode="persistent")

    for value in [*VALUES, *TEXTS]:
        answer = admin.call("PUT", f"/workflow-instances/{instance.pk}", {field: value})
        assert_refused_or_made(answer, allowed={200, 400, 409})
    assert admin.read(f"/workflow-instances/{instance.pk}")["id"] == instance.pk


@pytest.mark.parametrize("length", [0, *LENGTHS, 128, 129])
def test_a_name_has_1_to_128_characters(member: Api, length: int) -> None:
    status = 201 if 1 <= length <= 128 else 400

    made = member.send("POST", "/workflow-instances", {"name": "a" * length, "project_id": "p1"}, status=status)

    if status == 201:
        assert made["name"] == "a" * length
        assert len(made["id"]) <= 63


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  spaces  ", "spaces"),
        ("cafe\u0301", "caf\u00e9"),
        ("\u5de5\u4f5c\u6d41", "\u5de5\u4f5c\u6d41"),
        ("\U0001f600", "\U0001f600"),
        ("A_B", "A_B"),
        ("<script>", "<script>"),
    ],
)
def test_display_names_are_kept_and_ids_stay_plain(member: Api, given: str, kept: str) -> None:
    made = member.send("POST", "/workflow-instances", {"name": given, "project_id": "p1"}, status=201)

    assert made["name"] == kept
    assert made["id"].isascii()
    assert made["id"] == made["id"].lower()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": ["x"]}, "name"),
        ({"run_mode": "twice"}, "run_mode"),
        ({"run_mode": None}, "run_mode"),
        ({"trigger_type": "mail"}, "trigger_type"),
        ({"trigger_enabled": "true"}, "trigger_enabled"),
        ({"trigger_enabled": None}, "trigger_enabled"),
        ({"description": 5}, "description"),
        ({"nodes": None}, "nodes"),
        ({"nodes": {}}, "nodes"),
        ({"nodes": [5]}, "nodes.0"),
        ({"nodes": [{"node_type": "cron", "template_id": "t", "name": "n"}]}, "nodes.0.node_type"),
        ({"nodes": [{"node_type": "job", "name": "n"}]}, "nodes.0.template_id"),
        ({"nodes": [{"node_type": "job", "template_id": "t", "name": "n", "id": "x"}]}, "nodes.0.id"),
        ({"nodes": [{"node_type": "job", "template_id": "t", "name": "n", "node_id": "x"}]}, "nodes.0.node_id"),
        ({"edges": [{"edge_id": "e", "source": "a"}]}, "edges.0.target"),
        ({"edges": [{"edge_id": "", "source": "a", "target": "b"}]}, "edges.0.edge_id"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(member: Api, change: dict[str, Any], field: str) -> None:
    refusal = member.refused("POST", "/workflow-instances", INSTANCE | change, status=400)

    assert [item["field"] for item in refusal["details"]["fields"]] == [field]
    assert refusal["message"].startswith(f"{field}: ")
    assert not WorkflowInstance.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"env_vars": [{"name": "A=B", "value": ""}]}, "env_vars.0.name"),
        ({"env_vars": [{"name": "", "value": ""}]}, "env_vars.0.name"),
        ({"env_vars": [{"name": "1A", "value": ""}]}, "env_vars.0.name"),
        ({"env_vars": [{"name": "A"}]}, "env_vars.0.value"),
        ({"env_vars": [{"name": "A", "value": None}]}, "env_vars.0.value"),
        ({"env_vars": [{"name": "A", "value": 5}]}, "env_vars.0.value"),
        ({"env_vars": None}, "env_vars"),
        ({"env_vars": [{"name": f"A{n}", "value": ""} for n in range(1001)]}, "env_vars"),
        ({"volume_mounts": [MOUNT, MOUNT]}, "volume_mounts.1.mount_path"),
        ({"volume_mounts": [MOUNT | {"mount_path": "data"}]}, "volume_mounts.0.mount_path"),
        ({"volume_mounts": [MOUNT | {"mount_path": "/a/../b"}]}, "volume_mounts.0.mount_path"),
        ({"volume_mounts": [MOUNT | {"mount_path": "/" + "a" * 5000}]}, "volume_mounts.0.mount_path"),
        ({"volume_mounts": [MOUNT | {"sub_path": "../x"}]}, "volume_mounts.0.sub_path"),
        ({"volume_mounts": [MOUNT | {"sub_path": "/x"}]}, "volume_mounts.0.sub_path"),
        ({"volume_mounts": [MOUNT | {"pvc_name": ""}]}, "volume_mounts.0.pvc_name"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": -1}, "timeout_seconds"),
        ({"timeout_seconds": 1.5}, "timeout_seconds"),
        ({"timeout_seconds": "5"}, "timeout_seconds"),
        ({"timeout_seconds": 2**31}, "timeout_seconds"),
        ({"timeout_seconds": 2**70}, "timeout_seconds"),
        ({"position": 5}, "position"),
        ({"position": {"x": "1"}}, "position.x"),
        ({"position": {"x": 10**400}}, "position.x"),
        ({"resources": {"requests": {"cpu": "-1"}}}, "resources.requests.cpu"),
        ({"resources": {"limit": {"cpu": "many"}}}, "resources.limits.cpu"),
        ({"service_name": "Web"}, "service_name"),
        ({"service_name": "w" * 64}, "service_name"),
        ({"service_name": "-w"}, "service_name"),
        ({"service_ports": [PORT | {"port": 0}]}, "service_ports.0.port"),
        ({"service_ports": [PORT | {"port": 65536}]}, "service_ports.0.port"),
        ({"service_ports": [PORT, PORT | {"port": 81}]}, "service_ports.1.name"),
        ({"service_ports": [PORT | {"protocol": "ICMP"}]}, "service_ports.0.protocol"),
        ({"service_type": "ExternalName"}, "service_type"),
        ({"input_env_vars": [{"name": "A"}]}, "input_env_vars.0.source_node_id"),
        ({"input_env_vars": [ENTRY, ENTRY]}, "input_env_vars.1.name"),
        ({"input_volume_mounts": [{"mount_path": "/x"}]}, "input_volume_mounts.0.source_node_id"),
        ({"name": ""}, "name"),
        ({"name": "n" * 129}, "name"),
    ],
)
def test_a_wrong_field_of_a_node_is_named_and_nothing_changes(member: Api, change: dict[str, Any], field: str) -> None:
    node = NodeFactory(node_type="app")
    path = f"/workflow-instances/{node.instance_id}/nodes"
    create = {"node_type": "app", "template_id": node.template_id, "name": "new"} | change
    before = member.read(path)

    for refusal in (
        member.refused("POST", path, create, status=400),
        member.refused("PUT", f"{path}/{node.pk}", change, status=400),
    ):
        assert field in [item["field"] for item in refusal["details"]["fields"]]

    assert member.read(path) == before
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"NaN",
        b'{"name": NaN}',
        b'{"name": "a", "name": "b"}',
        b'{"name": "\\ud800", "project_id": "p1"}',
        b'{"name": "\\u0000", "project_id": "p1"}',
        b'{"name": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"position": {"x": 1e999}}',
    ],
)
@pytest.mark.parametrize("tail", ["", "/ID", "/ID/nodes", "/ID/nodes/NODE", "/ID/edges", "/ID/initialize"])
def test_broken_json_is_400_everywhere(member: Api, raw: bytes, tail: str) -> None:
    node = NodeFactory()
    method = "PUT" if tail in ("/ID", "/ID/nodes/NODE") else "POST"
    path = tail.replace("ID", node.instance_id).replace("NODE", node.pk)

    refusal = member.refused(method, f"/workflow-instances{path}", raw, status=400)

    assert refusal["details"]["fields"]
    assert not Event.objects.exists()


def test_a_body_that_is_too_large_is_413(member: Api) -> None:
    body = json.dumps(INSTANCE | {"description": "x" * (2 * 1024 * 1024)}).encode()

    assert member.refused("POST", "/workflow-instances", body, status=413)["code"] == "PAYLOAD_TOO_LARGE"
    assert not WorkflowInstance.objects.exists()


def test_another_media_type_is_415(member: Api) -> None:
    answer = member.generic(
        "POST",
        "/api/workflow/workflow-instances",
        b"name=x",
        content_type="application/x-www-form-urlencoded",
        headers=member.extra_headers,
    )

    assert answer.status_code == 415


def test_too_many_edges_are_a_sentence(member: Api) -> None:
    edges = [{"edge_id": f"e{place}", "source": "a", "target": "b"} for place in range(20_001)]

    refusal = member.refused("PUT", f"/workflow-instances/{InstanceFactory().pk}", {"edges": edges}, status=400)

    assert refusal["message"] == "edges: must have at most 20000 items"


def test_the_last_node_and_the_last_edge_fit(member: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.services.authoring_nodes.MAX_NODES", 2)
    monkeypatch.setattr("workflows.services.authoring_edges.MAX_EDGES", 1)
    instance, template = InstanceFactory(), JobTemplateFactory().pk
    path = f"/workflow-instances/{instance.pk}"
    body = {"node_type": "job", "template_id": template, "name": "n"}

    a, b = (member.send("POST", f"{path}/nodes", body, status=201)["id"] for _ in range(2))
    refusal = member.refused("POST", f"{path}/nodes", body, status=400)
    assert refusal["details"] == {"limit": 2, "count": 3}
    assert "at most 2 nodes" in refusal["message"]

    member.send("POST", f"{path}/edges", {"action": "add", "edge_id": "e1", "source": a, "target": b})
    edge = {"action": "add", "edge_id": "e2", "source": b, "target": a}
    assert "at most 1 edges" in member.refused("POST", f"{path}/edges", edge, status=400)["message"]
