"""A Job whose pods are refused: the node says why while it waits (reliability F27, F33)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from k8s_bridge.names import namespace_of
from tests.engine import ends, eventually, job, node, workflow
from workflows.domain.actors import Actor
from workflows.models import Event, NodeRun
from workflows.services import lifecycle
from workflows.services.cluster import gateway
from workflows.services.facts import Facts
from workflows.services.observing import apply_observations
from workflows.services.refusals import refusals

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("engine")]
ME = Actor(id="1", name="me")
WORDS = 'admission webhook "guard.example.com" denied the request: team label is missing'


def test_what_refuses_the_pods_of_a_job_is_told_in_its_own_words() -> None:
    instance = workflow({"a": job("sleep 300")})
    lifecycle.start_instance(instance_id=instance.pk, actor=ME)
    eventually(
        lambda: NodeRun.objects.filter(instance=instance, clock_started_at__isnull=False).exists(), what="the start"
    )
    namespace = namespace_of(instance.project_id)
    facts = Facts()
    facts.add("Job", gateway().list_instance(namespace, instance.pk)["Job"])
    (seen,) = facts.objects.values()
    assert list(refusals(facts, facts.objects)) == []
    before = gateway().client.counts
    many = Facts()
    many.objects = {number: replace(seen, attempt=number, name=f"{seen.name}-{number}") for number in range(200)}
    assert list(refusals(many, many.objects)) == []
    asked = {call: count - before.get(call, 0) for call, count in gateway().client.counts.items()}
    assert asked["list events"] == 1, "one request for the namespace, however many of its Jobs have no pod"

    for ending in ("x7k2p", "b4n9q"):
        body = {
            "metadata": {"name": f"{seen.name}.{ending}"},
            "involvedObject": {"kind": "Job", "namespace": namespace, "name": seen.name, "uid": seen.uid},
            "type": "Warning",
            "reason": "FailedCreate",
            "message": f'Error creating: pods "{seen.name}-{ending}" is forbidden: {WORDS}',
            "count": 1,
        }
        gateway().client.request("POST", f"/api/v1/namespaces/{namespace}/events", body=body)
        apply_observations(refusals(facts, facts.objects))

    diagnosis = NodeRun.objects.get(instance=instance).diagnosis
    assert diagnosis["category"] == "admission"
    assert diagnosis["detail"] == f'pods "{seen.name}-*" is forbidden: {WORDS}'
    assert WORDS in (node(instance, "a").message or "")
    assert Event.objects.filter(instance_id=instance.pk, kind="node.trouble").count() == 1
    lifecycle.stop_instance(instance_id=instance.pk, actor=ME)
    assert ends(instance) == "stopped"
