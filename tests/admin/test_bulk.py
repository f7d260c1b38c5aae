"""Operations on many rows: all that match a filter, in portions, with nothing done twice and nothing forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from secflow.console import bulk as bulks
from secflow.console import operations
from secflow.console.models import Bulk, BulkItem
from tests.admin.conftest import signed_in, staff
from tests.factories import InstanceFactory, ProjectMemberFactory, UserFactory
from workflows.models import Event, WorkflowInstance

LIST = "/admin/workflows/workflowinstance/"


def persistent(number: int, **fields: Any) -> list[WorkflowInstance]:
    return InstanceFactory.create_batch(number, **{"run_mode": "persistent", "status": "initialized"} | fields)


def ask(client: Client, name: str, query: str = "") -> Any:
    """The list action for all rows that match; the page that follows."""
    first = WorkflowInstance.objects.first()
    data = {"action": name, "index": "0", "select_across": "1", ACTION_CHECKBOX_NAME: [first.pk if first else "none"]}
    return client.post(f"{LIST}?{query}", data, follow=True)


def address(shown: Any) -> str:
    return str(shown.redirect_chain[-1][0])


def go_on(client: Client, page: str) -> dict[str, Any]:
    """One portion, as the script asks for it."""
    found: dict[str, Any] = client.post(page, headers={"Accept": "application/json"}).json()
    return found


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A portion is one row."""
    monkeypatch.setattr(bulks, "PORTION_SECONDS", 0.0)


def test_all_that_match_are_counted_and_nothing_is_done_before_it_is_confirmed(admin: Client) -> None:
    persistent(12)
    InstanceFactory(status="initialized", name="in mode once")
    persistent(2, project_id="other")

    shown = ask(admin, "deactivate", "project_id=p1")

    page = shown.content.decode()
    assert "Deactivate: 13 workflow instances" in page
    assert "and 3 more" in page
    assert "1 of them will be refused" in page
    assert not Event.objects.exists()
    assert admin.get(address(shown)).status_code == 200
    assert not Event.objects.exists()


def test_confirmed_it_is_done_to_those_that_matched_then_and_refusals_are_told_in_the_services_words(
    admin: Client,
) -> None:
    fitting = persistent(5)
    InstanceFactory(status="initialized", name="in mode once")
    other = persistent(1, project_id="other")[0]
    page = address(ask(admin, "deactivate", "project_id=p1"))
    later = persistent(1)[0]

    shown = admin.post(page, follow=True).content.decode()

    assert "All of them have been dealt with" in shown
    assert "has run mode once; only persistent workflows can deactivate" in shown
    assert f"{LIST}?project_id=p1" in shown
    still = set(WorkflowInstance.objects.filter(run_mode="persistent", is_active=True).values_list("pk", flat=True))
    assert still == {other.pk, later.pk}
    operator = admin.session["_auth_user_id"]
    assert set(Event.objects.values_list("instance_id", "kind", "actor")) == {
        (row.pk, "instance.deactivated", operator) for row in fitting
    }


def test_each_request_does_a_portion_and_the_rest_goes_on(admin: Client, one_by_one: None) -> None:
    persistent(3)
    page = address(ask(admin, "deactivate"))

    states = [go_on(admin, page) for _ in range(4)]

    assert [state["done"] for state in states] == [1, 2, 3, 3]
    assert [state["is_over"] for state in states] == [False, False, True, True]
    assert Event.objects.count() == 3


def test_what_is_left_is_offered_above_the_list_until_it_is_done_or_stopped(admin: Client, one_by_one: None) -> None:
    persistent(3)
    page = address(ask(admin, "deactivate"))
    assert page not in admin.get(LIST).content.decode()

    admin.post(page)
    offered = admin.get(LIST).content.decode()
    admin.post(page, {"stop": "yes"})
    stopped = admin.get(page).content.decode()
    admin.post(page)

    assert "Deactivate: 2 are still to be done." in offered
    assert f'href="{page}"' in offered
    assert "You stopped it" in stopped
    assert page not in admin.get(LIST).content.decode()
    assert Event.objects.count() == 1


def test_a_row_whose_request_was_cut_off_is_not_done_again(admin: Client, one_by_one: None) -> None:
    persistent(2)
    page = address(ask(admin, "deactivate"))
    long_ago = timezone.now() - timedelta(hours=1)
    cut_off = BulkItem.objects.earliest("id")
    BulkItem.objects.filter(pk=cut_off.pk).update(state="doing", changed_at=long_ago)

    go_on(admin, page)
    shown = admin.get(page).content.decode()

    assert "was cut off while this was done" in shown
    assert not Event.objects.filter(instance_id=cut_off.object_id).exists()
    assert Event.objects.count() == 1


def test_it_is_not_over_while_another_request_is_still_at_a_row(admin: Client, one_by_one: None) -> None:
    persistent(2)
    page = address(ask(admin, "deactivate"))
    item = BulkItem.objects.earliest("id")
    BulkItem.objects.filter(pk=item.pk).update(state="doing", changed_at=timezone.now())

    state = go_on(admin, page)
    shown = admin.get(page).content.decode()
    offered = admin.get(LIST).content.decode()

    assert (state["done"], state["doing"], state["waiting"], state["is_over"]) == (1, 1, 0, False)
    assert "have been dealt with" not in shown
    assert 'data-is-running="yes"' in shown
    assert f'Deactivate: 1 are still to be done. <a class="text-link" href="{page}"' in offered
    BulkItem.objects.filter(pk=item.pk).update(changed_at=timezone.now() - timedelta(hours=1))
    assert go_on(admin, page)["is_over"]
    assert "All of them have been dealt with" in admin.get(page).content.decode()
    assert page not in admin.get(LIST).content.decode()


def test_who_stops_it_is_not_told_that_all_is_done(admin: Client, one_by_one: None) -> None:
    persistent(1)
    page = address(ask(admin, "deactivate"))
    BulkItem.objects.update(state="doing", changed_at=timezone.now())
    Bulk.objects.update(started_at=timezone.now())

    shown = admin.post(page, {"stop": "yes"}, follow=True).content.decode()

    assert "You stopped it" in shown
    assert "have been dealt with" not in shown


def test_an_error_in_one_row_keeps_no_other_from_being_done(
    admin: Client, one_by_one: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    persistent(2)
    page = address(ask(admin, "deactivate"))
    broken = BulkItem.objects.earliest("id").object_id
    real = operations.OperationsMixin.try_one

    def try_one(self: Any, request: Any, row: Any, operation: Any) -> Any:
        if row.pk == broken:
            raise ValueError("a fault")
        return real(self, request, row, operation)

    monkeypatch.setattr(operations.OperationsMixin, "try_one", try_one)

    with pytest.raises(ValueError, match="a fault"):
        go_on(admin, page)
    state = go_on(admin, page)

    assert (state["done"], state["waiting"]) == (1, 0)


def test_rows_that_are_gone_or_may_not_be_touched_are_told(db: None) -> None:
    user = staff("operator", "view_workflowinstance", "change_workflowinstance", "delete_workflowinstance")
    ProjectMemberFactory(user_id=str(user.pk))
    client = signed_in(user)
    gone, foreign = persistent(2)
    page = address(ask(client, "deactivate"))
    gone.delete()
    WorkflowInstance.objects.filter(pk=foreign.pk).update(project_id="p2")
    ProjectMemberFactory(user_id="0", project_id="p2")

    shown = client.post(page, follow=True).content.decode()

    assert shown.count("it does not exist any more") == 2
    assert not Event.objects.exists()


def test_a_selection_that_takes_too_long_goes_on_as_a_bulk(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = persistent(3)
    monkeypatch.setattr(operations, "BUDGET_SECONDS", -1.0)

    shown = admin.post(LIST, {"action": "deactivate", ACTION_CHECKBOX_NAME: [row.pk for row in rows]}, follow=True)
    state = go_on(admin, address(shown))

    assert (state["total"], state["done"]) == (2, 2)
    assert Event.objects.count() == 3


def test_a_selection_of_many_is_asked_about(admin: Client) -> None:
    rows = persistent(101)

    shown = admin.post(LIST, {"action": "deactivate", ACTION_CHECKBOX_NAME: [row.pk for row in rows]}, follow=True)

    assert "Deactivate: 101 workflow instances" in shown.content.decode()
    assert not Event.objects.exists()


def test_nothing_matches(admin: Client) -> None:
    persistent(1)

    for query in ("q=nothing-like-it", "status__in="):
        shown = ask(admin, "deactivate", query)
        assert shown.status_code == 200


def test_a_bulk_is_its_users_alone_and_needs_the_right(admin: Client, viewer: Client) -> None:
    persistent(1)
    page = address(ask(admin, "deactivate"))
    colleague = signed_in(UserFactory(is_staff=True, is_superuser=True))

    assert (colleague.get(page).status_code, colleague.post(page).status_code) == (404, 404)
    assert viewer.post(page).status_code == 404
    Bulk.objects.update(user=User.objects.get(username="viewer"))
    assert viewer.post(page).status_code == 403
    assert not Event.objects.exists()


def test_old_bulks_are_forgotten(admin: Client) -> None:
    persistent(1)
    ask(admin, "deactivate")
    Bulk.objects.update(created_at=timezone.now() - timedelta(days=8))

    ask(admin, "deactivate")

    assert Bulk.objects.count() == BulkItem.objects.count() == 1


def test_names_with_markup_stay_text(admin: Client) -> None:
    persistent(1, name="<script>alert(1)</script>")

    shown = ask(admin, "deactivate")

    assert "<script>alert" not in shown.content.decode()
