"""Template forms: the rules of the API, written by its services."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from templates_app.models import AppTemplate, JobTemplate
from tests.admin.conftest import said, signed_in, staff
from tests.admin.pages import form_of, problems_of
from tests.factories import AppTemplateFactory, JobTemplateFactory, NodeFactory, ProjectMemberFactory, container

APPS = "/admin/templates_app/apptemplate/"
JOBS = "/admin/templates_app/jobtemplate/"


def job_form(**changes: Any) -> dict[str, Any]:
    """The fields of a job template's form."""
    return {
        "name": "crawler",
        "description": "",
        "scope": "project",
        "project_id": "p1",
        "containers.n0.name": "main",
        "containers.n0.image": "busybox:1.36",
        "containers.n0.image_pull_policy": "IfNotPresent",
        "backoff_limit": "3",
        "ttl_seconds_after_finished": "",
    } | changes


def app_form(**changes: Any) -> dict[str, Any]:
    """The fields of an app template's form."""
    return {
        "name": "web",
        "description": "",
        "scope": "project",
        "project_id": "p1",
        "containers.n0.name": "main",
        "containers.n0.image": "nginx:1.29",
        "containers.n0.image_pull_policy": "IfNotPresent",
        "replicas": "1",
        "create_service": "on",
        "service_name": "",
        "service_type": "ClusterIP",
        "service_ports.n0.name": "http",
        "service_ports.n0.port": "80",
        "service_ports.n0.target_port": "8080",
        "service_ports.n0.protocol": "TCP",
    } | changes


def errors(response: Any) -> dict[str, list[str]]:
    """What the form refuses, by field."""
    found = response.context["adminform"].form.errors.get_json_data()
    return {field: [item["message"] for item in items] for field, items in found.items()}


def test_a_template_is_made_as_the_api_makes_it(admin: Client) -> None:
    answer = admin.post(f"{APPS}add/", app_form(), follow=True)

    template = AppTemplate.objects.get()
    assert answer.status_code == 200
    assert template.pk.startswith("wf-tmpl-web-")
    assert template.created_by == admin.session["_auth_user_id"]
    assert template.containers[0]["image_pull_policy"] == "IfNotPresent"
    assert template.service_ports == [{"name": "http", "port": 80, "target_port": 8080, "protocol": "TCP"}]
    assert template.service_name is None


def test_an_empty_number_is_not_a_default(admin: Client) -> None:
    admin.post(f"{JOBS}add/", job_form())

    assert JobTemplate.objects.get().ttl_seconds_after_finished is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"containers.n0.image": ""}, "containers.n0.image"),
        ({"containers.n0.image": "not an image"}, "containers.n0.image"),
        ({"containers.n0.command": "sh -c 'never closed"}, "containers.n0.command"),
        ({"containers.n0.env_vars.n4.name": "1 2", "containers.n0.env_vars.n4.value": "x"},
         "containers.n0.env_vars.n4.name"),
        ({"containers.n0.resources.limits.cpu": "lots"}, "containers.n0.resources.limits.cpu"),
        ({"containers.n0.resources.more.n0.key": "example.com/gpu", "containers.n0.resources.more.n0.limits": "x"},
         "containers.n0.resources.more.n0.limits"),
        ({"containers.n0.readiness_probe.type": "http", "containers.n0.readiness_probe.path": "/"},
         "containers.n0.readiness_probe.port"),
        ({"project_id": ""}, "project_id"),
        ({"replicas": "1000"}, "replicas"),
        ({"replicas": "0"}, "replicas"),
        ({"replicas": "many"}, "replicas"),
        ({"replicas": ""}, "replicas"),
        ({"service_name": "Not A Label"}, "service_name"),
        ({"service_ports.n0.port": "0"}, "service_ports.n0.port"),
        ({"name": ""}, "name"),
        ({"containers.n0.privileged": "on"}, "__all__"),
    ],
)  # fmt: skip
def test_what_the_api_refuses_is_refused_beside_the_input(admin: Client, changes: dict[str, str], field: str) -> None:
    numbers = {f"containers.n0.readiness_probe.{word}_seconds": "5" for word in ("initial_delay", "period", "timeout")}
    numbers |= {f"containers.n0.readiness_probe.{word}_threshold": "1" for word in ("failure", "success")}
    made = admin.post(f"{APPS}add/", app_form(**numbers, **changes))
    existing = AppTemplateFactory(replicas=2)
    before = AppTemplate.objects.values().get(pk=existing.pk)
    address = f"{APPS}{existing.pk}/change/"
    seen = form_of(admin.get(address))["_seen"]
    changed = admin.post(address, app_form(**numbers, **changes, _seen=seen))

    assert (made.status_code, changed.status_code) == (200, 200)
    assert (set(errors(made)), set(errors(changed))) == ({field}, {field})
    assert field == "__all__" or set(problems_of(made)) == {field}
    assert AppTemplate.objects.values().get() == before


def test_no_container_at_all_is_said_at_the_list(admin: Client) -> None:
    form = {name: value for name, value in job_form().items() if not name.startswith("containers")}

    assert problems_of(admin.post(f"{JOBS}add/", form)) == {"containers": "must not be empty"}


def test_a_template_with_everything_is_made_of_inputs_alone(admin: Client) -> None:
    container = "containers.n0"
    form = app_form(**{
        f"{container}.command": "sh -c 'echo \"hello you\"; sleep 1'",
        f"{container}.args": "--verbose",
        f"{container}.env_vars.n0.name": "MODE",
        f"{container}.env_vars.n0.value": "two\r\nlines",
        f"{container}.input_env_vars.n0.name": "TARGET",
        f"{container}.volume_mounts.n0.pvc_name": "data",
        f"{container}.volume_mounts.n0.mount_path": "/data",
        f"{container}.volume_mounts.n0.read_only": "on",
        f"{container}.input_volume_mounts.n0.mount_path": "/in",
        f"{container}.resources.requests.cpu": "100m",
        f"{container}.resources.limits.memory": "128Mi",
        f"{container}.resources.more.n0.key": "example.com/gpu",
        f"{container}.resources.more.n0.limits": "1",
        f"{container}.liveness_probe.type": "exec",
        f"{container}.liveness_probe.command": "test -f /tmp/alive",
        **{f"{container}.liveness_probe.{word}_seconds": "7" for word in ("initial_delay", "period", "timeout")},
        **{f"{container}.liveness_probe.{word}_threshold": "1" for word in ("failure", "success")},
        "containers.n1.name": "sidecar",
        "containers.n1.image": "proxy:2",
        "containers.n1.image_pull_policy": "Always",
    })  # fmt: skip

    answer = admin.post(f"{APPS}add/", form)

    assert answer.status_code == 302
    first, second = AppTemplate.objects.get().containers
    assert first["command"] == ["sh", "-c", 'echo "hello you"; sleep 1']
    assert first["env_vars"] == [{"name": "MODE", "value": "two\nlines"}]
    assert first["input_env_vars"] == [{"name": "TARGET", "default_value": None}]
    assert first["input_volume_mounts"] == [{"mount_path": "/in", "sub_path": None, "read_only": False}]
    assert first["volume_mounts"][0]["read_only"] is True
    assert first["resources"] == {
        "requests": {"cpu": "100m"},
        "limits": {"memory": "128Mi", "example.com/gpu": "1"},
    }
    assert first["liveness_probe"] == {
        "type": "exec", "command": ["test", "-f", "/tmp/alive"], "port": None, "path": None,
        "initial_delay_seconds": 7, "period_seconds": 7, "timeout_seconds": 7,
        "failure_threshold": 1, "success_threshold": 1,
    }  # fmt: skip
    assert (second["name"], second["image_pull_policy"], second["readiness_probe"]) == ("sidecar", "Always", None)


def test_a_row_is_added_and_removed_without_a_script(admin: Client) -> None:
    form = job_form(**{"containers.n0.env_vars.n0.name": "A", "containers.n0.env_vars.n0.value": "1"})

    more = admin.post(f"{JOBS}add/", form | {"_add": "containers"})
    shown = form_of(more)
    fewer = form_of(admin.post(f"{JOBS}add/", shown | {"_remove": "containers.n0.env_vars.n0"}))

    assert more.status_code == 200
    assert problems_of(more) == {}
    assert (shown["containers.n0.env_vars.n0.name"], shown["containers.n1.name"]) == ("A", "main")
    assert "A" not in [value for name, value in fewer.items() if name.endswith(".name")]
    assert not JobTemplate.objects.exists()


def test_a_change_writes_only_what_was_changed(admin: Client) -> None:
    template = JobTemplateFactory(name="before", containers=[container()])
    updated = template.updated_at
    address = f"{JOBS}{template.pk}/change/"

    admin.post(address, form_of(admin.get(address)) | {"name": "after"})

    changed = JobTemplate.objects.get()
    assert (changed.pk, changed.name, changed.containers) == (template.pk, "after", template.containers)
    assert changed.updated_at > updated


def test_a_form_that_somebody_overtook_is_refused_with_the_fresh_values(admin: Client) -> None:
    template = JobTemplateFactory(name="before")
    address = f"{JOBS}{template.pk}/change/"
    mine = form_of(admin.get(address))
    admin.post(address, form_of(admin.get(address)) | {"name": "theirs"})

    refused = admin.post(address, mine | {"name": "<b>mine</b>"})
    again = admin.post(address, form_of(refused) | {"name": "mine at last"})

    assert refused.status_code == 200
    assert "somebody else changed this" in refused.content.decode()
    assert "&lt;b&gt;mine&lt;/b&gt;" in refused.content.decode()
    assert form_of(refused)["name"] == "theirs"
    assert again.status_code == 302
    assert JobTemplate.objects.get().name == "mine at last"


@pytest.mark.parametrize("is_new", [True, False])
def test_an_unsaved_form_is_checked_and_nothing_is_written(admin: Client, is_new: bool) -> None:
    template = JobTemplateFactory(name="before")
    address = f"{JOBS}check/" if is_new else f"{JOBS}{template.pk}/check/"

    fine = admin.post(address, job_form())
    wrong = admin.post(address, job_form(**{"containers.n0.image": "", "scope": "galactic"}))

    assert fine.json() == {"problems": []}
    assert {item["field"]: item["message"] for item in wrong.json()["problems"]} == {
        "containers.n0.image": "must not be empty",
        "scope": "'galactic' is not allowed; use one of global, project",
    }
    assert list(JobTemplate.objects.values_list("name", flat=True)) == ["before"]


def test_checking_takes_the_right_to_write(viewer: Client) -> None:
    template = JobTemplateFactory()

    assert viewer.post(f"{JOBS}check/", job_form()).status_code == 403
    assert viewer.post(f"{JOBS}{template.pk}/check/", job_form()).status_code == 403


def test_a_form_costs_the_same_number_of_queries_however_much_it_holds(
    admin: Client, django_assert_num_queries: Any
) -> None:
    small = JobTemplateFactory()
    variables = [{"name": f"V{place}", "value": "x"} for place in range(40)]
    large = JobTemplateFactory(containers=[container(name=f"c{place}", env_vars=variables) for place in range(5)])
    admin.get(f"{JOBS}{small.pk}/change/")

    with CaptureQueriesContext(connection) as seen:
        admin.get(f"{JOBS}{small.pk}/change/")
    with django_assert_num_queries(len(seen)):
        admin.get(f"{JOBS}{large.pk}/change/")


def test_markup_in_a_template_is_shown_and_not_obeyed(admin: Client) -> None:
    hostile = "<script>alert(1)</script>\u202e\"'"
    row = JobTemplateFactory(name=hostile[:60], containers=[container(env_vars=[{"name": "A", "value": hostile}])])

    page = admin.get(f"{JOBS}{row.pk}/change/").content.decode()

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_template_in_use_is_kept_with_the_services_sentence(admin: Client) -> None:
    node = NodeFactory()
    address = f"{JOBS}{node.template_id}/delete/"

    asked = admin.get(address)
    refused = admin.post(address, follow=True)

    assert asked.status_code == 200
    assert len(said(refused)) == 1
    assert "is used by 1 instance; remove its nodes there first" in said(refused)[0]
    assert JobTemplate.objects.filter(pk=node.template_id).exists()


@pytest.mark.parametrize("by", ["list", "button"])
def test_an_unused_template_is_deleted(admin: Client, by: str) -> None:
    template = JobTemplateFactory(name="old")

    if by == "button":
        shown = admin.post(f"{JOBS}{template.pk}/delete/", follow=True)
    else:
        data = {"action": "delete", "confirmed": "yes", "_selected_action": [template.pk]}
        shown = admin.post(JOBS, data, follow=True)

    assert said(shown) == ["old: deleted."]
    assert not JobTemplate.objects.exists()


def test_staff_who_are_no_administrators_are_bound_by_the_services_rules(db: None) -> None:
    user = staff("operator", "add_jobtemplate", "change_jobtemplate", "delete_jobtemplate")
    client = signed_in(user)
    ProjectMemberFactory(user_id=str(user.pk))
    foreign = JobTemplateFactory(created_by="0", name="foreign")
    data = {"action": "delete", "confirmed": "yes", "_selected_action": [foreign.pk]}

    made = client.post(f"{JOBS}add/", job_form(scope="global"))
    changed = client.post(f"{JOBS}{foreign.pk}/change/", job_form())
    deleted = client.post(f"{JOBS}{foreign.pk}/delete/")
    by_list = client.post(JOBS, data, follow=True)

    assert "only administrators may make a template global" in errors(made)["__all__"][0]
    assert made.content.decode().count("only administrators may make a template global") == 1
    assert (changed.status_code, deleted.status_code) == (403, 403)
    assert "you may look at it, but not do this to it" in said(by_list)[0]
    assert list(JobTemplate.objects.values_list("name", flat=True)) == ["foreign"]


def test_who_may_only_view_has_no_form(viewer: Client) -> None:
    template = AppTemplateFactory(name="web", containers=[container(image="nginx:<b>1</b>")])
    before = AppTemplate.objects.values().get()

    page = viewer.get(f"{APPS}{template.pk}/change/")
    sent = viewer.post(f"{APPS}{template.pk}/change/", app_form(name="changed"))
    deleted = viewer.post(f"{APPS}{template.pk}/delete/")

    assert page.status_code == 200
    assert 'name="_save"' not in page.content.decode()
    assert "nginx:<b>" not in page.content.decode()
    assert (sent.status_code, deleted.status_code) == (403, 403)
    assert AppTemplate.objects.values().get() == before
