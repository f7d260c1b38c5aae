"""Which templates a caller may put into an instance of a project (contract A.3)."""

from __future__ import annotations

from typing import Any

import pytest

from templates_app.selectors import usable_templates
from tests.factories import AppTemplateFactory, JobTemplateFactory, ProjectMemberFactory
from workflows.domain.actors import Actor
from workflows.domain.errors import Forbidden, NotFound

pytestmark = pytest.mark.django_db

CREATOR, MEMBER, STRANGER = Actor(id="1"), Actor(id="2"), Actor(id="3")
ADMIN = Actor(id="4", is_admin=True)


@pytest.fixture(autouse=True)
def _membership() -> None:
    ProjectMemberFactory(project_id="p1", user_id=MEMBER.id)
    ProjectMemberFactory(project_id="p2", user_id=MEMBER.id)


@pytest.mark.parametrize(
    ("actor", "template", "usable"),
    [
        (STRANGER, {"scope": "global", "project_id": None}, True),
        (STRANGER, {"scope": "global", "project_id": "p2"}, True),
        (CREATOR, {}, True),
        (MEMBER, {}, True),
        (ADMIN, {}, True),
        (STRANGER, {}, False),
        (CREATOR, {"project_id": "p2"}, False),
        (MEMBER, {"project_id": "p2"}, False),
        (ADMIN, {"project_id": "p2"}, False),
    ],
)
@pytest.mark.parametrize("factory", [AppTemplateFactory, JobTemplateFactory])
def test_templates_stay_in_their_project(actor: Actor, template: dict[str, Any], usable: bool, factory: Any) -> None:
    row = factory(created_by=CREATOR.id, **template)
    wanted = ("app" if factory is AppTemplateFactory else "job", row.id)

    if usable:
        assert usable_templates(actor=actor, project_id="p1", wanted=[wanted]) == {wanted: row}
    else:
        with pytest.raises(Forbidden):
            usable_templates(actor=actor, project_id="p1", wanted=[wanted])


def test_a_template_of_the_other_kind_does_not_exist() -> None:
    with pytest.raises(NotFound) as caught:
        usable_templates(actor=ADMIN, project_id="p1", wanted=[("app", JobTemplateFactory().id)])

    assert caught.value.details["resource"] == "app_template"


def test_missing_comes_before_forbidden() -> None:
    hidden = AppTemplateFactory(project_id="p2")

    with pytest.raises(NotFound):
        usable_templates(actor=STRANGER, project_id="p1", wanted=[("app", hidden.id), ("job", "wf-tmpl-x-00000000")])


def test_many_templates_cost_three_queries(django_assert_num_queries: Any) -> None:
    wanted = [("app", row.id) for row in AppTemplateFactory.create_batch(5)]
    wanted += [("job", row.id) for row in JobTemplateFactory.create_batch(5)]

    with django_assert_num_queries(3):
        found = usable_templates(actor=MEMBER, project_id="p1", wanted=wanted)

    assert set(found) == set(wanted)
