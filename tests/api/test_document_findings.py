"""Workflow files that are refused, and how well it is said why."""

from __future__ import annotations

import jsonschema
import pytest
import yaml

from tests.api.conftest import Api
from tests.api.workflow_files import FILE, errors, exported, rows, send, value
from tests.factories import AppTemplateFactory, InstanceFactory, JobTemplateFactory
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.services import document_planning


def test_every_problem_of_the_form_is_found_at_once(member: Api) -> None:
    text = FILE.replace("run_mode: persistent", "run_mode: often").replace("cpu: 10m", "cpu: lots")
    text = text.replace("{from: target, to: scan}", "{from: targt, to: scan}").replace('value: "none"', "value: 5")
    text = text.replace("timeout_seconds", "timeout_secs")
    before = rows()

    dry = send(member, text, dry=True)
    real = send(member, text, status=400)

    assert errors(dry) == errors(real)
    assert set(errors(dry)) == {
        "spec.run_mode",
        "spec.templates.target.containers[0].resources.requests.cpu",
        "spec.edges[0].from",
        "spec.nodes[2].env_vars[0].value",
    }
    assert "did you mean target?" in errors(dry)["spec.edges[0].from"]
    assert "in quotes" in errors(dry)["spec.nodes[2].env_vars[0].value"]
    warnings = [item for item in dry["findings"] if item["severity"] == "warning"]
    assert [(item["path"], "timeout_seconds" in item["message"]) for item in warnings] == [
        ("spec.nodes[1].timeout_secs", True)
    ]
    assert all(item["line"] > 1 for item in dry["findings"])
    assert dry["instance"]["action"] is None
    assert real["code"] == "VALIDATION_ERROR"
    assert rows() == before


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\na: 2", 2, "given twice"),
        ("a: [1", 2, "not valid YAML"),
        ("apiVersion: !!python/name:os.system x", 1, "tag"),
        ("a: &a [*a]", 1, "no anchor"),
        ("[" * 200, 1, "nested"),
    ],
)
def test_bad_yaml_is_a_finding_with_its_line(member: Api, text: str, line: int, says: str) -> None:
    (finding,) = send(member, text, dry=True)["findings"]

    assert (finding["severity"], finding["path"], finding["line"]) == ("error", "", line)
    assert says in finding["message"]
    assert send(member, text, status=400)["details"]["findings"] == [finding]


def test_a_bomb_of_aliases_is_refused(member: Api) -> None:
    lines = ["a0: &a0 xxxxxxxxxx"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    (finding,) = send(member, "\n".join(lines), dry=True)["findings"]

    assert "aliases" in finding["message"]


def test_anchors_and_merges_can_be_used(member: Api) -> None:
    text = FILE.replace("spec:", "x-common: &common\n  timeout_seconds: 77\nspec:", 1)
    text = text.replace("    timeout_seconds: 60\n", "    <<: *common\n")

    answer = send(member, text)

    assert [item for item in answer["findings"] if "known field" in item["message"]] == []
    assert WorkflowNode.objects.get(name="scan").timeout_seconds == 77


def test_too_large_a_file_is_refused(member: Api) -> None:
    assert send(member, "#" * (2 * 1024 * 1024 + 1), status=413)["code"] == "PAYLOAD_TOO_LARGE"


def test_unmet_inputs_of_all_nodes_are_named(member: Api) -> None:
    file = value()
    del file["spec"]["nodes"][1]["input_env_vars"]
    del file["spec"]["nodes"][2]["input_volume_mounts"]

    found = errors(send(member, file, dry=True))

    assert set(found) == {"spec.nodes[1]", "spec.nodes[2]"}
    assert "TARGET" in found["spec.nodes[1]"]
    assert "/out" in found["spec.nodes[2]"]


def test_what_only_a_start_refuses_is_a_warning(member: Api) -> None:
    answer = send(member, value(edges=[]))

    messages = [item["message"] for item in answer["findings"] if item["severity"] == "warning"]
    assert any("no path of edges" in message for message in messages)
    preview = member.read(f"/workflow-instances/{answer['instance']['id']}/dry-run")
    assert any(item["severity"] == "error" for item in preview["findings"])
    assert {item["name"] for item in preview["unmet_inputs"] if item["type"] == "env_var"} == {"TARGET"}


@pytest.mark.parametrize("status", ["running", "initialized", "succeeded", "failed", "stopped", "initializing"])
def test_a_graph_that_is_in_use_cannot_be_changed(member: Api, status: str) -> None:
    id = send(member, FILE)["instance"]["id"]
    WorkflowInstance.objects.filter(pk=id).update(status=status)
    file = value()
    file["spec"]["nodes"][1]["timeout_seconds"] = 61
    before = rows()

    found = errors(send(member, file, status=400))

    assert status in found["metadata.name"]
    assert ("wait" if status == "initializing" else "uninitialize") in found["metadata.name"]
    assert rows() == before
    assert send(member, FILE)["instance"]["action"] == "unchanged"


def test_the_text_about_it_can_be_changed_between_runs(member: Api) -> None:
    id = send(member, FILE)["instance"]["id"]
    WorkflowInstance.objects.filter(pk=id).update(status="succeeded")

    answer = send(
        member, FILE.replace("Every night", "Every day").replace("persistent", "persistent\n  trigger_enabled: true")
    )

    assert answer["instance"]["action"] == "updated"
    assert WorkflowInstance.objects.get().trigger_enabled


def test_the_run_mode_stays(member: Api) -> None:
    send(member, FILE)

    assert "spec.run_mode" in errors(send(member, FILE.replace("persistent", "once"), status=400))


def test_several_workflows_of_one_name_take_an_id(member: Api) -> None:
    first, second = InstanceFactory(name="nightly scan"), InstanceFactory(name="nightly scan")

    found = errors(send(member, FILE, status=400))
    assert first.pk in found["metadata.name"]
    assert second.pk in found["metadata.name"]

    file = value(run_mode="once")
    file["metadata"]["id"] = second.pk
    assert send(member, file)["instance"] == {"id": second.pk, "name": "nightly scan", "action": "updated"}
    assert f"id: {second.pk}" in exported(member, second.pk)
    assert send(member, exported(member, second.pk))["instance"]["action"] == "unchanged"


def test_several_templates_of_one_name_take_an_id(member: Api) -> None:
    one = JobTemplateFactory(name="scanner", created_by=member.user_id)
    JobTemplateFactory(name="scanner", created_by=member.user_id)

    assert "2 templates could be meant" in errors(send(member, FILE, status=400))["spec.templates.scan"]

    file = value()
    file["spec"]["templates"]["scan"]["id"] = one.pk
    answer = send(member, file)
    assert {item["handle"]: item["id"] for item in answer["templates"]}["scan"] == one.pk
    assert send(member, exported(member, answer["instance"]["id"]))["instance"]["action"] == "unchanged"


def test_nothing_is_left_of_a_file_that_fails_late(member: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the rules of the plan missed, the services say, and all is undone."""
    monkeypatch.setattr(document_planning, "unmet_inputs", lambda view: [])
    file = value()
    del file["spec"]["nodes"][1]["input_env_vars"]
    before = rows()

    found = errors(send(member, file, status=400))

    assert "not supplied" in found[""]
    assert rows() == before


def test_a_deleted_template_is_found_missing(member: Api) -> None:
    file = value(templates={}, edges=[], nodes=[{"name": "n", "template_id": "wf-tmpl-x-00000000"}])

    assert "does not exist" in errors(send(member, file, dry=True))["spec.nodes[0].template_id"]


def test_a_template_of_another_project_cannot_be_used(admin: Api) -> None:
    foreign = AppTemplateFactory(project_id="p2")
    file = value(templates={}, edges=[], nodes=[{"name": "n", "template_id": foreign.pk}])

    assert "another project" in errors(send(admin, file, status=400))["spec.nodes[0].template_id"]


def test_the_schema_for_editors_accepts_what_the_service_accepts(anonymous: Api, member: Api) -> None:
    schema = anonymous.read("/documents/schema")
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)

    validator.validate(value())
    id = send(member, FILE)["instance"]["id"]
    validator.validate(yaml.safe_load(exported(member, id)))
    wrong = value(run_mod="once")
    assert [error.message for error in validator.iter_errors(wrong)]


@pytest.mark.parametrize("handle", ["", " ", "x" * 129, " x", "a\nb"])
def test_a_handle_has_to_be_good_for_a_name(member: Api, handle: str) -> None:
    found = errors(
        send(member, value(templates={handle: {"kind": "job", "containers": []}}, nodes=[], edges=[]), dry=True)
    )

    assert [message for message in found.values() if message.startswith("the handle")]
