"""Lists of templates (contract A.6, A.7)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.template_cases import ROUTES
from tests.factories import AppTemplateFactory


@pytest.fixture
def shelf(member: Api) -> dict[str, str]:
    """Ids of six templates by what they are to the member of p1."""
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

    with django_assert_num_queries(2):
        assert member.read(f"{route}?project_id=p1")["total"] == 33
