"""The live parts of the pages of instances and runs: what they say, to whom, at what cost."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from secflow.console.display import NONE
from tests.admin.conftest import make_history, signed_in, staff
from tests.admin.test_pages import queries
from tests.factories import NOON, InstanceFactory, NodeFactory, NodeRunFactory, RunFactory, UserFactory
from workflows.models import Event, NodeRun, Run, WorkflowInstance
from workflows.services.journal import Entry, append

HOSTILE = "</text><script>alert(1)</script>\u202e" + "x" * 80


def live(row: Any) -> str:
    """The address of the live part of an instance's or a run's page."""
    return reverse(f"admin:workflows_{row._meta.model_name}_live", args=[row.pk])


def page(row: Any) -> str:
    """The address of the page itself."""
    return reverse(f"admin:workflows_{row._meta.model_name}_change", args=[row.pk])


def edge(source: str, target: str, pvc: str | None = None) -> dict[str, Any]:
    """An edge in its stored form."""
    return {"edge_id": f"{source}-{target}", "source": source, "target": target, "shared_pvc": pvc}


@pytest.fixture
def chain(db: None) -> WorkflowInstance:
    """Two nodes in a failed workflow: the first succeeded, the second failed for a known reason."""
    instance = InstanceFactory(name="nightly", status="failed", message="node second failed", run_count=1, version=4)
    first = NodeFactory(instance=instance, name="first", status="succeeded", started_at=NOON, finished_at=NOON)
    second = NodeFactory(instance=instance, name="second", status="failed", started_at=NOON, finished_at=NOON)
    instance.edges = [edge(first.pk, second.pk, "data")]
    instance.save()
    run = RunFactory(instance=instance, edges=[[first.pk, second.pk]])
    why = {
        "category": "exit_code",
        "summary": "The container ended with code 3.",
        "detail": "no route to host",
        "resolution": "Read its log.",
    }
    NodeRunFactory(run=run, node=first, status="succeeded")
    NodeRunFactory(run=run, node=second, diagnosis=why)
    return instance


def test_the_page_shows_progress_reason_picture_and_what_can_be_done(admin: Client, chain: WorkflowInstance) -> None:
    shown = admin.get(page(chain)).content.decode()

    for words in (
        "1 of 2 nodes succeeded, 1 failed",
        "The container ended with code 3.",
        "no route to host",
        "Read its log.",
        "exit code",
        "Uninitialize</a>",
        f'data-live="{live(chain)}"',
        f'data-live-instance="{chain.pk}"',
    ):
        assert words in shown
    for node in chain.node_set.all():
        assert f'id="node-{node.pk}"' in shown
        assert f'data-status="{node.status}"' in shown
        assert f'href="/admin/workflows/workflownode/{node.pk}/change/"' in shown


def test_the_page_and_its_fragment_show_the_same(admin: Client, chain: WorkflowInstance) -> None:
    shown = admin.get(page(chain))
    fragment = admin.get(live(chain))

    assert fragment.status_code == 200
    assert f'data-live-version="{fragment["ETag"].replace(chr(34), "&quot;")}"' in shown.content.decode()
    part, mark, buttons = fragment.content.decode().partition('<ul class="live-buttons"')
    assert part.strip() in shown.content.decode()
    assert (mark + buttons).strip() in shown.content.decode()


def test_an_unchanged_fragment_is_not_sent_again(admin: Client, chain: WorkflowInstance) -> None:
    version = admin.get(live(chain))["ETag"]

    again = admin.get(live(chain), headers={"If-None-Match": version})
    chain.node_set.filter(name="second").update(status="running", finished_at=None)
    changed = admin.get(live(chain), headers={"If-None-Match": version})

    assert (again.status_code, again.content) == (304, b"")
    assert changed.status_code == 200
    assert changed["ETag"] != version
    assert 'data-status="running"' in changed.content.decode()


@pytest.mark.parametrize("change", ["message", "event", "name", "cleanup"])
def test_whatever_is_shown_makes_a_new_version(admin: Client, chain: WorkflowInstance, change: str) -> None:
    version = admin.get(live(chain))["ETag"]

    match change:
        case "message":
            NodeRun.objects.filter(node_name="second").update(message="other words")
        case "event":
            Event.objects.create(
                instance_id=chain.pk, sequence=9, project_id="p1", kind="node.trouble", actor="1", created_at=NOON
            )
        case "name":
            chain.node_set.filter(name="first").update(name="other")
        case "cleanup":
            make_cleanup(chain)

    assert admin.get(live(chain))["ETag"] != version


def make_cleanup(instance: WorkflowInstance) -> None:
    from workflows.models import Cleanup

    Cleanup.objects.create(instance=instance, goal="tidy", actor="1", due_at=NOON, requested_at=NOON)


def test_what_holds_a_running_node_up_is_told(admin: Client, chain: WorkflowInstance) -> None:
    chain.node_set.filter(name="second").update(status="running", finished_at=None)
    NodeRun.objects.filter(node_name="second").update(status="running", finished_at=None)

    shown = admin.get(live(chain)).content.decode()

    assert "What holds it up" in shown
    assert "Why it failed" not in shown
    assert "cannot get on" in shown
    assert "graph-trouble" in shown


def test_a_reason_of_an_earlier_run_is_not_told(admin: Client, chain: WorkflowInstance) -> None:
    chain.node_set.filter(name="second").update(status="running", finished_at=None)

    shown = admin.get(live(chain)).content.decode()

    assert "The container ended with code 3." not in shown


def test_a_draft_without_nodes_says_what_it_lacks(admin: Client, db: None) -> None:
    shown = admin.get(page(InstanceFactory())).content.decode()

    assert "There are no nodes yet" in shown
    assert "It needs at least one before it can be started." in shown


def test_names_stay_harmless(admin: Client, db: None) -> None:
    instance = InstanceFactory(name=HOSTILE, message=HOSTILE)
    record = make_history(instance, text=HOSTILE, name=HOSTILE)

    for address in (page(instance), live(instance), page(record.run), live(record.run)):
        shown = admin.get(address).content.decode()
        assert "<script>alert" not in shown
        assert "&lt;script&gt;alert" in shown


def test_a_run_shows_the_picture_of_its_own_statuses(admin: Client, chain: WorkflowInstance) -> None:
    run = Run.objects.get(instance=chain)
    chain.node_set.update(status="pending")

    shown = admin.get(page(run)).content.decode()

    assert "1 of 2 nodes succeeded, 1 failed" in shown
    assert "The container ended with code 3." in shown
    for record in NodeRun.objects.filter(run=run):
        assert f'href="/admin/workflows/noderun/{record.pk}/change/"' in shown
        assert f'data-status="{record.status}"' in shown


def test_fragments_are_for_those_who_may_open_the_page(chain: WorkflowInstance, viewer: Client) -> None:
    run = Run.objects.get(instance=chain)
    stranger = signed_in(staff("stranger", "view_nodelog"))

    for row in (chain, run):
        assert Client().get(live(row)).status_code == 302
        assert signed_in(UserFactory()).get(live(row)).status_code == 302
        assert stranger.get(live(row)).status_code == 403
        assert viewer.get(live(row)).status_code == 200
        assert viewer.post(live(row)).status_code == 405


def test_a_viewer_is_offered_nothing_to_do(chain: WorkflowInstance, viewer: Client) -> None:
    assert "Uninitialize</a>" not in viewer.get(live(chain)).content.decode()


def test_what_does_not_exist_is_not_found(admin: Client, db: None) -> None:
    assert admin.get("/admin/workflows/workflowinstance/nothing/live/").status_code == 404
    assert admin.get("/admin/workflows/run/0/live/").status_code == 404


@pytest.mark.parametrize("kind", ["instance", "run"])
def test_a_fragment_takes_as_many_queries_for_many_nodes_as_for_few(
    admin: Client, chain: WorkflowInstance, kind: str
) -> None:
    run = Run.objects.get(instance=chain)
    address = live(chain if kind == "instance" else run)
    append(chain, Entry("run.accepted", str(UserFactory().pk)))

    few = queries(admin, address)
    for node in NodeFactory.create_batch(40, instance=chain, template_id="t", status="failed"):
        NodeRunFactory(run=run, node=node, diagnosis={"summary": "broken"})
        append(chain, Entry("node.updated", str(UserFactory().pk), node_id=node.pk))
    many = queries(admin, address)

    assert few == many
    assert many <= 9
    assert "and 32 more" in admin.get(address).content.decode()


def test_the_journal_says_who_did_what_with_which_node(admin: Client, chain: WorkflowInstance) -> None:
    user = UserFactory(username="nora")
    second = chain.node_set.get(name="second")
    append(chain, Entry("node.updated", str(user.pk), node_id=second.pk), Entry("instance.accepted", "somebody else"))

    shown = admin.get(page(chain)).content.decode()

    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr.*?</tr>", shown, re.DOTALL)]
    told = [[re.sub(r"<[^>]*>", "", cell).strip() for cell in row] for row in rows]
    assert [row[-4:-1] for row in told if row[-4:-1][:1] == ["node.updated"]] == [["node.updated", "second", "nora"]]
    assert ["instance.accepted", NONE, "somebody else"] in [row[-4:-1] for row in told]
