"""One workflow file applied by several at the same moment: everything is made once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from secflow.projects.models import ProjectMember
from templates_app.models import AppTemplate, JobTemplate
from tests.api.workflow_files import FILE
from tests.race.together import together
from workflows.domain.actors import Actor
from workflows.models import Event, WorkflowInstance, WorkflowNode
from workflows.services.documents import Outcome, apply_document
from workflows.services.lifecycle import start_instance

ADMIN = Actor(id="1", is_admin=True)
MEMBER = Actor(id="7")

pytestmark = pytest.mark.django_db(transaction=True)


def applied(actor: Actor, text: str = FILE) -> Callable[[], Outcome]:
    return lambda: apply_document(actor=actor, source=text)


def test_a_file_applied_four_times_at_once_makes_everything_once() -> None:
    outcomes = together(*[applied(ADMIN)] * 4)

    assert sorted(str(outcome.action) for outcome in outcomes) == ["created", "unchanged", "unchanged", "unchanged"]
    assert len({outcome.instance_id for outcome in outcomes}) == 1
    assert (WorkflowInstance.objects.count(), WorkflowNode.objects.count()) == (1, 3)
    assert (AppTemplate.objects.count(), JobTemplate.objects.count()) == (1, 1)


def test_the_first_of_an_open_project_lets_no_other_in() -> None:
    outcomes = together(applied(MEMBER), applied(Actor(id="8")))

    assert ProjectMember.objects.count() == 1
    assert sorted(getattr(outcome, "action", type(outcome).__name__) for outcome in outcomes) == [
        "Forbidden",
        "created",
    ]


def test_files_that_share_a_new_template_make_it_once() -> None:
    others = [FILE.replace("nightly scan", f"scan {number}") for number in range(4)]

    outcomes = together(*[applied(ADMIN, text) for text in others])

    assert [outcome.action for outcome in outcomes] == ["created"] * 4
    assert (AppTemplate.objects.count(), JobTemplate.objects.count()) == (1, 1)


def test_a_global_template_of_two_projects_is_made_once() -> None:
    text = FILE.replace("name: scanner", "name: scanner\n      scope: global")

    outcomes = together(applied(ADMIN, text), applied(ADMIN, text.replace("project: p1", "project: p2")))

    assert [outcome.action for outcome in outcomes] == ["created", "created"]
    assert JobTemplate.objects.filter(scope="global").count() == 1


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_a_change_and_a_start_at_once_leave_one_of_two_orders() -> None:
    id = str(apply_document(actor=ADMIN, source=FILE).instance_id)
    changed = FILE.replace("timeout_seconds: 60", "timeout_seconds: 61")

    outcome, started = together(applied(ADMIN, changed), lambda: start_instance(instance_id=id, actor=ADMIN))

    assert not isinstance(started, Exception)
    timeout = WorkflowNode.objects.get(name="scan").timeout_seconds
    if isinstance(outcome, Exception):
        assert "running" in str(outcome)
        assert timeout == 60
    else:
        assert outcome.action == "updated"
        assert timeout == 61
    sequence = list(Event.objects.filter(instance_id=id).order_by("sequence").values_list("sequence", flat=True))
    assert sequence == list(range(1, len(sequence) + 1))


def test_two_different_changes_at_once_both_count_as_a_whole() -> None:
    apply_document(actor=ADMIN, source=FILE)
    texts = [FILE.replace("timeout_seconds: 60", f"timeout_seconds: {number}") for number in (61, 62)]

    outcomes: list[Any] = together(*[applied(ADMIN, text) for text in texts])

    assert [outcome.action for outcome in outcomes] == ["updated", "updated"]
    assert WorkflowNode.objects.get(name="scan").timeout_seconds in (61, 62)
