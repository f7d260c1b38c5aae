"""Who may do what to a template, and that a refusal changes nothing (contract A.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from secflow.projects.models import ProjectMember
from templates_app.models import AppTemplate, JobTemplate
from tests.api.conftest import Api
from tests.api.template_cases import CONTAINER, ROUTES, body
from tests.factories import AppTemplateFactory, JobTemplateFactory, NodeFactory, ProjectMemberFactory, UserFactory

# Who may do what (A.3). Owner is the member that made the template; colleague is another member of its project.
ROLES = ["owner", "colleague", "manager", "stranger", "admin"]
PROJECT_TEMPLATE = {
    "GET": {"owner", "colleague", "manager", "admin"},
    "PUT": {"owner", "manager", "admin"},
    "DELETE": {"owner", "manager", "admin"},
}
GLOBAL_TEMPLATE = {"GET": set(ROLES), "PUT": {"owner", "admin"}, "DELETE": {"owner", "admin"}}


@ROUTES
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("scope", ["project", "global"])
def test_only_the_roles_of_the_contract_may(
    request: pytest.FixtureRequest,
    route: str,
    factory: Any,
    label: str,
    resource: str,
    role: str,
    method: str,
    scope: str,
) -> None:
    owner = request.getfixturevalue("member")
    caller = owner if role == "owner" else request.getfixturevalue(role)
    template = factory(created_by=owner.user_id, scope=scope)
    model = type(template)
    before = model.objects.filter(pk=template.pk).values().get()
    allowed = role in (PROJECT_TEMPLATE if scope == "project" else GLOBAL_TEMPLATE)[method]

    response = caller.call(method, f"{route}/{template.id}", {"name": "changed"} if method == "PUT" else None)

    after = model.objects.filter(pk=template.pk).values().first()
    if allowed:
        assert response.status_code == 200
        assert (after == before) is (method == "GET")
    else:
        assert (response.status_code, response.json()["code"]) == (403, "FORBIDDEN")
        assert after == before


@ROUTES
@pytest.mark.parametrize(
    ("role", "sent", "status"),
    [
        ("member", {}, 201),
        ("manager", {}, 201),
        ("stranger", {}, 403),
        ("admin", {}, 201),
        ("member", {"scope": "global"}, 403),
        ("manager", {"scope": "global", "containers": "wrong"}, 403),
        ("admin", {"scope": "global", "project_id": None}, 201),
        ("admin", {"scope": "global", "project_id": "kept"}, 201),
    ],
)
def test_only_members_create_and_only_admins_create_global(
    request: pytest.FixtureRequest,
    route: str,
    factory: Any,
    label: str,
    resource: str,
    role: str,
    sent: dict[str, Any],
    status: int,
) -> None:
    caller = request.getfixturevalue(role)

    response = caller.call("POST", route, body(**sent))

    assert response.status_code == status
    assert factory._meta.model.objects.count() == (1 if status == 201 else 0)


def test_who_creates_first_in_an_open_project_becomes_its_manager(client_for: Any) -> None:
    first, second = client_for(UserFactory()), client_for(UserFactory())

    first.send("POST", "/app-templates", body(project_id="fresh"), status=201)
    second.refused("POST", "/app-templates", body(project_id="fresh"), status=403)

    assert list(ProjectMember.objects.values_list("project_id", "user_id", "role")) == [
        ("fresh", first.user_id, "manager")
    ]


def test_a_refused_body_makes_nobody_a_manager(client_for: Any) -> None:
    caller = client_for(UserFactory())

    caller.refused("POST", "/app-templates", body(project_id="fresh", containers=[]), status=400)

    assert not ProjectMember.objects.exists()


def test_only_admins_make_a_template_global(member: Api, admin: Api) -> None:
    template = AppTemplateFactory(created_by=member.user_id)

    member.refused("PUT", f"/app-templates/{template.id}", {"scope": "global", "name": "x"}, status=403)
    assert AppTemplate.objects.get().name == template.name

    assert admin.send("PUT", f"/app-templates/{template.id}", {"scope": "global"})["scope"] == "global"


def test_a_template_moves_only_to_a_project_of_its_mover(member: Api) -> None:
    ProjectMemberFactory(project_id="theirs", user_id="999")
    ProjectMemberFactory(project_id="also-mine", user_id=member.user_id)
    template = AppTemplateFactory(created_by=member.user_id)

    member.refused("PUT", f"/app-templates/{template.id}", {"project_id": "theirs"}, status=403)
    assert AppTemplate.objects.get().project_id == "p1"

    moved = member.send("PUT", f"/app-templates/{template.id}", {"project_id": "also-mine"})
    assert moved["project_id"] == "also-mine"


def test_a_project_template_needs_a_project(member: Api, admin: Api) -> None:
    for project_id in (None, ""):
        answer = member.refused("POST", "/job-templates", body(project_id=project_id), status=400)
        assert [item["field"] for item in answer["details"]["fields"]] == ["project_id"]
    template = AppTemplateFactory(scope="global", project_id=None)
    admin.refused("PUT", f"/app-templates/{template.id}", {"scope": "project"}, status=400)
    assert AppTemplate.objects.get().scope == "global"


def test_privileged_containers_need_the_setting(member: Api, settings: Any) -> None:
    sent = body(containers=[CONTAINER | {"privileged": True}])

    assert member.refused("POST", "/app-templates", sent, status=403)["details"] == {"containers": ["web"]}
    assert not AppTemplate.objects.exists()

    settings.SECFLOW = _with(settings.SECFLOW, allow_privileged=True)
    assert member.send("POST", "/app-templates", sent, status=201)["containers"][0]["privileged"] is True


def test_a_template_stays_where_it_is_used(admin: Api) -> None:
    node = NodeFactory()
    template = JobTemplate.objects.get(pk=node.template_id)
    path = f"/job-templates/{template.pk}"

    answer = admin.refused("PUT", path, {"project_id": "p2"}, status=409)

    assert answer["details"] == {"instances": [node.instance_id]}
    template.refresh_from_db()
    assert template.project_id == node.instance.project_id
    admin.send("PUT", path, {"scope": "global"})
    assert admin.send("PUT", path, {"scope": "project"})["project_id"] == node.instance.project_id
    node.delete()
    assert admin.send("PUT", path, {"project_id": "p2"})["project_id"] == "p2"


def test_a_global_template_that_others_use_cannot_become_one_of_a_project(admin: Api) -> None:
    template = JobTemplateFactory(scope="global", project_id=None)
    node = NodeFactory(instance__project_id="p2", template_id=template.pk)

    answer = admin.refused("PUT", f"/job-templates/{template.pk}", {"scope": "project", "project_id": "p1"}, status=409)

    assert answer["details"] == {"instances": [node.instance_id]}
    admin.send("PUT", f"/job-templates/{template.pk}", {"scope": "project", "project_id": "p2"})


def test_replicas_have_a_configurable_bound(member: Api, settings: Any) -> None:
    settings.SECFLOW = _with(settings.SECFLOW, max_replicas=2)

    member.refused("POST", "/app-templates", body(replicas=3), status=400)
    member.send("POST", "/app-templates", body(replicas=2), status=201)


def _with(config: Any, **changes: Any) -> Any:
    return replace(config, **changes)
