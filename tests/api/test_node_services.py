"""The Service and the ingress of app nodes: whose word counts, and which names are taken (contract C.7, D.5, H.2)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.factories import AppTemplateFactory, InstanceFactory, JobTemplateFactory, NodeFactory
from workflows.models import WorkflowInstance, WorkflowNode

PORTS = [{"name": "http", "port": 80, "target_port": 8080, "protocol": "TCP"}]
OTHER_PORTS = [{"name": "api", "port": 81, "target_port": 81, "protocol": "UDP"}]
INGRESS = {"create_ingress": True, "ingress_type": "nginx", "ingress_host": "a.example.org", "ingress_ip": "10.0.0.1"}


@pytest.fixture
def draft(db: None) -> WorkflowInstance:
    instance: WorkflowInstance = InstanceFactory(name="flow")
    return instance


@pytest.fixture
def path(draft: WorkflowInstance) -> str:
    return f"/workflow-instances/{draft.pk}/nodes"


def fields_of(refusal: dict[str, Any]) -> list[str]:
    return [item["field"] for item in refusal["details"]["fields"]]


def app_node(draft: WorkflowInstance, *, template: dict[str, Any] | None = None, **fields: Any) -> WorkflowNode:
    made = AppTemplateFactory(**{"service_ports": PORTS, **(template or {})})
    node: WorkflowNode = NodeFactory(instance=draft, node_type="app", template_id=made.pk, **fields)
    return node


def test_an_app_node_shows_what_its_template_says_about_the_service(member: Api, path: str) -> None:
    template = AppTemplateFactory(service_ports=PORTS, service_name="web", service_type="NodePort").pk

    made = member.send("POST", path, {"node_type": "app", "template_id": template, "name": "web"}, status=201)

    assert {key: made[key] for key in made if "service" in key or "ingress" in key} == {
        "service_name": "web",
        "create_service": True,
        "service_ports": PORTS,
        "service_type": "NodePort",
        "create_ingress": False,
        "ingress_type": None,
        "ingress_host": None,
        "ingress_ip": None,
    }


def test_the_node_wins_over_its_template(member: Api, path: str) -> None:
    template = AppTemplateFactory(service_ports=PORTS, service_name="web").pk
    chosen = {"service_name": "mine", "service_ports": OTHER_PORTS, "service_type": "LoadBalancer", **INGRESS}

    made = member.send("POST", path, {"node_type": "app", "template_id": template, "name": "w"} | chosen, status=201)

    assert chosen.items() <= made.items()


def test_the_real_service_name_is_shown_while_it_exists(member: Api, draft: WorkflowInstance, path: str) -> None:
    node = app_node(draft, service_name="svc-wf-real", requested_service_name="wanted")

    assert member.read(f"{path}/{node.pk}")["service_name"] == "svc-wf-real"


def test_a_null_service_field_means_the_template(member: Api, path: str, draft: WorkflowInstance) -> None:
    node = app_node(draft, service_ports=OTHER_PORTS, service_type="NodePort", create_service=False)
    cleared = {"service_ports": None, "service_type": None, "create_service": None}

    changed = member.send("PUT", f"{path}/{node.pk}", cleared)

    assert (changed["service_ports"], changed["service_type"], changed["create_service"]) == (PORTS, "ClusterIP", True)


def test_service_fields_of_a_job_are_ignored(member: Api, path: str) -> None:
    body = {"node_type": "job", "template_id": JobTemplateFactory().pk, "name": "j", "service_name": "web", **INGRESS}

    made = member.send("POST", path, body, status=201)

    assert made["service_name"] is None
    assert "create_ingress" not in made
    node = WorkflowNode.objects.get()
    assert (node.requested_service_name, node.create_ingress, node.ingress_host) == (None, None, None)
    assert "create_ingress" not in member.send("PUT", f"{path}/{node.pk}", {"service_name": "web", **INGRESS})


WRONG = {
    "service_name": "BAD_NAME",
    "service_type": "x",
    "service_ports": [{"port": "none"}],
    "create_service": "perhaps",
    "ingress_type": "traefik",
}


@pytest.mark.parametrize("field", WRONG)
def test_service_fields_of_a_job_are_ignored_also_where_they_would_be_wrong(
    member: Api, path: str, draft: WorkflowInstance, field: str
) -> None:
    wrong = {field: WRONG[field]}
    body = {"node_type": "job", "template_id": JobTemplateFactory().pk, "name": "j", **wrong}
    app = {"node_type": "app", "template_id": AppTemplateFactory().pk, "name": "a"}

    made = member.send("POST", path, body, status=201)
    assert member.send("PUT", f"{path}/{made['id']}", {"name": "k", **wrong})["name"] == "k"
    whole = {"name": "w", "project_id": draft.project_id, "nodes": [body]}
    member.send("POST", "/workflow-instances", whole, status=201)

    assert field in fields_of(member.refused("POST", path, app | wrong, status=400))[0]
    made = member.send("POST", path, app, status=201)
    assert field in fields_of(member.refused("PUT", f"{path}/{made['id']}", wrong, status=400))[0]


def test_a_service_without_ports_is_no_error(member: Api, path: str) -> None:
    body = {"node_type": "app", "template_id": AppTemplateFactory().pk, "name": "a", "create_service": True}

    assert member.send("POST", path, body, status=201)["service_ports"] == []


@pytest.mark.parametrize("left_out", ["ingress_type", "ingress_host", "ingress_ip"])
def test_an_ingress_is_complete_or_400(member: Api, path: str, left_out: str) -> None:
    body = {"node_type": "app", "template_id": AppTemplateFactory(service_ports=PORTS).pk, "name": "a", **INGRESS}

    assert fields_of(member.refused("POST", path, body | {left_out: ""}, status=400)) == [left_out]
    assert fields_of(member.refused("POST", path, body | {left_out: None}, status=400)) == [left_out]
    assert fields_of(member.refused("POST", path, body | {"ingress_type": "traefik"}, status=400)) == ["ingress_type"]
    assert not WorkflowNode.objects.exists()


@pytest.mark.parametrize("without", [{"create_service": False}, {"service_ports": []}])
def test_an_ingress_needs_a_service(member: Api, path: str, without: dict[str, Any]) -> None:
    body = {"node_type": "app", "template_id": AppTemplateFactory(service_ports=PORTS).pk, "name": "a", **INGRESS}

    assert fields_of(member.refused("POST", path, body | without, status=400)) == ["create_ingress"]


def test_switching_the_service_off_clears_name_ports_and_ingress(
    member: Api, draft: WorkflowInstance, path: str
) -> None:
    node = app_node(draft, requested_service_name="web", service_ports=OTHER_PORTS, **INGRESS)

    changed = member.send("PUT", f"{path}/{node.pk}", {"create_service": False})

    assert {key: changed[key] for key in changed if "service" in key or "ingress" in key} == {
        "service_name": None,
        "create_service": False,
        "service_ports": [],
        "service_type": "ClusterIP",
        "create_ingress": False,
        "ingress_type": None,
        "ingress_host": None,
        "ingress_ip": None,
    }
    node.refresh_from_db()
    assert (node.requested_service_name, node.service_ports) == (None, [])


def test_an_empty_text_means_that_nothing_was_given(member: Api, draft: WorkflowInstance, path: str) -> None:
    node = app_node(draft, requested_service_name="web")

    assert member.send("PUT", f"{path}/{node.pk}", {"service_name": ""})["service_name"] == "web"


def test_service_names_are_chosen_once_per_instance(member: Api, draft: WorkflowInstance, path: str) -> None:
    first = app_node(draft, requested_service_name="web")
    second = app_node(draft)
    elsewhere = app_node(InstanceFactory())
    body = {"node_type": "app", "template_id": second.template_id, "name": "third"}

    member.refused("POST", path, body | {"service_name": "web"}, status=409)
    refusal = member.refused("PUT", f"{path}/{second.pk}", {"service_name": "web"}, status=409)
    assert refusal["details"] == {"service_name": "web", "nodes": [first.name, second.name]}
    assert WorkflowNode.objects.filter(requested_service_name="web").count() == 1

    member.send("PUT", f"{path}/{first.pk}", {"service_name": "web", "name": "same again"})
    member.send("PUT", f"/workflow-instances/{elsewhere.instance_id}/nodes/{elsewhere.pk}", {"service_name": "web"})
    member.send("PUT", f"{path}/{first.pk}", {"service_name": None})
    member.send("POST", path, body | {"service_name": "web"}, status=201)


def test_names_from_templates_and_generated_ones_are_taken_too(member: Api, draft: WorkflowInstance, path: str) -> None:
    by_template = app_node(draft, template={"service_name": "web"})
    plain = app_node(draft)
    generated = f"svc-wf-{draft.pk[-8:]}-{plain.pk[-8:]}"
    body = {"node_type": "app", "template_id": plain.template_id, "name": "third"}

    member.refused("POST", path, body | {"service_name": "web"}, status=409)
    member.refused("POST", path, body | {"service_name": generated}, status=409)
    member.refused("POST", path, body | {"template_id": by_template.template_id}, status=409)
    member.send("PUT", f"{path}/{by_template.pk}", {"create_service": False})
    member.send("POST", path, body | {"service_name": "web"}, status=201)
