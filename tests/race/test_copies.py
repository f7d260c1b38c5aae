"""A copy meets the deletion of what is copied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from tests.factories import InstanceFactory
from tests.race.together import Act
from workflows.domain.actors import Actor
from workflows.domain.errors import NotFound
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.services.copying import copy_instance
from workflows.services.lifecycle import delete_instance

ADMIN = Actor(id="1", is_admin=True)


@pytest.mark.django_db(transaction=True)
def test_a_copy_of_an_empty_workflow_that_is_deleted_meanwhile_is_not_found() -> None:
    instance = InstanceFactory()
    deletions: list[Act] = []

    def delete_before_the_nodes_are_read(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if f'FROM "{WorkflowNode._meta.db_table}"' in sql and not deletions:
            deletions.append(Act(lambda: delete_instance(instance_id=instance.pk, actor=ADMIN)))
            assert deletions[0].result is None
        return execute(sql, *rest)

    with connection.execute_wrapper(delete_before_the_nodes_are_read), pytest.raises(NotFound) as refusal:
        copy_instance(actor=ADMIN, instance_id=instance.pk)

    assert deletions
    assert refusal.value.details == {"resource": "workflow_instance", "id": instance.pk}
    assert not WorkflowInstance.objects.exists()
