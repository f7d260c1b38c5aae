"""The first page: right numbers that lead to the same rows, reasons, and what it costs."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from xml.etree import ElementTree

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from secflow.console.chart import columns_svg
from secflow.console.vitals import age_words
from secflow.http.roles import Role
from secflow.runtime import heartbeat
from tests.admin.conftest import make_history, signed_in, with_roles
from tests.factories import InstanceFactory, NodeFactory, UserFactory
from workflows.domain.statuses import InstanceStatus
from workflows.models import Cleanup, NodeLog, NodeRun, Run, ShardLease, Turn, Workload

HOUR = timedelta(hours=1)


def run(project_id: str = "p1", *, ended: timedelta | None = HOUR, status: str = "succeeded", **facts: Any) -> Run:
    """A run of a new instance that ended some time ago, or an open one."""
    now = timezone.now()
    return Run.objects.create(
        instance=facts.pop("instance", None) or InstanceFactory(project_id=project_id, created_by="0"),
        number=1,
        trigger="start",
        actor="0",
        status=status if ended is not None else "running",
        started_at=now - (ended or HOUR),
        finished_at=None if ended is None else now - ended,
        **facts,
    )


def node_run(of: Run, name: str = "crawler", **facts: Any) -> NodeRun:
    """What one node did in the run."""
    node = NodeFactory(instance=of.instance, name=name)
    values: dict[str, Any] = {
        "node_id": node.pk,
        "node_name": name,
        "node_type": "job",
        "spec": {},
        "resource_name": "job-crawler",
        "resource_type": "Job",
        "timeout_seconds": 3600,
        "started_at": of.started_at,
    }
    return NodeRun.objects.create(run=of, instance=of.instance, **values | facts)


def workload(record: NodeRun, **facts: Any) -> Workload:
    """The cluster object of a record."""
    made = Workload.objects.create(
        instance=record.instance,
        node_id=record.node_id,
        node_run=record,
        run_number=1,
        kind="Job",
        namespace="p1",
        name="job-crawler",
        **facts,
    )
    NodeRun.objects.filter(pk=record.pk).update(workload=made)
    return made


def numbers(page: str) -> dict[str, tuple[int, str]]:
    """The number of each tile and line of the queue, with the address behind it. Tiles of runs come first."""
    found = {}
    for href, number, word in re.findall(
        r'<a class="overview-tile[^"]*" href="([^"]+)">\s*<span class="overview-number">(\d+)</span>\s*'
        r'<span class="overview-word">(\w+)</span>',
        page,
    ):
        found.setdefault(f"runs {word}" if "/run/" in href else f"workflows {word}", (int(number), unescape(href)))
    for word, href, number in re.findall(r'<dt>([^<]+)</dt><dd><a href="([^"]+)"[^>]*>(\d+)</a>', page):
        found[f"queue {word}"] = (int(number), unescape(href))
    return found


def everything() -> None:
    """Something behind each number, of p1 and p2, and rows that must not be counted."""
    now = timezone.now()
    for project in ("p1", "p1", "p2"):
        for status in InstanceStatus:
            InstanceFactory(project_id=project, status=status, created_by="0")
        for status in ("succeeded", "failed", "stopped"):
            run(project, status=status)
            run(project, status=status, ended=timedelta(hours=23, minutes=59))
            run(project, status=status, ended=timedelta(hours=24, minutes=1))
            run(project, status=status, purpose="setup")
        record = node_run(run(project, ended=None), status="running", due_at=now - HOUR)
        workload(record, state="launching", due_at=now - HOUR)
        done = node_run(run(project), status="succeeded", finished_at=now)
        workload(done, state="gone")
        NodeLog.objects.create(node_run=done, part="init", due_at=now)
        NodeLog.objects.create(node_run=done, part="execution", fetched_at=now)
        Cleanup.objects.create(instance=done.instance, actor="0", due_at=now, requested_at=now)


@pytest.mark.parametrize("who", ["an administrator", "a member"])
def test_each_number_leads_to_as_many_rows(db: None, who: str) -> None:
    everything()
    if who == "a member":
        client = signed_in(with_roles("mira", Role.MEMBER, projects=["p1"]))
    else:
        client = signed_in(UserFactory(username="root", is_staff=True, is_superuser=True))

    found = numbers(client.get("/admin/").content.decode())

    factor = 2 if who == "a member" else 3
    assert found["runs succeeded"][0] == 3 * factor
    assert found["runs failed"][0] == found["runs stopped"][0] == 2 * factor
    assert found["runs running"][0] == factor
    assert len(found) == (11 if who == "a member" else 15)
    for title, (number, address) in found.items():
        listed = client.get(address)
        assert listed.status_code == 200, address
        assert len(listed.context["cl"].result_list) == number > 0, title
        kind, _, word = title.partition(" ")
        if kind in ("runs", "workflows"):  # the filter that the link set can be seen, and taken away, in the form
            status = next(spec for spec in listed.context["cl"].filter_specs if spec.title == "status")
            assert status.value() == [word], title


def test_a_failure_is_shown_with_what_to_do_about_it(admin: Client) -> None:
    failed = run(status="failed", message="a node failed")
    diagnosis = {"summary": "The image cannot be pulled.", "resolution": "Check its name."}
    record = node_run(failed, name="fetch", status="failed", finished_at=failed.finished_at, diagnosis=diagnosis)
    run(status="failed", message="nobody knows why")

    response = admin.get("/admin/")
    page = response.content.decode()

    assert "status__exact=failed" in response.context["failures_url"]
    for words in ("The image cannot be pulled.", "Check its name.", "nobody knows why"):
        assert words in page
    assert f'href="/admin/workflows/workflownode/{record.node_id}/change/"' in page
    assert f'href="/admin/workflows/run/{failed.pk}/change/"' in page


def test_what_waits_longest_comes_first_and_says_why(admin: Client) -> None:
    now = timezone.now()
    instance = InstanceFactory(name="to go")
    Cleanup.objects.create(
        instance=instance, goal="delete", actor="0", due_at=now, requested_at=now - 3 * HOUR, error="no answer"
    )
    slow = node_run(run(ended=None), name="slow", status="running", due_at=now + HOUR, message="the image is pulled")
    workload(slow, state="live")
    NodeRun.objects.filter(pk=slow.pk).update(started_at=now - 2 * HOUR)
    begun = node_run(run(ended=None), name="begun", status="running", due_at=now + HOUR, clock_started_at=now)
    workload(begun, state="live")
    new = node_run(run(ended=None), name="new", status="running")
    workload(new, state="launching", due_at=now)

    table = admin.get("/admin/").context["waiting"]

    rows = [" ".join(map(str, row)) for row in table.rows]
    assert [name for row in rows for name in ("to be deleted", "slow", "new") if name in row] == [
        "to be deleted",
        "slow",
        "new",
    ]
    assert ["no answer" in rows[0], "the image is pulled" in rows[1], "no worker" in rows[2]] == [True] * 3
    assert len(rows) == 3


def test_the_state_of_the_installation_is_shown_to_who_may_read_everything(db: None, redis_url: str) -> None:
    now = timezone.now()
    heartbeat.write(
        "watcher", {"oldest_news_seconds": 7.0, "news_seconds": {"Job": 7.0, "Pod": 1.0}, "shards": list(range(16))}
    )
    ShardLease.objects.bulk_create([ShardLease(shard=n, holder="h:1", until=now + HOUR) for n in range(15)])
    Turn.objects.create(name="reconcile", taken_at=now)

    auditor = signed_in(with_roles("anna", Role.AUDITOR)).get("/admin/").content.decode()
    member = signed_in(with_roles("mira", Role.MEMBER, projects=["p1"])).get("/admin/").content.decode()

    for words in (
        "15 of 16",
        "Job 7 s, Pod 1 s",
        "Last reconcile",
        "No worker has run it yet",
        "Messages in the broker",
    ):
        assert words in auditor
        assert words not in member


def test_due_rows_that_nobody_takes_are_marked(admin: Client) -> None:
    calm = admin.get("/admin/")
    Cleanup.objects.create(
        instance=InstanceFactory(), actor="0", due_at=timezone.now() - 2 * HOUR, requested_at=timezone.now()
    )
    late = admin.get("/admin/")

    assert (calm.context["is_late"], late.context["is_late"]) == (False, True)
    assert late.context["oldest_due"].startswith("2 h")


def test_the_inner_part_comes_alone_for_the_script(admin: Client) -> None:
    page, part = admin.get("/admin/").content.decode(), admin.get("/admin/overview")

    assert part.status_code == 200
    assert "<html" not in part.content.decode()
    assert 'data-refresh="/admin/overview"' in page
    assert 'id="overview-runs"' in part.content.decode()
    assert Client().get("/admin/overview").status_code == 302


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.MEMBER])
def test_who_has_nothing_is_told_how_to_begin(db: None, role: Role) -> None:
    client = signed_in(with_roles("somebody", role))

    page = client.get("/admin/").content.decode()
    for address in re.findall(r'<h3><a href="([^"]+)"', page):
        assert client.get(address).status_code == 200, address
    InstanceFactory(project_id="p1", created_by=str(client.session["_auth_user_id"]))

    for words in ("Create your first template", "Import a workflow file", "make quickstart"):
        assert words in page
        assert words not in client.get("/admin/").content.decode()


def test_operators_are_not_told_to_build(db: None) -> None:
    page = signed_in(with_roles("olga", Role.OPERATOR)).get("/admin/").content.decode()

    assert "Create your first template" not in page


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.MEMBER])
def test_the_page_costs_the_same_whatever_the_rows(db: None, role: Role) -> None:
    client = signed_in(with_roles("somebody", role, projects=["p1"]))

    def queries() -> int:
        client.get("/admin/")
        with CaptureQueriesContext(connection) as seen:
            assert client.get("/admin/").status_code == 200
        return len(seen)

    everything()
    few = queries()
    for _ in range(4):
        everything()
    for _ in range(5):
        make_history(InstanceFactory(project_id="p1"))
    many = queries()

    assert few == many
    assert many <= 24


def test_the_picture_shows_each_hour_and_says_its_numbers() -> None:
    hours = [Counter[str]() for _ in range(24)]
    hours[0].update(succeeded=3, failed=1)
    hours[23].update(stopped=2)

    svg = ElementTree.fromstring(columns_svg(hours, since=datetime(2026, 3, 1, tzinfo=UTC)))

    titles = [title.text for title in svg.iter("title")]
    bars = [bar.get("class") for bar in svg.iter("rect") if "bar" in str(bar.get("class"))]
    assert len(titles) == 24
    assert str(titles[0]).endswith("1 failed, 3 succeeded")
    assert str(titles[1]).endswith("none ended")
    assert bars == [f"columns-bar columns-bar--{status}" for status in ("succeeded", "failed", "stopped")]
    assert "1 failed, 2 stopped, 3 succeeded" in str(svg.get("aria-label"))
    assert all("style" not in part.attrib for part in svg.iter())


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90061, "1 d 1 h")]
)
def test_lengths_of_time_are_said_in_two_units(seconds: float, words: str) -> None:
    assert age_words(seconds) == words
