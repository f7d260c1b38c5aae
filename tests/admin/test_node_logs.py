"""The logs of a node: kept texts, downloads, who may read them."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.admin.node_page import address, member, shown
from tests.factories import (
    NOON,
    NodeFactory,
)
from workflows.models import NodeLog, NodeRun, WorkflowNode


def test_kept_texts_are_told_apart_by_run_and_part(admin: Client, history: NodeRun) -> None:
    logs = address(history.node_id, "logs")
    NodeLog.objects.filter(part="init").update(due_at=None, error=None, fetched_at=NOON, text="set-up words")

    answers = [admin.get(f"{logs}?run={history.pk}{part}").content.decode() for part in ("", "-execution", "-init")]

    assert [answer.split("\n\n", 1)[1] for answer in answers] == ["a line", "a line", "set-up words"]
    assert answers[0].startswith("[run #1, pod pod-1: kept at 2026-03-01 12:00:00]")
    assert admin.get(f"{logs}?run={history.pk + 1}").status_code == 404
    other = NodeFactory()
    assert admin.get(f"{address(other.pk, 'logs')}?run={history.pk}").status_code == 404


def test_a_download_has_a_plain_name_and_nothing_but_the_text(admin: Client, history: NodeRun) -> None:
    WorkflowNode.objects.filter(pk=history.node_id).update(name='a"b\r\nX: y/../ü\u202e')

    answer = admin.get(f"{address(history.node_id, 'logs')}?run={history.pk}-execution&download=1")

    assert answer["Content-Disposition"] == 'attachment; filename="a-b-X-y-run-1-execution.log"'
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer.content == b"a line"


@pytest.mark.parametrize("query", ["", "follow=1", "lines=5"])
def test_a_node_without_a_pod_gives_the_kept_text_and_says_so(admin: Client, history: NodeRun, query: str) -> None:
    answer = admin.get(f"{address(history.node_id, 'logs')}?{query}")

    assert (answer.status_code, answer["X-Log-State"]) == (200, "kept")
    assert answer.content.decode() == "[The pod is gone. run #1, pod pod-1: kept at 2026-03-01 12:00:00]\n\na line"


def test_a_node_that_has_not_begun_says_so(admin: Client) -> None:
    answer = admin.get(address(NodeFactory().pk, "logs"))

    assert (answer.status_code, answer["X-Log-State"]) == (404, "waiting")
    assert answer.content.decode() == "The node has not begun: there is nothing in the cluster that could write.\n"


@pytest.mark.parametrize(
    "query",
    ["run=x", "run=0", "run=99999999999999999999999", "lines=0", "lines=10001", "lines=-1", "after=now", "run=²"],
)
def test_odd_parameters_are_refused_with_a_sentence(admin: Client, history: NodeRun, query: str) -> None:
    answer = admin.get(f"{address(history.node_id, 'logs')}?{query}")

    assert (answer.status_code, answer["X-Log-State"]) == (400, "refused")
    assert "must be a" in answer.content.decode()


def test_a_cluster_that_does_not_answer_is_a_sentence(admin: Client, history: NodeRun) -> None:
    WorkflowNode.objects.update(k8s_resource_name="wf-a-b", k8s_resource_type="Job")

    answer = admin.get(address(history.node_id, "logs"))

    assert answer["X-Log-State"] in ("unavailable", "kept")  # no cluster, or one of another test without this pod
    assert shown(admin, history.node_id)


def test_logs_need_a_right_of_their_own(db: None, history: NodeRun) -> None:
    client = member("no-logs", "view_workflownode")

    assert client.get(address(history.node_id, "logs")).status_code == 403
    assert "log-panel" not in shown(client, history.node_id)


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_logs_are_only_read(admin: Client, history: NodeRun, method: str) -> None:
    assert getattr(admin, method)(address(history.node_id, "logs")).status_code == 405
