"""The template routes: what each does, and what each refuses (contract A.3, A.5 to A.8, D.3)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from templates_app.models import AppTemplate, JobTemplate
from tests.api.conftest import Api
from tests.api.template_cases import CONTAINER, ROUTES, body
from tests.factories import (
    InstanceFactory,
    JobTemplateFactory,
    NodeFactory,
)


@ROUTES
def test_create_answers_201_with_the_whole_template(
    member: Api, route: str, factory: Any, label: str, resource: str
) -> None:
    made = member.send("POST", route, body(description="first"), status=201)

    assert re.fullmatch(r"wf-tmpl-my-app-[a-z0-9]{8}", made["id"])
    assert made["created_by"] == member.user_id
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", made["created_at"])
    assert made == member.read(f"{route}/{made['id']}")


def test_an_app_template_has_every_default_of_the_contract(member: Api) -> None:
    made = member.send("POST", "/app-templates", body(), status=201)

    assert {key: made[key] for key in made if key not in ("id", "created_at", "updated_at")} == {
        "name": "My App",
        "description": None,
        "scope": "project",
        "project_id": "p1",
        "containers": [
            {
                "name": "web",
                "image": "nginx:1",
                "command": None,
                "args": None,
                "env_vars": [],
                "volume_mounts": [],
                "input_env_vars": [],
                "input_volume_mounts": [],
                "privileged": False,
                "image_pull_policy": "IfNotPresent",
                "resources": None,
                "liveness_probe": None,
                "readiness_probe": None,
            }
        ],
        "service_ports": [],
        "service_name": None,
        "create_service": True,
        "service_type": "ClusterIP",
        "replicas": 1,
        "created_by": member.user_id,
    }


def test_a_job_template_has_no_service_and_no_probes(member: Api) -> None:
    container = CONTAINER | {"liveness_probe": {"type": "http"}, "readiness_probe": "anything"}

    made = member.send("POST", "/job-templates", body(containers=[container], replicas=3), status=201)

    assert (made["ttl_seconds_after_finished"], made["backoff_limit"]) == (3600, 3)
    assert (made["containers"][0]["liveness_probe"], made["containers"][0]["readiness_probe"]) == (None, None)
    assert not {"service_ports", "service_name", "create_service", "service_type", "replicas"} & set(made)


def test_whatever_is_written_is_read_back(member: Api) -> None:
    probe = {
        "type": "http",
        "port": 8080,
        "path": "/healthz",
        "command": None,
        "initial_delay_seconds": 0,
        "period_seconds": 2,
        "timeout_seconds": 1,
        "failure_threshold": 4,
        "success_threshold": 1,
    }
    container = {
        "name": "web",
        "image": "nginx:1",
        "command": ["sh", "-c"],
        "args": [" keep spaces ", ""],
        "env_vars": [{"name": "A", "value": "  as\nit is\t"}, {"name": "B", "value": ""}],
        "volume_mounts": [{"pvc_name": "c", "mount_path": "/data", "sub_path": "a/b", "read_only": True}],
        "input_env_vars": [{"name": "T", "default_value": ""}, {"name": "U", "default_value": None}],
        "input_volume_mounts": [{"mount_path": "/in", "read_only": False, "sub_path": None}],
        "privileged": False,
        "image_pull_policy": "Always",
        "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "128Mi"}},
        "liveness_probe": probe,
        "readiness_probe": probe | {"type": "exec", "command": ["true"], "port": None, "path": None},
    }
    sent = body(
        containers=[container],
        description="two\nlines",
        service_ports=[{"name": "http", "port": 80, "target_port": 8080, "protocol": "UDP"}],
        service_name="my-app",
        create_service=False,
        service_type="NodePort",
        replicas=10,
    )

    made = member.send("POST", "/app-templates", sent, status=201)

    assert {key: made[key] for key in sent} == sent


def test_empty_texts_mean_not_given(member: Api) -> None:
    container = CONTAINER | {
        "volume_mounts": [{"pvc_name": "c", "mount_path": "/data", "sub_path": ""}],
        "resources": {"requests": {"cpu": "", "memory": "1Gi"}, "limit": {"cpu": "2"}},
        "readiness_probe": {"type": "tcp", "port": 80, "path": ""},
    }

    made = member.send(
        "POST", "/app-templates", body(containers=[container], description="", service_name=""), status=201
    )

    assert (made["description"], made["service_name"]) == (None, None)
    stored = made["containers"][0]
    assert stored["volume_mounts"][0]["sub_path"] is None
    assert stored["resources"] == {"requests": {"memory": "1Gi"}, "limits": {"cpu": "2"}}
    assert stored["readiness_probe"]["path"] is None


@pytest.mark.parametrize(
    ("name", "slug"),
    [("扫描", "x"), ("  Nightly   SCAN!  ", "nightly-scan"), ("é" * 128, "x"), ("a" * 128, "a" * 40)],
)
def test_names_of_all_scripts_make_ids(member: Api, name: str, slug: str) -> None:
    made = member.send("POST", "/job-templates", body(name=name), status=201)

    assert re.fullmatch(rf"wf-tmpl-{slug}-[a-z0-9]{{8}}", made["id"])
    assert len(made["id"]) <= 63
    assert made["name"] == name.strip()


def test_names_are_kept_in_one_normal_form(member: Api) -> None:
    made = member.send("POST", "/job-templates", body(name="Cafe\u0301"), status=201)

    assert made["name"] == "Caf\u00e9"


@ROUTES
def test_change_takes_any_subset(member: Api, route: str, factory: Any, label: str, resource: str) -> None:
    made = member.send("POST", route, body(description="old"), status=201)

    changed = member.send("PUT", f"{route}/{made['id']}", {"name": "New"})

    assert {**changed, "updated_at": ""} == {**made, "name": "New", "updated_at": ""}
    assert changed["updated_at"] > made["updated_at"]


def test_change_clears_by_null_and_replaces_lists(member: Api) -> None:
    made = member.send("POST", "/app-templates", body(description="old", service_name="svc"), status=201)

    changed = member.send(
        "PUT",
        f"/app-templates/{made['id']}",
        {"description": None, "service_name": None, "containers": [{"name": "other", "image": "x"}], "id": "ignored"},
    )

    assert (changed["id"], changed["description"], changed["service_name"]) == (made["id"], None, None)
    assert [container["name"] for container in changed["containers"]] == ["other"]


def test_a_change_without_fields_changes_nothing(member: Api) -> None:
    made = member.send("POST", "/app-templates", body(), status=201)

    assert member.send("PUT", f"/app-templates/{made['id']}") == made


@ROUTES
def test_delete_says_what_it_deleted(member: Api, route: str, factory: Any, label: str, resource: str) -> None:
    made = member.send("POST", route, body(), status=201)

    answer = member.send("DELETE", f"{route}/{made['id']}")

    assert answer == {"message": f"{label} {made['id']} deleted successfully"}
    assert member.refused("GET", f"{route}/{made['id']}", status=404)["details"] == {
        "resource": resource,
        "id": made["id"],
    }


@pytest.mark.parametrize("node_type", ["app", "job"])
def test_a_template_in_use_cannot_be_deleted(member: Api, node_type: str) -> None:
    nodes = [NodeFactory(node_type=node_type)]
    template_id = nodes[0].template_id
    nodes.append(NodeFactory(node_type=node_type, template_id=template_id, instance=InstanceFactory(project_id="p9")))
    (AppTemplate if node_type == "app" else JobTemplate).objects.filter(pk=template_id).update(
        created_by=member.user_id
    )

    answer = member.refused("DELETE", f"/{node_type}-templates/{template_id}", status=409)

    assert answer["code"] == "CONFLICT"
    assert answer["details"] == {"instances": sorted(node.instance_id for node in nodes)}
    assert member.read(f"/{node_type}-templates/{template_id}")["id"] == template_id


@ROUTES
def test_unknown_ids_are_404(admin: Api, route: str, factory: Any, label: str, resource: str) -> None:
    for unknown in ("wf-tmpl-x-00000000", "%00", "a%0Ab", "x" * 300, "..", "%F0%9F%92%A9"):
        for method in ("GET", "PUT", "DELETE"):
            assert admin.refused(method, f"{route}/{unknown}", status=404)["code"] == "NOT_FOUND"


def test_ids_of_one_kind_are_unknown_to_the_other(admin: Api) -> None:
    job = JobTemplateFactory()

    admin.refused("GET", f"/app-templates/{job.id}", status=404)
