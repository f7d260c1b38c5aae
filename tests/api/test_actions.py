"""Life-cycle verbs and triggers as far as they need no cluster: refusals, activation, routes (contract D.2, D.7, D.8,
E.8).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.factories import InstanceFactory, JobTemplateFactory, NodeFactory, container
from workflows.domain.statuses import InstanceStatus
from workflows.models import Event, WorkflowInstance
from workflows.services.triggers import trigger_secret

ALL = [status.value for status in InstanceStatus]
ALLOWED: dict[str, set[str]] = {
    "initialize": {"pending"},
    "start": {"pending", "initialized", "stopped"},
    "stop": {"initialized", "running"},
    "uninitialize": {"initialized", "running", "succeeded", "failed", "stopped"},
    "activate": {"initialized", "running", "succeeded", "failed", "stopped"},
    "trigger": {"initialized", "succeeded", "failed", "stopped"},
}


def events_of(instance: WorkflowInstance) -> list[str]:
    return list(Event.objects.filter(instance_id=instance.pk).order_by("sequence").values_list("kind", flat=True))


@pytest.mark.parametrize(
    ("verb", "status"), [(verb, status) for verb in ALLOWED for status in ALL if status not in ALLOWED[verb]]
)
def test_a_verb_is_refused_where_the_table_says_no(member: Api, verb: str, status: str) -> None:
    instance = NodeFactory(instance__status=status, instance__run_mode="persistent").instance
    path = f"/workflow-instances/{instance.pk}"
    before = member.read(path)

    refusal = member.refused("POST", f"{path}/{verb}", status=400)

    assert refusal["code"] == "VALIDATION_ERROR"
    assert refusal["details"]["status"] == status
    assert set(refusal["details"]["allowed"]) == ALLOWED[verb]
    assert status in refusal["message"]
    assert member.read(path) == before
    assert events_of(instance) == []


@pytest.mark.parametrize("status", ["initializing", "running", "succeeded", "failed"])
def test_force_has_a_row_of_its_own(member: Api, status: str) -> None:
    instance = NodeFactory(instance__status=status).instance

    refusal = member.refused("POST", f"/workflow-instances/{instance.pk}/initialize", {"force": True}, status=400)

    assert set(refusal["details"]["allowed"]) == {"pending", "initialized", "stopped"}


@pytest.mark.parametrize("status", ["initialized", "stopped"])
def test_a_plain_initialize_again_points_to_force_and_uninitialize(member: Api, status: str) -> None:
    instance = NodeFactory(instance__status=status).instance

    message = member.refused("POST", f"/workflow-instances/{instance.pk}/initialize", {}, status=400)["message"]

    assert "force" in message
    assert "uninitialize" in message


@pytest.mark.parametrize("status", ["succeeded", "failed", "stopped"])
def test_a_refused_stop_points_to_uninitialize(member: Api, status: str) -> None:
    instance = InstanceFactory(status=status)

    assert "uninitialize" in member.refused("POST", f"/workflow-instances/{instance.pk}/stop", status=400)["message"]


@pytest.mark.parametrize("verb", ["initialize", "start"])
def test_nothing_starts_without_nodes(member: Api, verb: str) -> None:
    instance = InstanceFactory()

    refusal = member.refused("POST", f"/workflow-instances/{instance.pk}/{verb}", status=400)

    assert "node" in refusal["message"]
    assert "status" not in refusal["details"]
    assert events_of(instance) == []


@pytest.mark.parametrize("verb", ["initialize", "start"])
def test_nothing_starts_with_inputs_that_come_to_nothing(member: Api, verb: str) -> None:
    inputs = [{"name": "TARGET", "default_value": None}]
    node = NodeFactory(template_id=JobTemplateFactory(containers=[container(input_env_vars=inputs)]).pk)

    refusal = member.refused("POST", f"/workflow-instances/{node.instance_id}/{verb}", status=400)

    assert [(item["type"], item["container"], item["name"]) for item in refusal["details"]] == [
        ("env_var", "main", "TARGET")
    ]
    assert member.read(f"/workflow-instances/{node.instance_id}")["status"] == "pending"


@pytest.mark.parametrize("body", [None, b"", {}, {"force": False}, {"other": 1}])
def test_initialize_takes_a_body_or_none(member: Api, body: Any) -> None:
    instance = InstanceFactory(status="running")

    refusal = member.refused("POST", f"/workflow-instances/{instance.pk}/initialize", body, status=400)

    assert refusal["details"]["status"] == "running"


@pytest.mark.parametrize("body", [{"force": "true"}, {"force": 1}, {"force": None}, b"[]", b"{", b"null"])
def test_initialize_refuses_other_bodies(member: Api, body: Any) -> None:
    instance = InstanceFactory(status="running")

    refusal = member.refused("POST", f"/workflow-instances/{instance.pk}/initialize", body, status=400)

    assert refusal["details"]["fields"][0]["field"] in ("force", "body")


@pytest.mark.parametrize("verb", ["start", "stop", "uninitialize", "activate", "deactivate", "trigger"])
def test_other_verbs_ignore_a_body(member: Api, verb: str) -> None:
    instance = InstanceFactory(status="initializing", run_mode="once")

    refusal = member.refused("POST", f"/workflow-instances/{instance.pk}/{verb}", b"no json at all", status=400)

    assert "fields" not in refusal["details"]


@pytest.mark.parametrize("status", ALL)
def test_activation_follows_the_table(member: Api, status: str) -> None:
    instance = InstanceFactory(status=status, run_mode="persistent", is_active=True)
    path = f"/workflow-instances/{instance.pk}"

    off = member.send("POST", f"{path}/deactivate")
    assert (off["is_active"], off["status"]) == (False, status)
    if status in ALLOWED["activate"]:
        on = member.send("POST", f"{path}/activate")
        assert (on["is_active"], on["status"]) == (True, status)
        assert events_of(instance) == ["instance.deactivated", "instance.activated"]
    else:
        member.refused("POST", f"{path}/activate", status=400)
        assert member.read(path)["is_active"] is False
        assert events_of(instance) == ["instance.deactivated"]


@pytest.mark.parametrize("verb", ["activate", "deactivate"])
@pytest.mark.parametrize("status", ALL)
def test_activation_is_for_persistent_instances(member: Api, verb: str, status: str) -> None:
    instance = InstanceFactory(status=status, run_mode="once")

    member.refused("POST", f"/workflow-instances/{instance.pk}/{verb}", status=400)

    instance.refresh_from_db()
    assert instance.is_active is True
    assert events_of(instance) == []


def test_uninitialize_without_cluster_objects_makes_a_draft(member: Api) -> None:
    node = NodeFactory(instance__status="stopped", instance__run_count=3, status="stopped", message="stopped by hand")

    shown = member.send("POST", f"/workflow-instances/{node.instance_id}/uninitialize")

    assert (shown["status"], shown["run_count"], shown["finished_at"]) == ("pending", 3, None)
    assert (shown["nodes"][0]["status"], shown["nodes"][0]["message"]) == ("pending", None)


HTTP: dict[str, Any] = {
    "run_mode": "persistent",
    "trigger_type": "http",
    "trigger_enabled": True,
    "is_active": True,
    "status": "initialized",
}
# Contract D.7: the checks in their order, each with everything before it in order and everything after it wrong.
WRONG: list[tuple[str, Any]] = [
    ("run_mode", "once"),
    ("trigger_type", "manual"),
    ("trigger_enabled", False),
    ("is_active", False),
    ("status", "running"),
]


@pytest.mark.parametrize("place", range(len(WRONG)))
def test_the_http_trigger_checks_in_order(anonymous: Api, place: int) -> None:
    instance = InstanceFactory(**HTTP | dict(WRONG[place:]))

    refusal = anonymous.refused("POST", f"/trigger/{instance.pk}", status=400)

    assert next(iter(refusal["details"])) == WRONG[place][0]
    assert refusal["details"][WRONG[place][0]] == WRONG[place][1]
    instance.refresh_from_db()
    assert (instance.run_count, instance.last_run_at) == (0, None)
    assert events_of(instance) == []


@pytest.mark.parametrize("status", ["pending", "initializing", "running"])
def test_the_http_trigger_needs_a_resting_instance(anonymous: Api, status: str) -> None:
    instance = InstanceFactory(**HTTP | {"status": status})

    assert anonymous.refused("POST", f"/trigger/{instance.pk}", status=400)["details"]["status"] == status


@pytest.mark.parametrize("path", ["/trigger", "/workflow-instances/trigger", "/workflow-instances/triggers"])
def test_the_http_trigger_has_two_older_spellings(anonymous: Api, path: str) -> None:
    instance = InstanceFactory(run_mode="once")

    assert anonymous.refused("POST", f"{path}/{instance.pk}", status=400)["details"] == {"run_mode": "once"}
    assert anonymous.refused("POST", f"{path}/wf-inst-x-00000000", status=404)["details"] == {
        "resource": "workflow_instance",
        "id": "wf-inst-x-00000000",
    }
    anonymous.refused("GET", f"{path}/{instance.pk}", status=405)


def test_the_http_trigger_looks_at_no_token_and_no_body(anonymous: Api) -> None:
    instance = InstanceFactory(run_mode="once")

    answer = anonymous.call("POST", f"/trigger/{instance.pk}", b"\xff not json", Authorization="Bearer nonsense")

    assert answer.status_code == 400
    assert answer.json()["details"] == {"run_mode": "once"}


@pytest.mark.parametrize("how", ["none", "wrong header", "wrong query", "right header", "right query"])
def test_a_demanded_secret_is_checked_last(anonymous: Api, settings: Any, caplog: Any, how: str) -> None:
    settings.SECFLOW = replace(settings.SECFLOW, trigger_secrets_required=True)
    instance = InstanceFactory(**HTTP)
    secret = trigger_secret(instance.pk) if how.startswith("right") else "guessed"
    query = f"?token={secret}" if how.endswith("query") else ""
    headers = {"X-Trigger-Token": secret} if how.endswith("header") else {}

    answer = anonymous.call("POST", f"/trigger/{instance.pk}{query}", **headers)

    # With the right secret the next check speaks: there are no nodes.
    assert answer.status_code == (400 if how.startswith("right") else 401)
    assert answer.json()["code"] == ("VALIDATION_ERROR" if how.startswith("right") else "UNAUTHORIZED")
    assert secret not in caplog.text
    assert secret not in answer.content.decode()


def test_the_ui_trigger_ignores_type_and_switch_but_not_activity(member: Api) -> None:
    resting = InstanceFactory(status="succeeded", run_mode="persistent", trigger_type="manual", trigger_enabled=False)
    inactive = InstanceFactory(status="succeeded", run_mode="persistent", is_active=False)
    once = InstanceFactory(status="succeeded", run_mode="once", is_active=False)

    def details(instance: WorkflowInstance) -> Any:
        return member.refused("POST", f"/workflow-instances/{instance.pk}/trigger", status=400)["details"]

    assert details(inactive) == {"is_active": False}
    # Both others pass these checks and fail for want of nodes.
    assert details(resting) == details(once) == {"nodes": 0}


def test_fixed_words_are_no_instance_ids(member: Api) -> None:
    assert "status_distribution" in member.read("/workflow-instances/statistics")
    member.refused("GET", "/workflow-instances/trigger/x", status=405)


@pytest.mark.parametrize(
    ("method", "tail"),
    [
        ("PATCH", ""),
        ("POST", ""),
        ("GET", "/start"),
        ("PUT", "/start"),
        ("DELETE", "/edges"),
        ("GET", "/edges"),
        ("GET", "/trigger"),
        ("POST", "/logs"),
        ("PUT", "/nodes"),
    ],
)
def test_other_methods_are_405(member: Api, method: str, tail: str) -> None:
    refusal = member.refused(method, f"/workflow-instances/{InstanceFactory().pk}{tail}", status=405)

    assert refusal["code"] == "METHOD_NOT_ALLOWED"


def test_paths_have_no_trailing_slash(member: Api) -> None:
    for path in ("/workflow-instances/", f"/workflow-instances/{InstanceFactory().pk}/", "/statistics/"):
        member.refused("GET", path, status=404)


@pytest.mark.parametrize("key", ["", "a b", "é", "k" * 256, "a\tb"])
@pytest.mark.parametrize("verb", ["start", "trigger"])
def test_a_key_that_cannot_be_kept_is_refused(member: Api, verb: str, key: str) -> None:
    instance = NodeFactory().instance

    answer = member.call("POST", f"/workflow-instances/{instance.pk}/{verb}", **{"Idempotency-Key": key})

    assert answer.status_code == 400
    assert answer.json()["details"]["fields"][0]["field"] == "Idempotency-Key"
    assert events_of(instance) == []
