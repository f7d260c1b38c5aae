"""Role x action x state: the console lets a user do exactly what the API lets the same user do, and writes the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client

from secflow.http.roles import Role
from secflow.http.tokens import token_pair
from templates_app.models import JobTemplate
from tests.admin.conftest import signed_in, with_roles
from tests.admin.pages import form_of
from tests.factories import InstanceFactory, JobTemplateFactory, ProjectMemberFactory, UserFactory
from workflows.domain.statuses import InstanceStatus
from workflows.models import Cleanup, Event, WorkflowInstance

LIST = "/admin/workflows/workflowinstance/"
TEMPLATES = "/admin/templates_app/jobtemplate/"
API = "/api/workflow"
TIMES = ("created_at", "updated_at", "started_at", "finished_at", "last_run_at", "last_sync_at")

# The name of the operation, and the API's method, path and body.
VERBS: dict[str, tuple[str, str, Any]] = {
    "initialize": ("POST", "/initialize", None),
    "force_initialize": ("POST", "/initialize", {"force": True}),
    "start": ("POST", "/start", None),
    "trigger": ("POST", "/trigger", None),
    "stop": ("POST", "/stop", None),
    "uninitialize": ("POST", "/uninitialize", None),
    "activate": ("POST", "/activate", None),
    "deactivate": ("POST", "/deactivate", None),
    "sync": ("POST", "/sync-status", None),
    "delete": ("DELETE", "", None),
}
# The others do not ask for the mode.
MODES = dict.fromkeys(("trigger", "activate", "deactivate"), ("once", "persistent"))
ALL = frozenset(VERBS)
# Who may ask for what on a workflow of p1 that somebody else made, whatever its state.
USERS: dict[str, tuple[Callable[[], Any], frozenset[str]]] = {
    "a member": (lambda: with_roles("mira", Role.MEMBER, projects=["p1"]), ALL),
    "a member of another project": (lambda: with_roles("sven", Role.MEMBER, projects=["p2"]), frozenset()),
    "an operator": (lambda: with_roles("olga", Role.OPERATOR), ALL - {"delete"}),
    "an operator in another project": (
        lambda: with_roles("oleg", Role.OPERATOR, Role.MEMBER, projects=["p2"]),
        ALL - {"delete"},
    ),
    "an operator who is a member": (lambda: with_roles("otto", Role.OPERATOR, Role.MEMBER, projects=["p1"]), ALL),
    "an auditor": (lambda: with_roles("anna", Role.AUDITOR), frozenset()),
    "an administrator": (lambda: with_roles("adam", Role.ADMINISTRATOR), ALL),
    "a superuser": (lambda: UserFactory(username="root", is_staff=True, is_superuser=True), ALL),
}


@pytest.fixture(autouse=True)
def _no_waiting(settings: Any, db: None) -> None:
    """No worker is there to wait for; and p1 has a member, so it is not open to everybody."""
    settings.SECFLOW = replace(settings.SECFLOW, wait_seconds=0.0)
    ProjectMemberFactory(project_id="p1", user_id="0")


def call(user: Any, method: str, path: str, body: Any = None) -> HttpResponse:
    """What the API answers to this user."""
    data = b"" if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token_pair(user)['access']}"}
    client = Client(headers=headers)
    return client.generic(method, f"{API}{path}", data, content_type="application/json")


def api_outcome(answer: HttpResponse) -> tuple[str, str]:
    """`done`, `forbidden`, or `refused` with the API's sentence."""
    if answer.status_code == 200:
        return "done", ""
    if answer.status_code == 403:
        return "forbidden", ""
    return "refused", json.loads(answer.content)["message"]


def console_outcome(answer: HttpResponse, name: str) -> tuple[str, str]:
    """The same of a page: what is not shown is forbidden as well."""
    if answer.status_code in (403, 404):
        return "forbidden", ""
    assert answer.status_code == 302
    (message,) = [str(message) for message in get_messages(answer.wsgi_request)]
    if message.endswith(".") and message.startswith(f"{name}: "):
        return "done", ""
    return "refused", message.removeprefix(f"{name}: ")


def state(instance: WorkflowInstance) -> dict[str, Any]:
    """What is written of an instance, without what is always its own: id, name and times."""
    row = WorkflowInstance.objects.filter(pk=instance.pk).values().first() or {}
    kept = {key: value for key, value in row.items() if key not in (*TIMES, "id", "name")}
    journal = Event.objects.filter(instance_id=instance.pk).order_by("sequence")
    goals = Cleanup.objects.filter(pk=instance.pk).values_list("goal", "actor")
    return kept | {"journal": list(journal.values_list("kind", "actor")), "cleanup": list(goals)}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("who", USERS)
def test_console_and_api_do_the_same_for_the_same_user(who: str, verb: str) -> None:
    make, allowed = USERS[who]
    user = make()
    method, path, body = VERBS[verb]
    client = signed_in(user)
    outcomes = set()

    for status in InstanceStatus:
        for run_mode in MODES.get(verb, ("once",)):
            facts = {"status": status, "run_mode": run_mode, "created_by": "0", "is_active": verb != "activate"}
            one, other = InstanceFactory(name="one", **facts), InstanceFactory(name="other", **facts)

            by_api = api_outcome(call(user, method, f"/workflow-instances/{one.pk}{path}", body))
            client.cookies.pop("messages", None)  # nobody has read those of the last turn
            by_console = console_outcome(client.post(f"{LIST}{other.pk}/{verb.replace('_', '-')}/"), "other")

            assert by_console == (by_api[0], by_api[1].replace(one.pk, other.pk)), (status, run_mode)
            assert state(one) == state(other), (status, run_mode)
            assert {actor for _, actor in state(other)["journal"]} <= {str(user.pk)}
            outcomes.add(by_console[0])

    if verb in allowed:
        assert "forbidden" not in outcomes
    else:
        assert outcomes == {"forbidden"}


@pytest.mark.parametrize("select_across", ["0", "1"])
@pytest.mark.parametrize("verb", [*VERBS, "force_delete_pods"])
@pytest.mark.parametrize("who", [who for who, (_, allowed) in USERS.items() if not allowed])
def test_crafted_list_actions_change_nothing(who: str, verb: str, select_across: str) -> None:
    client = signed_in(USERS[who][0]())
    rows = [InstanceFactory(status=status, run_mode="persistent", created_by="0") for status in InstanceStatus]
    before = [state(row) for row in rows]
    form = {
        "action": verb,
        "index": "0",
        "select_across": select_across,
        "confirmed": "yes",
        ACTION_CHECKBOX_NAME: [row.pk for row in rows],
    }

    client.post(LIST, form, follow=True)
    client.post(f"{LIST}?q=instance", form, follow=True)

    assert [state(row) for row in rows] == before


def test_a_creator_who_is_no_member_has_the_same_rights_in_both() -> None:
    user = with_roles("mira", Role.MEMBER)
    facts = {"status": "initialized", "run_mode": "persistent", "created_by": str(user.pk)}
    one, other = InstanceFactory(name="one", **facts), InstanceFactory(name="other", **facts)

    assert api_outcome(call(user, "POST", f"/workflow-instances/{one.pk}/deactivate")) == ("done", "")
    assert console_outcome(signed_in(user).post(f"{LIST}{other.pk}/deactivate/"), "other") == ("done", "")
    assert state(one) == state(other)


@pytest.mark.parametrize("who", USERS)
def test_pods_are_forced_by_operators_and_administrators_only(who: str) -> None:
    make, allowed = USERS[who]
    user = make()
    instance = InstanceFactory(status="running", created_by="0")

    answer = signed_in(user).get(f"{LIST}{instance.pk}/force-delete-pods/")

    is_operator = "start" in allowed and who != "a member"
    assert answer.status_code == (200 if is_operator else 403)


@pytest.mark.parametrize("scope", ["project", "global"])
@pytest.mark.parametrize("who", USERS)
def test_templates_are_changed_and_deleted_by_the_same_users(who: str, scope: str) -> None:
    user = USERS[who][0]()
    client = signed_in(user)
    facts = {"scope": scope, "project_id": "p1" if scope == "project" else None, "created_by": "0"}
    one, other = JobTemplateFactory(**facts), JobTemplateFactory(**facts)
    page = f"{TEMPLATES}{other.pk}/change/"

    may_change = call(user, "PUT", f"/job-templates/{one.pk}", {"name": "changed"}).status_code == 200
    form = form_of(client.get(page)) if may_change else {}
    client.post(page, form | {"name": "changed"})
    names = set(JobTemplate.objects.values_list("name", flat=True))
    may_delete = call(user, "DELETE", f"/job-templates/{one.pk}").status_code == 200
    client.post(f"{TEMPLATES}{other.pk}/delete/")

    assert names == ({"changed"} if may_change else {one.name, other.name})
    assert JobTemplate.objects.count() == (0 if may_delete else 2)
    assert may_change == may_delete == (who in ("an administrator", "a superuser"))


@pytest.mark.parametrize("who", USERS)
def test_templates_and_workflows_are_made_by_the_same_users(who: str) -> None:
    user = USERS[who][0]()
    client = signed_in(user)
    template = {
        "name": "crawler",
        "project_id": "p1",
        "containers": [{"name": "main", "image": "busybox:1.36"}],
    }
    workflow = {"name": "nightly", "project_id": "p1", "nodes": [], "edges": []}

    made = {
        path: call(user, "POST", path, body).status_code == 201
        for path, body in (("/job-templates", template), ("/workflow-instances", workflow))
    }
    opened = {
        "/job-templates": client.get(f"{TEMPLATES}add/").status_code == 200,
        "/workflow-instances": client.get(f"{LIST}add/").status_code == 200,
    }

    may_edit = "delete" in USERS[who][1]
    assert made == {"/job-templates": may_edit, "/workflow-instances": may_edit}
    # In the console a member of another project has the form, for the own project.
    assert opened == dict.fromkeys(made, may_edit or "another project" in who)


@pytest.mark.parametrize("who", ["an operator", "an auditor"])
@pytest.mark.parametrize("path", ["/job-templates", "/workflow-instances"])
def test_operators_and_auditors_do_not_found_projects(who: str, path: str) -> None:
    user = USERS[who][0]()
    body = {"name": "x", "project_id": "nobodys", "containers": [{"name": "main", "image": "a"}], "nodes": []}

    answer = call(user, "POST", path, body)

    assert answer.status_code == 403
    assert "change nothing by these roles" in json.loads(answer.content)["message"]


@pytest.mark.parametrize("who", USERS)
def test_what_the_api_shows_is_what_the_console_shows(who: str) -> None:
    user = USERS[who][0]()
    InstanceFactory.create_batch(2, project_id="p1", created_by="0")
    InstanceFactory.create_batch(3, project_id="p2", created_by="0")
    JobTemplateFactory(project_id="p2", created_by="0")
    JobTemplateFactory(scope="global", project_id=None, created_by="0")

    def listed(path: str) -> set[str]:
        return {row["id"] for row in json.loads(call(user, "GET", path).content)["items"]}

    def shown(address: str) -> set[str]:
        return {row.pk for row in signed_in(user).get(address).context["cl"].result_list}

    assert shown(LIST) == listed("/workflow-instances")
    assert shown(TEMPLATES) == listed("/job-templates")
