"""Filters under a name above the lists."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from secflow.console.models import SavedFilter
from tests.admin.conftest import said, signed_in, staff
from tests.factories import InstanceFactory

LIST = "/admin/workflows/workflowinstance/"
QUERY = "q=nightly&status__exact=failed"


@pytest.fixture
def operator(db: None) -> Client:
    """Somebody who may look at lists and is no administrator."""
    return signed_in(staff("operator", "view_workflowinstance"))


def send(client: Client, action: str, **fields: Any) -> Any:
    return client.post(f"{LIST}filters/", {"action": action, **fields}, follow=True)


def save(client: Client, name: str = "failed nights", query: str = QUERY, **fields: Any) -> Any:
    return send(client, "save", name=name, query=query, **fields)


def names(client: Client, query: str = "") -> list[str]:
    return [item.name for item in client.get(f"{LIST}?{query}").context["saved_filters"]["shown"]]


def test_a_filter_is_saved_and_leads_to_the_same_list(operator: Client) -> None:
    InstanceFactory(name="nightly", status="failed")

    shown = save(operator, query=f"p=3&status__exact=failed&{QUERY}&run_mode__exact=")
    saved = operator.get(LIST).context["saved_filters"]["shown"][0]

    assert said(shown) == ["The filter failed nights was saved."]
    assert saved.url.startswith(f"{LIST}?q=nightly&status__exact=failed")
    assert operator.get(saved.url).context["saved_filters"]["current"].name == "failed nights"
    assert operator.get(saved.url).status_code == 200


def test_it_is_renamed_and_removed(operator: Client) -> None:
    save(operator)
    key = SavedFilter.objects.get().pk

    renamed = send(operator, "rename", filter=key, name="  bad   nights ", query=QUERY)
    after_renaming = names(operator)
    removed = send(operator, "delete", filter=key, query=QUERY)

    assert said(renamed) == ["The filter failed nights is called bad nights now."]
    assert after_renaming == ["bad nights"]
    assert said(removed) == ["The filter bad nights was removed."]
    assert names(operator) == []


def test_saving_under_the_same_name_replaces_it(operator: Client) -> None:
    save(operator)
    save(operator, query="q=other")

    assert [row.query for row in SavedFilter.objects.all()] == ["q=other"]


def test_only_administrators_share_and_then_everybody_sees_it(operator: Client, admin: Client) -> None:
    save(operator, name="mine", is_shared="yes")
    save(admin, name="for all", query="q=all", is_shared="yes")
    save(admin, name="my own", query="q=own")

    assert names(operator) == ["for all", "mine"]
    assert names(admin) == ["for all", "my own"]
    mine = SavedFilter.objects.get(name="mine")
    assert not mine.is_shared
    refused = send(operator, "share", filter=mine.pk, query=QUERY)
    assert said(refused)[0].startswith("Nothing was changed")
    assert not SavedFilter.objects.get(pk=mine.pk).is_shared


@pytest.mark.parametrize("action", ["rename", "delete", "share", "unshare"])
def test_nobody_changes_what_belongs_to_others(operator: Client, admin: Client, action: str) -> None:
    save(admin, name="for all", is_shared="yes")
    save(operator, name="private", query="q=private")
    before = list(SavedFilter.objects.order_by("pk").values())

    shared, private = (SavedFilter.objects.get(name=name).pk for name in ("for all", "private"))
    by_operator = send(operator, action, filter=shared, name="new", query=QUERY)
    by_admin = send(admin, action, filter=private, name="new", query=QUERY)

    for shown in (by_operator, by_admin):
        assert said(shown) == ["Nothing was changed: there is no such filter, or it is somebody else's."]
    assert list(SavedFilter.objects.order_by("pk").values()) == before


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"query": ""}, "search or filter first"),
        ({"query": "p=2"}, "search or filter first"),
        ({"name": ""}, "needs a name"),
        ({"name": "x" * 101}, "needs a name"),
        ({"query": "q=" + "x" * 2000}, "too long"),
    ],
)
def test_what_cannot_be_saved_is_said(operator: Client, fields: dict[str, str], sentence: str) -> None:
    assert sentence in said(save(operator, **fields))[0]
    assert not SavedFilter.objects.exists()


def test_two_filters_of_one_name_are_refused(operator: Client) -> None:
    save(operator, name="a")
    save(operator, name="b", query="q=b")

    shown = send(operator, "rename", filter=SavedFilter.objects.get(name="b").pk, name="a", query=QUERY)

    assert said(shown) == ["Nothing was changed: another filter of this list is called a already."]


def test_names_are_harmless(operator: Client) -> None:
    save(operator, name='<script>alert("x")</script>')

    assert "<script>alert" not in operator.get(f"{LIST}?{QUERY}").content.decode()


def test_who_may_not_see_the_list_cannot_save_and_a_get_changes_nothing(db: None, operator: Client) -> None:
    newcomer = signed_in(staff("newcomer"))

    newcomer.post(f"{LIST}filters/", {"action": "save", "name": "n", "query": QUERY})

    assert not SavedFilter.objects.exists()
    assert operator.get(f"{LIST}filters/").status_code == 405
