"""What an instance would have in the cluster, and the advice that comes with it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from templates_app.models import JobTemplate
from tests.api.conftest import Api
from tests.api.workflow_files import FILE, send, value
from tests.factories import AppTemplateFactory, InstanceFactory, JobTemplateFactory, NodeFactory, container
from workflows.domain.actors import Actor
from workflows.models import WorkflowInstance
from workflows.services.previews import node_manifest

PROBE = {
    "type": "http",
    "port": 80,
    "path": "/",
    "command": None,
    "initial_delay_seconds": 5,
    "period_seconds": 5,
    "timeout_seconds": 1,
    "failure_threshold": 3,
    "success_threshold": 1,
}
PORTS = [{"name": "http", "port": 80, "target_port": 80, "protocol": "TCP"}]


def preview(api: Api, instance: WorkflowInstance) -> Any:
    return api.read(f"/workflow-instances/{instance.pk}/dry-run")


def said(answer: dict[str, Any], severity: str) -> list[str]:
    return [item["message"] for item in answer["findings"] if item["severity"] == severity]


def test_the_objects_are_those_that_a_start_makes(member: Api) -> None:
    id = send(member, FILE)["instance"]["id"]

    answer = member.read(f"/workflow-instances/{id}/dry-run")

    kinds = [(item["node"], item["kind"]) for item in answer["manifests"]]
    assert kinds == [("target", "Deployment"), ("target", "Service"), ("scan", "Job"), ("report", "Job")]
    by_node = {(item["node"], item["kind"]): item for item in answer["manifests"]}
    service, scan = by_node["target", "Service"], by_node["scan", "Job"]["manifest"]
    suffixes = [id[-8:], *(node["id"][-8:] for node in member.read(f"/workflow-instances/{id}")["nodes"])]
    assert service["name"] == f"svc-wf-{suffixes[0]}-{suffixes[1]}"
    pod = scan["spec"]["template"]["spec"]
    assert pod["containers"][0]["env"] == [{"name": "TARGET", "value": service["name"]}]
    assert pod["volumes"] == [{"name": "volume-0", "persistentVolumeClaim": {"claimName": "data"}}]
    labels = scan["metadata"]["labels"]
    assert (labels["secflow.io/run"], labels["secflow.io/attempt"]) == ("1", "assigned-at-launch")
    assert scan["metadata"]["namespace"] == "secflow-p1"


def test_hints_name_what_is_probably_not_meant(member: Api) -> None:
    instance = InstanceFactory()
    slow = container(image="nginx", readiness_probe=PROBE | {"initial_delay_seconds": 60}, liveness_probe=PROBE)
    app = AppTemplateFactory(containers=[slow])
    bare = AppTemplateFactory(containers=[container(image="localhost:5000/x:latest")])
    job = JobTemplateFactory(
        containers=[container(image="x@sha256:00", resources={"requests": {"cpu": "1"}, "limits": None})],
        ttl_seconds_after_finished=5,
    )
    NodeFactory(instance=instance, name="slow", node_type="app", template_id=app.pk, timeout_seconds=30)
    source = NodeFactory(instance=instance, name="bare", node_type="app", template_id=bare.pk)
    entry = {"name": "HOST", "source_node_id": source.pk, "default_value": "nobody"}
    taker = NodeFactory(instance=instance, name="job", template_id=job.pk, input_env_vars=[entry])
    instance.edges = [{"edge_id": "e", "source": source.pk, "target": taker.pk, "shared_pvc": None}]
    instance.save()

    answer = preview(member, instance)

    warnings, infos = " | ".join(said(answer, "warning")), " | ".join(said(answer, "info"))
    assert said(answer, "error") == []
    for words in (
        "nginx has no tag",
        "localhost:5000/x:latest has the tag latest",
        "ready after 60 seconds at the earliest, but the node fails after 30",
        "restarted after 15 seconds",
        "has no readiness probe",
        "HOST always has its default value: its source bare makes no Service",
    ):
        assert words in warnings
    assert infos.count("asks for no resources") == 2
    assert "5 seconds after its end the Job is gone" in infos
    places = {item["message"]: (item["path"], item["node"]) for item in answer["findings"]}
    assert ("spec.nodes[0].timeout_seconds", "slow") in places.values()


def test_a_template_of_many_nodes_is_spoken_of_once(member: Api) -> None:
    instance = InstanceFactory()
    template = JobTemplateFactory(containers=[container(image="busybox")])
    for _ in range(5):
        NodeFactory(instance=instance, template_id=template.pk)

    assert len(said(preview(member, instance), "warning")) == 1


def test_a_service_that_another_workflow_wants_is_named(member: Api) -> None:
    mine, other, foreign = InstanceFactory(), InstanceFactory(), InstanceFactory(project_id="p2")
    template = AppTemplateFactory(
        containers=[container(readiness_probe=PROBE)], service_ports=PORTS, service_name="web"
    )
    for instance in (mine, other):
        NodeFactory(instance=instance, node_type="app", template_id=template.pk)
    NodeFactory(instance=foreign, node_type="app", requested_service_name="web", service_ports=PORTS)

    (warning,) = said(preview(member, mine), "warning")

    assert "Service web" in warning
    assert other.pk in warning


def test_what_a_start_would_refuse_is_an_error(member: Api) -> None:
    instance = InstanceFactory()
    assert "no nodes" in said(preview(member, instance), "error")[0]

    template = JobTemplateFactory(containers=[container(input_env_vars=[{"name": "A", "default_value": None}])])
    node = NodeFactory(instance=instance, template_id=template.pk)
    answer = preview(member, instance)
    assert answer["unmet_inputs"][0]["name"] == "A"
    assert answer["manifests"]
    assert len(said(answer, "error")) == 1

    template.delete()
    assert "does not exist any more" in said(preview(member, instance), "error")[0]
    JobTemplateFactory(id=template.pk or node.template_id)
    instance.edges = [{"edge_id": "e", "source": node.pk, "target": node.pk, "shared_pvc": None}]
    instance.save()
    answer = preview(member, instance)
    assert "itself" in said(answer, "error")[0]
    assert answer["manifests"] == []


def test_the_objects_of_one_node(member: Api) -> None:
    id = send(member, FILE)["instance"]["id"]
    target = member.read(f"/workflow-instances/{id}")["nodes"][0]
    actor = Actor(id=str(member.user_id))

    made = node_manifest(actor=actor, instance_id=id, node_id=target["id"])

    assert [(item.node, item.kind) for item in made] == [("target", "Deployment"), ("target", "Service")]


@pytest.mark.parametrize("size", [2, 60])
def test_queries_do_not_grow_with_the_workflow(member: Api, size: int) -> None:
    nodes = [{"name": f"n{place}", "template": "target", "service_name": f"s{place}"} for place in range(size)]
    id = send(member, value(nodes=nodes, edges=[]))["instance"]["id"]

    with CaptureQueriesContext(connection) as queries:
        member.read(f"/workflow-instances/{id}/dry-run")

    assert len(queries) <= 13


def test_containers_that_are_privileged_no_longer_start(member: Api) -> None:
    node = NodeFactory()
    JobTemplate.objects.filter(pk=node.template_id).update(containers=[container(privileged=True)])

    (error,) = said(preview(member, node.instance), "error")
    refusal = member.refused("POST", f"/workflow-instances/{node.instance_id}/start", status=403)

    assert error == refusal["message"]
    assert f"main (template {node.template_id})" in error
