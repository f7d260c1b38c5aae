"""The roles: how somebody gets one, which pages it opens, and which rows it shows."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from secflow.console.pages import ConsoleAdmin
from secflow.http.roles import Role
from secflow.http.users import actor_of_user
from secflow.projects.models import ProjectMember
from secflow.projects.roles import ensure_roles, roles_of_user
from templates_app.models import JobTemplate
from tests.admin.conftest import make_history, signed_in, with_roles
from tests.factories import InstanceFactory, JobTemplateFactory, ProjectMemberFactory, UserFactory
from workflows.domain.actors import Actor, Right
from workflows.models import Cleanup, Event, NodeLog, NodeRun, Run, WorkflowInstance, WorkflowNode

PASSWORD = "quite a long pass phrase 42"
ENGINE = (WorkflowInstance, WorkflowNode, Run, NodeRun, NodeLog, Event, Cleanup)


def page(model: Any, name: str, *args: object) -> str:
    """The address of one of a model's pages."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def rights(role: Role) -> set[str]:
    """The permissions of a role's group."""
    pairs = Permission.objects.filter(group__name=role.value).values_list("content_type__app_label", "codename")
    return {f"{app}.{word}" for app, word in pairs}


def test_the_groups_are_there_after_a_migration_and_are_put_right_again(db: None) -> None:
    group = Group.objects.get(name=Role.OPERATOR.value)
    before = rights(Role.OPERATOR)
    group.permissions.set(Permission.objects.filter(codename="delete_user"))

    ensure_roles()
    ensure_roles()

    assert rights(Role.OPERATOR) == before
    assert Group.objects.filter(name__startswith="SecFlow").count() == len(Role)


def test_prepare_makes_the_groups(db: None) -> None:
    Group.objects.all().delete()

    call_command("prepare")

    assert set(Group.objects.values_list("name", flat=True)) == {role.value for role in Role}


def test_operators_act_and_edit_nothing_and_auditors_only_look(db: None) -> None:
    operate = "workflows.operate_workflowinstance"

    assert {right for right in rights(Role.OPERATOR) if ".view_" not in right} == {operate}
    assert not {right for right in rights(Role.OPERATOR) if right.startswith(("auth.", "admin."))}
    assert {right for right in rights(Role.AUDITOR) if ".view_" not in right} == set()
    assert {"auth.view_user", "workflows.view_event", "projects.view_projectmember"} <= rights(Role.AUDITOR)
    assert not {right for right in rights(Role.MEMBER) if right.startswith(("auth.", "admin."))}
    assert {operate, "auth.change_user", "workflows.delete_workflowinstance"} <= rights(Role.ADMINISTRATOR)


@pytest.mark.parametrize(
    ("roles", "everywhere", "founds"),
    [
        ((), set(), True),
        ((Role.MEMBER,), set(), True),
        ((Role.AUDITOR,), {Right.READ}, False),
        ((Role.OPERATOR,), {Right.READ, Right.OPERATE}, False),
        ((Role.OPERATOR, Role.MEMBER), {Right.READ, Right.OPERATE}, True),
        ((Role.ADMINISTRATOR,), set(Right), True),
    ],
)
def test_a_role_is_the_same_actor_for_console_and_api(
    db: None, roles: tuple[Role, ...], everywhere: set[Right], founds: bool
) -> None:
    actor = actor_of_user(with_roles("somebody", *roles))

    assert {right for right in Right if actor.has_everywhere(right)} == everywhere
    assert actor.may_found_projects is founds


def test_a_role_ends_with_the_access_to_the_console(db: None) -> None:
    user = with_roles("somebody", Role.ADMINISTRATOR)
    user.is_staff = False
    user.save()

    assert actor_of_user(user) == Actor(id=str(user.pk), name="somebody")
    assert signed_in(user).get("/admin/").status_code == 302


def test_roles_are_picked_where_a_user_is_made_and_changed(admin: Client) -> None:
    form = {"username": "nora", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    other = Group.objects.create(name="night shift")

    admin.post("/admin/auth/user/add/", form | {"roles": [Role.OPERATOR.value]})
    user = User.objects.get(username="nora")
    was = (user.is_staff, roles_of_user(user))
    changed = admin.post(
        f"/admin/auth/user/{user.pk}/change/",
        {
            "username": "nora",
            "is_active": "on",
            "is_staff": "on",
            "roles": [Role.AUDITOR.value, Role.MEMBER.value],
            "groups": [other.pk],
            "date_joined_0": "2026-01-01",
            "date_joined_1": "00:00:00",
        },
    )

    assert was == (True, [Role.OPERATOR])
    assert changed.status_code == 302
    assert roles_of_user(user) == [Role.AUDITOR, Role.MEMBER]
    assert user.groups.filter(pk=other.pk).exists()


def test_a_member_may_be_given_the_console_at_once(admin: Client) -> None:
    user = UserFactory(username="mira")
    address = page(ProjectMember, "add")

    admin.post(address, {"project_id": "p1", "user_id": "mira", "role": "member", "opens_console": "on"})

    user.refresh_from_db()
    assert (user.is_staff, roles_of_user(user)) == (True, [Role.MEMBER])
    assert signed_in(user).get(page(WorkflowInstance, "changelist")).status_code == 200


def test_every_page_of_a_project_knows_its_project() -> None:
    unscoped = {
        model._meta.label
        for model, page_class in django_admin.site._registry.items()
        if isinstance(page_class, ConsoleAdmin) and not page_class.project_field
    }

    assert unscoped == set()


def two_projects() -> tuple[NodeRun, NodeRun]:
    """The same history in p1 and in p2, made by other people."""
    return (
        make_history(InstanceFactory(project_id="p1", name="ours", status="failed", created_by="0"), name="mine"),
        make_history(InstanceFactory(project_id="p2", name="theirs", status="failed", created_by="0"), name="foreign"),
    )


@pytest.mark.parametrize("model", ENGINE, ids=lambda model: model._meta.model_name)
@pytest.mark.parametrize(
    ("role", "seen"), [(Role.MEMBER, {"p1"}), (Role.OPERATOR, {"p1", "p2"}), (Role.AUDITOR, {"p1", "p2"})]
)
def test_lists_and_pages_show_what_the_role_may_see(db: None, model: Any, role: Role, seen: set[str]) -> None:
    two_projects()
    client = signed_in(with_roles("somebody", role, projects=["p1"]))
    page_class = django_admin.site._registry[model]

    shown = client.get(page(model, "changelist")).context["cl"].result_list

    def project(row: Any) -> str:
        for name in page_class.project_field.split("__"):
            row = getattr(row, name)
        return str(row)

    assert {project(row) for row in shown} == seen
    for row in model.objects.all():
        expected = 200 if project(row) in seen else 404
        for name in ("change", "history"):
            assert client.get(page(model, name, row.pk)).status_code == expected, (name, row)


def test_a_creator_sees_the_own_workflow_in_a_project_of_others(db: None) -> None:
    user = with_roles("mira", Role.MEMBER)
    ProjectMemberFactory(project_id="p1", user_id="0")
    record = make_history(InstanceFactory(project_id="p1", created_by=str(user.pk)))
    client = signed_in(user)

    assert client.get(page(WorkflowInstance, "change", record.instance_id)).status_code == 200
    assert client.get(page(NodeRun, "change", record.pk)).status_code == 200
    assert client.get(page(Event, "change", Event.objects.get().pk)).status_code == 200


def test_global_templates_are_shown_to_members_and_cannot_be_changed(db: None) -> None:
    common = JobTemplateFactory(scope="global", project_id=None, created_by="0", name="common")
    ours = JobTemplateFactory(project_id="p1", created_by="0", name="ours")
    JobTemplateFactory(project_id="p2", created_by="0", name="theirs")
    client = signed_in(with_roles("mira", Role.MEMBER, projects=["p1"]))

    listed = client.get(page(JobTemplate, "changelist")).context["cl"].result_list

    assert {row.name for row in listed} == {"common", "ours"}
    for row in (common, ours):
        shown = client.get(page(JobTemplate, "change", row.pk))
        assert shown.status_code == 200
        assert 'name="_save"' not in shown.content.decode()
        assert client.post(page(JobTemplate, "change", row.pk), {"name": "x"}).status_code == 403


def test_the_managers_of_a_project_change_its_templates(db: None) -> None:
    ours = JobTemplateFactory(project_id="p1", created_by="0")
    user = with_roles("mira", Role.MEMBER)
    ProjectMemberFactory(project_id="p1", user_id=str(user.pk), role="manager")

    assert 'name="_save"' in signed_in(user).get(page(JobTemplate, "change", ours.pk)).content.decode()


def test_search_over_all_pages_names_only_what_the_role_may_open(db: None) -> None:
    two_projects()
    member = signed_in(with_roles("mira", Role.MEMBER, projects=["p1"]))

    assert "theirs" not in member.get("/admin/search/?s=theirs&extended=1").content.decode()
    assert "/admin/auth/user/" not in member.get("/admin/search/?s=user").content.decode()


def test_auditors_look_at_users_and_members_and_change_nothing(viewer: Client) -> None:
    user = UserFactory(username="nora")
    member = ProjectMemberFactory(user_id=str(user.pk))
    addresses = [f"/admin/auth/user/{user.pk}/change/", page(ProjectMember, "change", member.pk)]

    for address in addresses:
        assert viewer.get(address).status_code == 200
        assert viewer.post(address, {"username": "changed", "roles": [Role.ADMINISTRATOR.value]}).status_code == 403
    assert viewer.post("/admin/auth/user/add/", {"username": "x"}).status_code == 403
    assert User.objects.get(pk=user.pk).username == "nora"
