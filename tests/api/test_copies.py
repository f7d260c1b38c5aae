"""Copies of workflows and templates over HTTP."""

from __future__ import annotations

import pytest

from templates_app.models import AppTemplate, JobTemplate
from tests.api.conftest import Api
from tests.api.workflow_files import FILE, rows, send
from tests.factories import JobTemplateFactory, container
from workflows.models import WorkflowInstance


def test_a_copy_of_a_workflow_is_a_draft_of_its_own(member: Api) -> None:
    id = send(member, FILE)["instance"]["id"]
    WorkflowInstance.objects.filter(pk=id).update(status="succeeded", run_count=3)
    before = member.read(f"/workflow-instances/{id}")

    copy = member.send("POST", f"/workflow-instances/{id}/copy", {}, status=201)

    assert (copy["name"], copy["status"], copy["run_count"]) == ("nightly scan (copy)", "pending", 0)
    assert copy["run_mode"] == "persistent"
    old, new = ({node["name"]: node for node in item["nodes"]} for item in (before, copy))
    assert old.keys() == new.keys()
    assert not {node["id"] for node in old.values()} & {node["id"] for node in new.values()}
    assert new["scan"]["template_id"] == old["scan"]["template_id"]
    assert new["scan"]["input_env_vars"][0]["source_node_id"] == new["target"]["id"]
    assert new["scan"]["depends_on"] == [new["target"]["id"]]
    assert new["target"]["position"] == old["target"]["position"]
    assert member.read(f"/workflow-instances/{id}") == before
    assert member.send("POST", f"/workflow-instances/{id}/copy", {"name": "other"}, status=201)["name"] == "other"


def test_a_copy_of_a_workflow_is_for_members(member: Api, stranger: Api) -> None:
    id = send(member, FILE)["instance"]["id"]
    before = rows()

    stranger.refused("POST", f"/workflow-instances/{id}/copy", {}, status=403)
    member.refused("POST", "/workflow-instances/wf-inst-x-00000000/copy", {}, status=404)
    member.refused("POST", f"/workflow-instances/{id}/copy", {"name": "x" * 129}, status=400)

    assert rows() == before


@pytest.mark.parametrize("name", ["x" * 128, "夜间扫描"])
def test_the_name_of_a_copy_fits(member: Api, name: str) -> None:
    template = JobTemplateFactory(name=name)

    copy = member.send("POST", f"/job-templates/{template.pk}/copy", {}, status=201)

    assert copy["name"].endswith(" (copy)")
    assert len(copy["name"]) <= 128


def test_a_copy_of_a_template_has_its_content(member: Api) -> None:
    ids = {item["kind"]: item["id"] for item in send(member, FILE)["templates"]}
    for kind, model in (("app", AppTemplate), ("job", JobTemplate)):
        old = member.read(f"/{kind}-templates/{ids[kind]}")
        copy = member.send("POST", f"/{kind}-templates/{ids[kind]}/copy", {"name": "mine"}, status=201)

        own = {"id", "name", "created_at", "updated_at"}
        assert {key: value for key, value in copy.items() if key not in own} == {
            key: value for key, value in old.items() if key not in own
        }
        assert copy["name"] == "mine"
        assert model.objects.count() == 2


def test_a_global_template_can_be_made_ones_own(member: Api, stranger: Api) -> None:
    shared = JobTemplateFactory(scope="global", project_id=None, containers=[container()])
    path = f"/job-templates/{shared.pk}/copy"

    member.refused("POST", path, {}, status=403)
    stranger.refused("POST", path, {"project_id": "p1"}, status=403)
    copy = member.send("POST", path, {"project_id": "p1"}, status=201)

    assert (copy["scope"], copy["project_id"], copy["created_by"]) == ("project", "p1", member.user_id)


def test_a_template_of_others_cannot_be_copied(member: Api, stranger: Api) -> None:
    template = JobTemplateFactory()

    stranger.refused("POST", f"/job-templates/{template.pk}/copy", {"project_id": "p2"}, status=403)
    member.refused("POST", "/job-templates/wf-tmpl-x-00000000/copy", {}, status=404)
