"""The template routes: what each does, and what each refuses (contract A.3, A.5 to A.8, D.3)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext

from secflow.projects.models import ProjectMember
from templates_app.models import AppTemplate, JobTemplate
from tests.api.conftest import Api
from tests.factories import (
    AppTemplateFactory,
    InstanceFactory,
    JobTemplateFactory,
    NodeFactory,
    ProjectMemberFactory,
    UserFactory,
)

KINDS = [
    pytest.param("/app-templates", AppTemplateFactory, "App template", "app_template", id="app"),
    pytest.param("/job-templates", JobTemplateFactory, "Job template", "job_template", id="job"),
]
ROUTES = pytest.mark.parametrize(("route", "factory", "label", "resource"), KINDS)
CONTAINER = {"name": "web", "image": "nginx:1"}


def body(**changes: Any) -> dict[str, Any]:
    return {"name": "My App", "project_id": "p1", "containers": [CONTAINER]} | changes


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


def test_replicas_have_a_configurable_bound(member: Api, settings: Any) -> None:
    settings.SECFLOW = _with(settings.SECFLOW, max_replicas=2)

    member.refused("POST", "/app-templates", body(replicas=3), status=400)
    member.send("POST", "/app-templates", body(replicas=2), status=201)


def _with(config: Any, **changes: Any) -> Any:
    from dataclasses import replace

    return replace(config, **changes)


# Lists (A.6, A.7)
@pytest.fixture
def shelf(member: Api) -> dict[str, str]:
    """Ids of five templates by what they are to the member of p1."""
    return {
        "mine": AppTemplateFactory(created_by=member.user_id).id,
        "ours": AppTemplateFactory(created_by="other").id,
        "global": AppTemplateFactory(created_by="other", scope="global", project_id=None).id,
        "global of p2": AppTemplateFactory(created_by="other", scope="global", project_id="p2").id,
        "mine in p2": AppTemplateFactory(created_by=member.user_id, project_id="p2").id,
        "theirs": AppTemplateFactory(created_by="other", project_id="p2").id,
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["mine in p2", "global of p2", "global", "ours", "mine"]),
        ("?project_id=p1", ["global of p2", "global", "ours", "mine"]),
        ("?project_id=p2", ["mine in p2", "global of p2", "global"]),
        ("?project_id=p1&scope=project", ["ours", "mine"]),
        ("?scope=project", ["mine in p2", "ours", "mine"]),
        ("?project_id=all&scope=global", ["global of p2", "global"]),
        ("?project_id=undefined", ["mine in p2", "global of p2", "global", "ours", "mine"]),
        ("?project_id=null&scope=", ["mine in p2", "global of p2", "global", "ours", "mine"]),
        ("?project_id=&scope=undefined", ["mine in p2", "global of p2", "global", "ours", "mine"]),
        ("?project_id=nobody", ["global of p2", "global"]),
        ("?unknown=1", ["mine in p2", "global of p2", "global", "ours", "mine"]),
    ],
)
def test_lists_show_what_the_caller_may_read_newest_first(
    member: Api, shelf: dict[str, str], query: str, expected: list[str]
) -> None:
    answer = member.read(f"/app-templates{query}")

    names = {template_id: name for name, template_id in shelf.items()}
    assert [names[item["id"]] for item in answer["items"]] == expected
    assert answer["total"] == len(expected)
    assert set(answer) == {"total", "items"}


def test_admins_see_all(admin: Api, shelf: dict[str, str]) -> None:
    assert admin.read("/app-templates")["total"] == len(shelf)
    assert admin.read("/app-templates?project_id=p2")["total"] == 4


@pytest.mark.parametrize("query", ["scope=other", "scope=GLOBAL", "project_id=a%00b", "project_id=%0A%1b"])
def test_other_values_of_filters_are_refused(member: Api, query: str) -> None:
    answer = member.refused("GET", f"/app-templates?{query}", status=400)

    assert answer["code"] == "VALIDATION_ERROR"
    assert answer["details"]["fields"][0]["field"] == query.partition("=")[0]


@ROUTES
def test_a_list_costs_the_same_queries_whatever_its_length(
    member: Api, django_assert_num_queries: Any, route: str, factory: Any, label: str, resource: str
) -> None:
    factory.create_batch(3)
    # One for the caller, one for the list.
    with django_assert_num_queries(2):
        member.read(f"{route}?project_id=p1")
    factory.create_batch(30)

    with django_assert_num_queries(2) as asked:
        assert member.read(f"{route}?project_id=p1")["total"] == 33
    assert isinstance(asked, CaptureQueriesContext)
