"""The page of a node: why it failed, its history, inputs and manifest; safe whatever the texts hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from secflow.http.roles import Role
from secflow.projects.roles import give_roles
from tests.admin.conftest import evidence, make_history, signed_in
from tests.admin.node_page import ANSI, DIAGNOSIS, HOSTILE, address, member, shown
from tests.factories import (
    NOON,
    AppTemplateFactory,
    InstanceFactory,
    JobTemplateFactory,
    NodeFactory,
    ProjectMemberFactory,
    UserFactory,
    container,
)
from workflows.models import Event, NodeLog, NodeRun, WorkflowInstance, WorkflowNode


@pytest.fixture
def failed(history: NodeRun) -> NodeRun:
    NodeRun.objects.update(diagnosis=DIAGNOSIS)
    WorkflowNode.objects.filter(pk=history.node_id).update(status="failed", message="all of it in one sentence")
    history.refresh_from_db()
    return history


def test_the_page_says_why_the_node_failed_and_what_to_do(admin: Client, failed: NodeRun) -> None:
    page = shown(admin, failed.node_id)

    assert "Why it failed" in page
    for words in (DIAGNOSIS["summary"], DIAGNOSIS["detail"], DIAGNOSIS["resolution"]):
        assert words in page
    assert 'href="/admin/help/errors/#image_pull"' in page
    assert "Container main (a line, 2 restarts): terminated, message a line, exit code 3" in page
    assert "Last lines of container main of pod pod-1, before its last restart" in page
    assert "all of it in one sentence" not in page.partition('id="settings"')[0].partition('id="history"')[0]


def test_a_node_that_succeeded_shows_no_old_trouble(admin: Client, failed: NodeRun) -> None:
    WorkflowNode.objects.filter(pk=failed.node_id).update(status="succeeded", message="")

    page = shown(admin, failed.node_id)

    assert DIAGNOSIS["summary"] not in page
    assert "node-why" not in page


def test_the_page_leads_to_instance_neighbours_runs_and_journal(admin: Client, failed: NodeRun) -> None:
    instance = failed.instance
    before, after = NodeFactory(instance=instance, name="before"), NodeFactory(instance=instance, name="after")
    instance.edges = [
        {"edge_id": "1", "source": before.pk, "target": failed.node_id, "shared_pvc": "hand-over"},
        {"edge_id": "2", "source": failed.node_id, "target": after.pk, "shared_pvc": None},
    ]
    instance.save()
    event = Event.objects.create(
        instance_id=instance.pk,
        sequence=2,
        project_id=instance.project_id,
        kind="node.failed",
        node_id=failed.node_id,
        actor="system",
        message="it broke",
        created_at=NOON,
    )

    page = shown(admin, failed.node_id)

    for link in (
        address(before.pk),
        address(after.pk),
        reverse("admin:workflows_workflowinstance_change", args=[instance.pk]),
        reverse("admin:workflows_noderun_change", args=[failed.pk]),
        reverse("admin:workflows_event_change", args=[event.pk]),
    ):
        assert f'href="{link}"' in page
    assert "hand-over" in page
    assert "it broke" in page


def test_inputs_say_where_their_values_come_from(admin: Client) -> None:
    instance = InstanceFactory()
    ports = [{"name": "http", "port": 80, "target_port": 80, "protocol": "TCP"}]
    web = NodeFactory(
        instance=instance,
        name="web server",
        node_type="app",
        template_id=AppTemplateFactory(service_ports=ports, service_name="web-svc").pk,
    )
    template = JobTemplateFactory(
        containers=[
            container(
                env_vars=[{"name": "COLOR", "value": "green"}],
                input_env_vars=[{"name": "HOST", "default_value": None}, {"name": "PORT", "default_value": "8080"}],
                input_volume_mounts=[{"mount_path": "/in", "read_only": True}],
            )
        ]
    )
    node = NodeFactory(
        instance=instance,
        template_id=template.pk,
        env_vars=[{"name": "WHO", "value": "me"}],
        input_env_vars=[{"name": "HOST", "source_node_id": web.pk, "default_value": None}],
        volume_mounts=[{"pvc_name": "results", "mount_path": "/in"}],
    )
    instance.edges = [{"edge_id": "1", "source": web.pk, "target": node.pk, "shared_pvc": None}]
    instance.save()

    response = admin.get(address(node.pk))

    rows = {row[0]: row[1:] for table in response.context["plan"].inputs for row in table.rows}
    assert rows["WHO"] == ("me", "fixed on the node")
    assert rows["COLOR"] == ("green", "the template's container")
    assert rows["PORT"] == ("8080", "default of the template's input")
    assert rows["HOST"][0] == "web-svc"
    assert rows["HOST"][1] == f'Service of <a href="{address(web.pk)}" class="text-link">web server</a>'
    assert rows["/in"] == ("results (read only)", "fixed on the node")


def test_inputs_without_a_value_and_lost_templates_are_sentences(admin: Client) -> None:
    template = JobTemplateFactory(containers=[container(input_env_vars=[{"name": "HOST", "default_value": None}])])
    unmet, lost = NodeFactory(template_id=template.pk), NodeFactory(template_id="wf-tmpl-gone-00000000")

    assert "HOST" in admin.get(address(unmet.pk)).context["plan"].unmet[0]
    assert admin.get(address(unmet.pk)).context["plan"].manifests == []
    assert "wf-tmpl-gone-00000000 does not exist" in shown(admin, lost.pk)


def test_a_node_that_never_ran_shows_what_would_be_made(admin: Client) -> None:
    node = NodeFactory(name="say: hi", env_vars=[{"name": "TEXT", "value": "two\nlines"}])

    response = admin.get(address(node.pk))
    file = admin.get(address(node.pk, "manifest"))

    [manifest] = response.context["plan"].manifests
    made = yaml.safe_load(manifest.text)
    assert (manifest.title, made["kind"]) == ("As it will be made", "Job")
    assert made["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "TEXT", "value": "two\nlines"}]
    assert file.content.decode() == manifest.text
    assert file["Content-Disposition"] == 'attachment; filename="say-hi.yaml"'
    assert (file["Content-Type"], file["X-Content-Type-Options"]) == ("application/yaml; charset=utf-8", "nosniff")
    assert admin.get(f"{address(node.pk, 'manifest')}?number=2").status_code == 404
    assert "The node has not begun: nothing was written yet." in shown(admin, node.pk)


def test_the_form_of_a_node_is_linked_while_the_graph_can_be_edited(admin: Client, viewer: Client) -> None:
    node = NodeFactory()
    form = reverse("admin:workflows_workflowinstance_edit_node", args=[node.instance_id, node.pk])

    assert f'href="{form}"' in shown(admin, node.pk)
    assert f'href="{form}"' not in shown(viewer, node.pk)
    WorkflowInstance.objects.update(status="running")
    assert f'href="{form}"' not in shown(admin, node.pk)


def test_hostile_names_and_texts_are_shown_and_not_obeyed(admin: Client) -> None:
    instance = InstanceFactory(name=HOSTILE, status="failed")
    record = make_history(instance, text=HOSTILE, name=HOSTILE)
    NodeRun.objects.update(diagnosis=dict.fromkeys(DIAGNOSIS, HOSTILE))
    WorkflowNode.objects.update(status="failed")
    neighbour = NodeFactory(instance=instance, name=HOSTILE, env_vars=[{"name": "A", "value": HOSTILE}])
    instance.edges = [{"edge_id": "1", "source": neighbour.pk, "target": record.node_id, "shared_pvc": HOSTILE}]
    instance.save()

    pages = [shown(admin, pk) for pk in (record.node_id, neighbour.pk)]
    pages += [
        admin.get(f"{address(record.node_id, 'live')}?part={part}").content.decode() for part in ("state", "history")
    ]

    for page in pages:
        assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in pages[0]
    assert 'href="/admin/help/errors/"' in pages[0]


def test_escape_sequences_of_a_log_reach_neither_page_nor_terminal(admin: Client, history: NodeRun) -> None:
    NodeLog.objects.filter(part="execution").update(text=ANSI)

    texts = [
        shown(admin, history.node_id),
        admin.get(f"{address(history.node_id, 'logs')}?run={history.pk}").content.decode(),
        admin.get(f"{address(history.node_id, 'logs')}?run={history.pk}&download=1").content.decode(),
    ]

    for text in texts:
        assert "red bold\nbell\u2407 back\u2408 end\u240dover" in text
        assert not set(text) & {"\x1b", "\x07", "\x08", "\x9b"}


def test_the_page_of_a_record_says_why_and_shows_its_texts_without_escape_sequences(
    admin: Client, failed: NodeRun
) -> None:
    NodeLog.objects.filter(part="execution").update(text=ANSI)
    NodeRun.objects.update(diagnosis=DIAGNOSIS | {"summary": HOSTILE}, evidence=evidence(ANSI))

    pages = [
        admin.get(reverse("admin:workflows_noderun_change", args=[failed.pk])).content.decode(),
        admin.get(
            reverse("admin:workflows_nodelog_change", args=[NodeLog.objects.get(part="execution").pk])
        ).content.decode(),
    ]

    for page in pages:
        assert "red bold\nbell\u2407" in page
        assert not set(page) & {"\x1b", "\x07", "\x9b"}
    assert 'href="/admin/help/errors/#image_pull"' in pages[0]
    assert DIAGNOSIS["resolution"] in pages[0]
    assert "<script>alert" not in pages[0]


@pytest.mark.parametrize("what", ["change", "logs", "live", "manifest"])
def test_everything_of_the_page_needs_the_right_to_it(db: None, history: NodeRun, what: str) -> None:
    where = address(history.node_id, what)
    may_view = member("may-view", "view_workflownode", "view_nodelog")

    assert Client().get(where)["Location"].startswith("/admin/login/")
    assert member("no-rights", "view_run").get(where).status_code == 403
    assert may_view.get(where).status_code == 200
    assert may_view.get(address("none", what)).status_code in (302, 404)


@pytest.mark.parametrize("what", ["change", "logs", "live", "manifest"])
def test_members_see_the_nodes_of_their_projects_only(db: None, history: NodeRun, what: str) -> None:
    browsers = {}
    for project in ("p1", "p2"):
        user = UserFactory(is_staff=True)
        give_roles(user, [Role.MEMBER])
        ProjectMemberFactory(project_id=project, user_id=str(user.pk))
        browsers[project] = signed_in(user)

    assert browsers["p1"].get(address(history.node_id, what)).status_code == 200
    assert browsers["p2"].get(address(history.node_id, what)).status_code in (302, 403, 404)
    if what != "change":
        assert browsers["p2"].get(address(history.node_id, what)).status_code in (403, 404)


def test_the_page_and_its_parts_cost_the_same_for_fifty_nodes_and_runs_as_for_five(admin: Client) -> None:
    instance = make_history(InstanceFactory(status="failed")).instance
    node = WorkflowNode.objects.get()

    def grow(number: int) -> None:
        for made in NodeFactory.create_batch(number, instance=instance, template_id=node.template_id):
            instance.edges.append({"edge_id": made.pk, "source": made.pk, "target": node.pk, "shared_pvc": None})
        instance.save()
        run = NodeRun.objects.latest("pk")
        for attempt in range(number):
            NodeRun.objects.create(**_copied(run, run.attempt + attempt + 1))
        Event.objects.bulk_create(
            Event(
                instance_id=instance.pk,
                sequence=Event.objects.count() + position + 1,
                project_id="p1",
                kind="node.started",
                node_id=node.pk,
                actor=str(position),
                created_at=NOON,
            )
            for position in range(number)
        )

    def costs() -> list[int]:
        found = []
        for where in (
            address(node.pk),
            f"{address(node.pk, 'live')}?part=state",
            f"{address(node.pk, 'live')}?part=history",
        ):
            admin.get(where)
            with CaptureQueriesContext(connection) as seen:
                assert admin.get(where).status_code == 200
            found.append(len(seen))
        return found

    grow(5)
    few = costs()
    grow(45)
    many = costs()

    assert few == many
    assert many[0] <= 13
    assert max(many[1:]) <= 6


def _copied(record: NodeRun, attempt: int) -> dict[str, Any]:
    fields = (
        "run", "instance", "node_id", "node_name", "node_type", "status", "spec", "resource_name", "resource_type",
        "timeout_seconds", "started_at",
    )  # fmt: skip
    return {name: getattr(record, name) for name in fields} | {"attempt": attempt}


def test_the_parts_that_change_name_where_they_come_from(admin: Client, history: NodeRun) -> None:
    page = shown(admin, history.node_id)

    for part in ("state", "history"):
        assert f'data-live="{address(history.node_id, "live")}?part={part}"' in page
        assert admin.get(f"{address(history.node_id, 'live')}?part={part}").status_code == 200
    assert page.count(f'data-live-instance="{WorkflowInstance.objects.get().pk}"') == 2


@pytest.mark.parametrize("part", ["state", "history"])
def test_a_part_that_changed_in_nothing_is_not_sent_again(
    admin: Client, history: NodeRun, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    WorkflowNode.objects.update(status="running", started_at=NOON, finished_at=None)
    NodeRun.objects.update(status="running", finished_at=None)
    where = f"{address(history.node_id, 'live')}?part={part}"
    first = admin.get(where)

    later = timezone.now() + timedelta(minutes=5)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    again = admin.get(where, headers={"If-None-Match": first["ETag"]})
    NodeRun.objects.update(message="new words", diagnosis={"summary": "new words"})
    changed = admin.get(where, headers={"If-None-Match": first["ETag"]})

    assert f'data-since="{NOON.isoformat()}"' in first.content.decode()
    assert (again.status_code, again.content) == (304, b"")
    assert changed.status_code == 200
    assert "new words" in changed.content.decode()
