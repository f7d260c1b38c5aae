"""Golden specifications: rows in, what the cluster is asked for out. Models are not saved: no database is needed."""

from __future__ import annotations

from typing import Any

import pytest

from k8s_bridge.specs import Container, Mount, Probe, Service, ServicePort, WorkloadSpec
from templates_app.models import AppTemplate, JobTemplate, Template
from workflows.domain.errors import Conflict, CycleFound, Invalid, NotFound
from workflows.models import WorkflowInstance, WorkflowNode
from workflows.services.building import instance_resolutions, instance_specs, instance_views

INSTANCE_ID = "wf-inst-nightly-scan-x81m44zt"
APP_ID = "wf-node-target-app-m3n5b7v9"
JOB_ID = "wf-node-crawler-7h2k9q0d"

PROBE = {
    "type": "http",
    "port": 8080,
    "path": "/healthz",
    "command": None,
    "initial_delay_seconds": 0,
    "period_seconds": 7,
    "timeout_seconds": 1,
    "failure_threshold": 5,
    "success_threshold": 2,
}
WEB = {
    "name": "Web_Server",
    "image": "nginx:1",
    "command": ["nginx"],
    "args": ["-g", "daemon off;"],
    "env_vars": [{"name": "MODE", "value": "fast"}],
    "volume_mounts": [{"pvc_name": "site", "mount_path": "/site", "sub_path": "html", "read_only": True}],
    "input_env_vars": [],
    "input_volume_mounts": [],
    "privileged": True,
    "image_pull_policy": "Always",
    "resources": {"requests": {"memory": "64Mi", "cpu": "100m"}, "limits": {"cpu": "", "memory": "128Mi"}},
    "liveness_probe": {"type": "exec", "command": ["true"], "path": ""},
    "readiness_probe": PROBE,
}
SIDE = {"name": "web-server", "image": "busybox:1"}
CRAWL = {
    "name": "crawl",
    "image": "crawler:2",
    "command": None,
    "args": [],
    "env_vars": [],
    "volume_mounts": [],
    "input_env_vars": [{"name": "TARGET", "default_value": None}],
    "input_volume_mounts": [{"mount_path": "/in", "read_only": True}],
    "privileged": False,
    "resources": None,
    "liveness_probe": PROBE,
    "readiness_probe": None,
}
PORTS = [
    {"name": "http", "port": 80, "target_port": 8080, "protocol": "TCP"},
    {"name": "dns", "port": 53, "target_port": 5353, "protocol": "UDP"},
]


def app_template(**given: Any) -> AppTemplate:
    return AppTemplate(**{"id": "wf-tmpl-web-aaaaaaaa", "containers": [WEB, SIDE], "service_ports": PORTS, **given})


def job_template(**given: Any) -> JobTemplate:
    return JobTemplate(**{"id": "wf-tmpl-crawler-bbbbbbbb", "containers": [CRAWL], **given})


def app_node(**given: Any) -> WorkflowNode:
    facts = {"id": APP_ID, "name": "target app", "node_type": "app", "template_id": "wf-tmpl-web-aaaaaaaa"}
    return WorkflowNode(**{**facts, **given})


def job_node(**given: Any) -> WorkflowNode:
    facts = {
        "id": JOB_ID,
        "name": "crawler",
        "node_type": "job",
        "template_id": "wf-tmpl-crawler-bbbbbbbb",
        "env_vars": [{"name": "DEPTH", "value": "3"}],
        "input_env_vars": [{"name": "TARGET", "source_node_id": APP_ID, "default_value": None}],
        "input_volume_mounts": [{"mount_path": "/in", "source_node_id": APP_ID, "sub_path": "day"}],
    }
    return WorkflowNode(**{**facts, **given})


def instance(**given: Any) -> WorkflowInstance:
    edge = {"edge_id": "e1", "source": APP_ID, "target": JOB_ID, "shared_pvc": None}
    return WorkflowInstance(**{"id": INSTANCE_ID, "project_id": "p1", "edges": [edge], **given})


def templates(*made: Template) -> dict[str, Template]:
    return {template.id: template for template in made or (app_template(replicas=2), job_template(backoff_limit=1))}


def app_spec(node: WorkflowNode, template: AppTemplate | None = None) -> WorkloadSpec:
    specs, unmet = instance_specs([node], templates(template or app_template()), instance(edges=[]))
    assert unmet == []
    return specs[node.id]


SERVICE_PORTS = (ServicePort("http", 80, 8080), ServicePort("dns", 53, 5353, "UDP"))


def test_app_becomes_a_deployment_with_its_service() -> None:
    specs, _ = instance_specs([app_node(), job_node()], templates(), instance())

    assert specs[APP_ID] == WorkloadSpec(
        kind="Deployment",
        namespace="secflow-p1",
        name="wf-x81m44zt-m3n5b7v9",
        replicas=2,
        containers=(
            Container(
                name="web-server-2",
                image="nginx:1",
                command=("nginx",),
                args=("-g", "daemon off;"),
                env=(("MODE", "fast"),),
                mounts=(Mount("site", "/site", "html", read_only=True),),
                requests=(("cpu", "100m"), ("memory", "64Mi")),
                limits=(("memory", "128Mi"),),
                privileged=True,
                image_pull_policy="Always",
                liveness_probe=Probe(type="exec", command=("true",)),
                readiness_probe=Probe(
                    type="http",
                    port=8080,
                    path="/healthz",
                    initial_delay_seconds=0,
                    period_seconds=7,
                    timeout_seconds=1,
                    failure_threshold=5,
                    success_threshold=2,
                ),
            ),
            Container(name="web-server", image="busybox:1"),
        ),
        service=Service(name="svc-wf-x81m44zt-m3n5b7v9", type="ClusterIP", ports=SERVICE_PORTS),
        service_ports=SERVICE_PORTS,
    )


def test_job_becomes_a_job_with_its_inputs_and_without_probes() -> None:
    specs, unmet = instance_specs([app_node(), job_node()], templates(), instance())

    assert unmet == []
    assert specs[JOB_ID] == WorkloadSpec(
        kind="Job",
        namespace="secflow-p1",
        name="wf-x81m44zt-7h2k9q0d",
        backoff_limit=1,
        ttl_seconds_after_finished=3600,
        containers=(
            Container(
                name="crawl",
                image="crawler:2",
                env=(("TARGET", "svc-wf-x81m44zt-m3n5b7v9"), ("DEPTH", "3")),
                mounts=(Mount("site", "/in", "day", read_only=True),),
            ),
        ),
    )


def test_spec_survives_being_frozen_into_a_run() -> None:
    specs, _ = instance_specs([app_node(), job_node()], templates(), instance())

    for spec in specs.values():
        assert WorkloadSpec.from_json(spec.to_json()) == spec


def test_chosen_service_name_is_the_host_that_dependents_get() -> None:
    nodes = [app_node(requested_service_name="target"), job_node()]

    specs, _ = instance_specs(nodes, templates(), instance())

    assert specs[APP_ID].service == Service(name="target", ports=SERVICE_PORTS)
    assert specs[JOB_ID].containers[0].env[0] == ("TARGET", "target")


@pytest.mark.parametrize(
    ("node", "template", "container_ports"),
    [({"create_service": False}, {}, SERVICE_PORTS), ({"service_ports": []}, {}, ()), ({}, {"service_ports": []}, ())],
)
def test_no_service_without_ports_or_when_switched_off(
    node: dict[str, Any], template: dict[str, Any], container_ports: tuple[ServicePort, ...]
) -> None:
    spec = app_spec(app_node(**node), app_template(**template))

    assert (spec.service, spec.service_ports) == (None, container_ports)


def test_service_type_of_the_node_wins() -> None:
    spec = app_spec(app_node(service_type="NodePort"), app_template(service_type="LoadBalancer"))

    assert spec.service is not None
    assert spec.service.type == "NodePort"


@pytest.mark.parametrize(
    ("resources", "requests", "limits"),
    [
        ({"requests": {"cpu": "1"}, "limits": None}, (("cpu", "1"),), ()),
        ({"requests": None, "limits": {"memory": "1Gi", "cpu": ""}}, (), (("memory", "1Gi"),)),
        ({"requests": {"cpu": "", "memory": ""}}, (("cpu", "100m"), ("memory", "64Mi")), (("memory", "128Mi"),)),
        (None, (("cpu", "100m"), ("memory", "64Mi")), (("memory", "128Mi"),)),
    ],
)
def test_resources_of_the_node_replace_those_of_the_template(
    resources: dict[str, Any] | None, requests: tuple[Any, ...], limits: tuple[Any, ...]
) -> None:
    first = app_spec(app_node(resources=resources)).containers[0]

    assert (first.requests, first.limits) == (requests, limits)


def test_resources_of_the_node_go_to_every_container() -> None:
    spec = app_spec(app_node(resources={"limits": {"cpu": "1"}}))

    assert [container.limits for container in spec.containers] == [(("cpu", "1"),)] * 2


def test_unmet_inputs_of_several_nodes_name_the_node() -> None:
    nodes = [app_node(), job_node(input_env_vars=[], input_volume_mounts=[])]

    _, unmet = instance_specs(nodes, templates(), instance())

    assert [(item["node"], item["container"], item["type"]) for item in unmet] == [
        ("crawler", "crawl", "env_var"),
        ("crawler", "crawl", "volume_mount"),
    ]


def test_what_the_inputs_came_to_can_be_shown() -> None:
    views = instance_views([app_node(), job_node()], templates())

    resolutions = instance_resolutions(views, instance())

    assert resolutions[JOB_ID].values == {"TARGET": "svc-wf-x81m44zt-m3n5b7v9"}
    assert resolutions[JOB_ID].claims == {"/in": "site"}


def test_two_nodes_with_one_service_name_are_refused() -> None:
    nodes = [app_node(), app_node(id="wf-node-twin-zzzzzzzz", name="twin")]
    made = templates(app_template(service_name="web"))

    with pytest.raises(Conflict) as caught:
        instance_specs(nodes, made, instance(edges=[]))

    assert caught.value.details == {"service_name": "web", "node_ids": [APP_ID, "wf-node-twin-zzzzzzzz"]}


def test_cycle_is_refused() -> None:
    back = {"edge_id": "e2", "source": JOB_ID, "target": APP_ID, "shared_pvc": None}

    with pytest.raises(CycleFound):
        instance_specs([app_node(), job_node()], templates(), instance(edges=[*instance().edges, back]))


def test_missing_template_is_named() -> None:
    with pytest.raises(NotFound) as caught:
        instance_specs([job_node()], {}, instance(edges=[]))

    assert caught.value.details == {"resource": "job_template", "id": "wf-tmpl-crawler-bbbbbbbb"}


def test_project_id_that_names_no_namespace_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        instance_specs([app_node()], templates(), instance(project_id="Team_1", edges=[]))

    assert isinstance(caught.value.details, dict)
    assert [item["field"] for item in caught.value.details["fields"]] == ["project_id"]
