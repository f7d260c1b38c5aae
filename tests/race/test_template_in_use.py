"""A template cannot vanish between the moment a node is allowed to use it and the moment the node is there (contract
D.3).
"""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction

from templates_app.kinds import JOB
from templates_app.models import JobTemplate
from templates_app.selectors import usable_templates
from templates_app.services import delete_template
from tests.factories import InstanceFactory, JobTemplateFactory, NodeFactory
from workflows.domain.actors import Actor
from workflows.domain.errors import Conflict

ADMIN = Actor(id="1", is_admin=True)


@pytest.mark.django_db(transaction=True)
def test_a_deletion_waits_for_the_author_and_is_refused() -> None:
    template = JobTemplateFactory()
    instance = InstanceFactory()
    outcome: list[Exception | None] = []
    backend: list[int] = []
    connected = threading.Event()

    def delete() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                backend.append(cursor.fetchone()[0])
            connected.set()
            delete_template(JOB, actor=ADMIN, template_id=template.id)
            outcome.append(None)
        except Conflict as err:
            outcome.append(err)
        finally:
            connection.close()

    thread = threading.Thread(target=delete)
    with transaction.atomic():
        usable_templates(actor=ADMIN, project_id="p1", wanted=[("job", template.id)])
        thread.start()
        assert connected.wait(10)
        until_waiting(backend[0])
        node = NodeFactory(instance=instance, template_id=template.id)
    thread.join(10)

    [refusal] = outcome
    assert isinstance(refusal, Conflict)
    assert refusal.details == {"instances": [node.instance_id]}
    assert JobTemplate.objects.filter(pk=template.id).exists()


@pytest.mark.django_db(transaction=True)
def test_two_authors_of_one_template_do_not_wait_for_each_other() -> None:
    template = JobTemplateFactory()
    done = threading.Event()

    def use() -> None:
        try:
            with transaction.atomic():
                usable_templates(actor=ADMIN, project_id="p1", wanted=[("job", template.id)])
            done.set()
        finally:
            connection.close()

    with transaction.atomic():
        usable_templates(actor=ADMIN, project_id="p1", wanted=[("job", template.id)])
        thread = threading.Thread(target=use)
        thread.start()
        assert done.wait(10)
    thread.join(10)


def until_waiting(backend: int) -> None:
    """Returns when that connection waits for a lock."""
    moment = threading.Event()
    for _ in range(500):
        with connection.cursor() as cursor:
            cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [backend])
            if cursor.fetchone()[0]:
                return
        moment.wait(0.02)
    pytest.fail("the deletion does not wait for the author")
