"""Workflow files over HTTP: what is checked, what is written, who may, and that applying twice changes nothing."""

from __future__ import annotations

import copy

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from secflow.projects.models import ProjectMember
from templates_app.models import JobTemplate
from tests.api.conftest import Api
from tests.api.workflow_files import FILE, URL, errors, exported, rows, send, value
from tests.factories import (
    InstanceFactory,
    JobTemplateFactory,
    NodeFactory,
    UserFactory,
    container,
)
from workflows.models import Cleanup, Event, WorkflowInstance, WorkflowNode


def test_a_file_makes_a_workflow_with_its_templates(member: Api) -> None:
    answer = send(member, FILE)

    assert errors(answer) == {}
    assert answer["instance"]["action"] == "created"
    assert [(item["handle"], item["name"], item["action"]) for item in answer["templates"]] == [
        ("target", "target", "created"),
        ("scan", "scanner", "created"),
    ]
    instance = member.read(f"/workflow-instances/{answer['instance']['id']}")
    nodes = {node["name"]: node for node in instance["nodes"]}
    assert instance["description"] == "Looks at the target.\nEvery night."
    assert instance["run_mode"] == "persistent"
    assert nodes["scan"]["depends_on"] == [nodes["target"]["id"]]
    assert nodes["scan"]["input_env_vars"][0]["source_node_id"] == nodes["target"]["id"]
    assert nodes["report"]["input_volume_mounts"][0]["pvc_name"] == "data"
    assert nodes["target"]["position"] == {"x": 10.0, "y": 20.0}
    template = member.read(f"/job-templates/{nodes['scan']['template_id']}")
    assert (template["ttl_seconds_after_finished"], template["backoff_limit"]) == (None, 0)


def test_applying_it_again_writes_nothing(member: Api) -> None:
    first = send(member, FILE)
    before = rows()

    again = send(member, FILE)

    assert again["instance"] == first["instance"] | {"action": "unchanged"}
    assert {item["action"] for item in again["templates"]} == {"unchanged"}
    assert rows() == before


def test_an_export_applied_again_writes_nothing(member: Api) -> None:
    id = send(member, FILE)["instance"]["id"]
    before = rows()
    text = exported(member, id)

    answer = send(member, text)

    assert answer["instance"] == {"id": id, "name": "nightly scan", "action": "unchanged"}
    assert rows() == before
    assert exported(member, id) == text
    assert "null" not in text.replace("ttl_seconds_after_finished: null", "")


def test_a_dry_run_says_the_same_and_writes_nothing(member: Api) -> None:
    before = rows()

    dry = send(member, FILE, dry=True)

    assert rows() == before
    assert dry["dry_run"] is True
    assert dry["instance"] == {"id": None, "name": "nightly scan", "action": "created"}
    real = send(member, FILE)
    assert [(item["node"], item["kind"]) for item in dry["manifests"]] == [
        (item["node"], item["kind"]) for item in real["manifests"]
    ]
    assert [item["message"] for item in dry["findings"]] == [item["message"] for item in real["findings"]]


def test_the_first_in_a_project_becomes_its_manager_only_by_writing(db: None) -> None:
    api = Api(UserFactory())

    send(api, FILE, dry=True)
    assert not ProjectMember.objects.exists()

    send(api, FILE)
    assert ProjectMember.objects.get().role == "manager"


def test_json_and_yaml_say_the_same(member: Api) -> None:
    id = send(member, value())["instance"]["id"]

    assert send(member, FILE)["instance"]["action"] == "unchanged"
    file = member.call("GET", f"/workflow-instances/{id}/document", Accept="application/json").json()
    assert send(member, file)["instance"]["action"] == "unchanged"


def test_nodes_keep_their_ids_and_what_is_gone_goes(member: Api) -> None:
    id = send(member, FILE)["instance"]["id"]
    before = {node["name"]: node for node in member.read(f"/workflow-instances/{id}")["nodes"]}
    file = value()
    file["spec"]["nodes"][1]["timeout_seconds"] = 61
    file["spec"]["nodes"][2] |= {"name": "summary"}
    file["spec"]["edges"][1]["to"] = "summary"

    answer = send(member, file)

    instance = member.read(f"/workflow-instances/{id}")
    nodes = {node["name"]: node for node in instance["nodes"]}
    assert answer["instance"] == {"id": id, "name": "nightly scan", "action": "updated"}
    assert nodes["target"]["id"] == before["target"]["id"]
    assert (nodes["scan"]["id"], nodes["scan"]["timeout_seconds"]) == (before["scan"]["id"], 61)
    assert set(nodes) == {"target", "scan", "summary"}
    assert nodes["scan"]["downstream_node_ids"] == [nodes["summary"]["id"]]
    assert nodes["target"]["position"] == {"x": 10.0, "y": 20.0}
    kinds = list(Event.objects.filter(instance_id=id).order_by("sequence").values_list("kind", flat=True))
    assert kinds[-4:] == ["node.deleted", "node.updated", "node.created", "edges.changed"]
    assert list(Event.objects.filter(instance_id=id).order_by("sequence").values_list("sequence", flat=True)) == list(
        range(1, len(kinds) + 1)
    )


def test_a_node_stays_where_it_was_put(member: Api) -> None:
    id = send(member, FILE)["instance"]["id"]
    scan = WorkflowNode.objects.get(name="scan")
    member.send("PUT", f"/workflow-instances/{id}/nodes/{scan.pk}", {"position": {"x": 5, "y": 6}})

    assert send(member, FILE)["instance"]["action"] == "unchanged"
    scan.refresh_from_db()
    assert scan.position == {"x": 5.0, "y": 6.0}


def test_a_node_with_another_template_is_a_new_one(member: Api) -> None:
    id = send(member, FILE)["instance"]["id"]
    before = WorkflowNode.objects.get(name="scan")
    other = JobTemplateFactory(name="other", containers=[container()])
    file = value()
    del file["spec"]["nodes"][1]["template"]
    file["spec"]["nodes"][1]["template_id"] = other.pk

    answer = send(member, file)

    after = WorkflowNode.objects.get(name="scan")
    assert after.pk != before.pk
    assert any("made anew" in item["message"] for item in answer["findings"])
    report = WorkflowNode.objects.get(name="report")
    assert report.input_volume_mounts[0]["source_node_id"] == after.pk
    assert report.depends_on == [after.pk]
    assert {edge["source"] for edge in WorkflowInstance.objects.get(pk=id).edges} == {
        after.pk,
        WorkflowNode.objects.get(name="target").pk,
    }


def test_a_template_is_changed_in_place(member: Api) -> None:
    first = send(member, FILE)
    ids = {item["handle"]: item["id"] for item in first["templates"]}
    file = value(description="Looks at the target.\nEvery night.")
    file["spec"]["templates"]["scan"]["backoff_limit"] = 2

    answer = send(member, file)

    assert answer["instance"]["action"] == "unchanged"
    assert {item["handle"]: (item["id"], item["action"]) for item in answer["templates"]} == {
        "target": (ids["target"], "unchanged"),
        "scan": (ids["scan"], "updated"),
    }
    assert JobTemplate.objects.get().backoff_limit == 2


def test_two_nodes_can_exchange_their_service_names(member: Api) -> None:
    file = value(edges=[])
    file["spec"]["nodes"] = [
        {"name": "a", "template": "target", "service_name": "one"},
        {"name": "b", "template": "target", "service_name": "two"},
    ]
    send(member, file)
    file["spec"]["nodes"][0]["service_name"], file["spec"]["nodes"][1]["service_name"] = "two", "one"

    assert errors(send(member, file)) == {}
    assert dict(WorkflowNode.objects.values_list("name", "requested_service_name")) == {"a": "two", "b": "one"}


def test_nodes_of_one_name_have_refs(member: Api) -> None:
    instance = InstanceFactory(name="twins")
    one, two, end = (NodeFactory(instance=instance, name=name) for name in ("same", "same", "end"))
    instance.edges = [
        {"edge_id": "e1", "source": two.pk, "target": end.pk, "shared_pvc": None},
        {"edge_id": "e2", "source": one.pk, "target": two.pk, "shared_pvc": None},
    ]
    instance.save()
    before = rows()

    text = exported(member, instance.pk)

    assert send(member, text)["instance"]["action"] == "unchanged"
    assert rows() == before
    assert "ref: same-2" in text
    assert "nodes are called same" in str(errors(send(member, text.replace("ref", "x-ref"), dry=True)))


class TestGlobalTemplates:
    def test_are_exported_by_name_and_used_as_they_are(self, member: Api, admin: Api) -> None:
        shared = JobTemplateFactory(name="shared", scope="global", project_id=None, containers=[container()])
        file = value(templates={"s": {"kind": "job", "name": "shared", "scope": "global"}}, edges=[])
        file["spec"]["nodes"] = [{"name": "n", "template": "s"}]

        id = send(member, file)["instance"]["id"]

        text = exported(member, id)
        assert "containers" not in text
        assert "scope: global" in text
        assert send(member, text)["instance"]["action"] == "unchanged"
        assert WorkflowNode.objects.get().template_id == shared.pk

    def test_are_made_by_administrators_only(self, member: Api, admin: Api) -> None:
        file = value()
        file["spec"]["templates"]["scan"]["scope"] = "global"

        assert "administrators" in errors(send(member, file, status=400))["spec.templates.scan"]
        assert not JobTemplate.objects.exists()
        assert send(admin, file)["templates"][1]["action"] == "created"
        assert JobTemplate.objects.get().scope == "global"
        # What an administrator has made, a member can use by the same file.
        assert send(member, file)["instance"]["action"] == "unchanged"

    def test_that_do_not_exist_are_an_error(self, member: Api) -> None:
        file = value()
        file["spec"]["templates"]["scan"] = {"kind": "job", "name": "nothing", "scope": "global"}

        assert "there is no global job template" in errors(send(member, file, dry=True))["spec.templates.scan"]


def test_a_foreign_template_is_not_changed_but_can_be_used(member: Api, colleague: Api) -> None:
    send(colleague, FILE)
    file = value(description=None)
    file["metadata"]["name"] = "mine"
    file["spec"]["templates"]["scan"]["backoff_limit"] = 2

    found = errors(send(member, file, status=400))

    assert "creator" in found["spec.templates.scan"]
    assert JobTemplate.objects.get().backoff_limit == 0
    file["spec"]["templates"]["scan"]["backoff_limit"] = 0
    assert send(member, file)["instance"]["action"] == "created"


@pytest.mark.parametrize("dry", [True, False])
def test_strangers_are_refused(member: Api, stranger: Api, dry: bool) -> None:
    send(member, FILE)
    before = rows()

    assert send(stranger, FILE, dry=dry, status=403)["code"] == "FORBIDDEN"
    assert rows() == before


def test_callers_without_a_token_are_refused(anonymous: Api) -> None:
    anonymous.refused("POST", URL, value(), status=401)


def test_an_export_is_for_who_may_read(member: Api, stranger: Api) -> None:
    id = send(member, FILE)["instance"]["id"]

    stranger.refused("GET", f"/workflow-instances/{id}/document", status=403)
    stranger.refused("GET", f"/workflow-instances/{id}/dry-run", status=403)
    member.refused("GET", "/workflow-instances/wf-inst-x-00000000/document", status=404)
    member.refused("GET", "/workflow-instances/wf-inst-x-00000000/dry-run", status=404)


def test_a_workflow_that_is_being_deleted_is_not_meant(member: Api) -> None:
    id = send(member, FILE)["instance"]["id"]
    now = timezone.now()
    Cleanup.objects.create(instance_id=id, goal="delete", actor="1", due_at=now, requested_at=now)

    answer = send(member, FILE)

    assert answer["instance"]["action"] == "created"
    assert answer["instance"]["id"] != id


def test_queries_do_not_grow_with_the_file(member: Api) -> None:
    counts = []
    for number, size in enumerate((3, 40)):
        file = value(edges=[])
        file["metadata"]["name"] = f"w{number}"
        node = {"template": "target", "timeout_seconds": 5}
        file["spec"]["nodes"] = [{**node, "name": f"n{place}"} for place in range(size)]
        for step in range(4):
            changed = copy.deepcopy(file)
            if step == 2:
                for item in changed["spec"]["nodes"]:
                    item["timeout_seconds"] = 9
            with CaptureQueriesContext(connection) as queries:
                send(member, changed, dry=step == 3)
            counts.append(len(queries))

    assert counts[1:4] == counts[5:8]
    assert max(counts) < 60
