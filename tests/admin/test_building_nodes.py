"""The form of a node: what it keeps, what it says beside its inputs, what it proposes."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.admin.building import INSTANCES, add_node_url, asking, node_url, send
from tests.admin.pages import form_of, problems_of
from tests.factories import AppTemplateFactory, InstanceFactory, JobTemplateFactory, NodeFactory
from workflows.admin.building.neighbours import Neighbours
from workflows.models import WorkflowInstance, WorkflowNode


def test_a_node_saved_untouched_changes_nothing(admin: Client) -> None:
    template = AppTemplateFactory(containers=asking("TARGET"), service_ports=[])
    node = NodeFactory(
        node_type="app",
        template_id=template.pk,
        env_vars=[{"name": "TARGET", "value": ""}, {"name": "B", "value": "two\r\nlines\x0b"}],
        volume_mounts=[{"pvc_name": "c", "mount_path": "/x", "sub_path": None}],
        resources={"requests": {"cpu": "1", "example.com/gpu": "2"}, "limits": None},
        create_service=False,
        service_ports=[],
        create_ingress=False,
        timeout_seconds=7,
    )
    parent = NodeFactory(instance=node.instance)
    other = NodeFactory(instance=node.instance)
    node.instance.edges = [{"edge_id": "e", "source": parent.pk, "target": node.pk, "shared_pvc": "c"}]
    node.instance.save()
    before = list(WorkflowNode.objects.order_by("pk").values())

    saved = send(admin, node_url(node))

    instance = WorkflowInstance.objects.get()
    assert saved.status_code == 302
    assert list(WorkflowNode.objects.order_by("pk").values()) == before
    assert (instance.edges, instance.version) == (node.instance.edges, node.instance.version)
    assert other.pk in admin.get(node_url(node)).content.decode()


def test_a_node_is_edited_with_its_service_and_what_it_runs_after(admin: Client) -> None:
    instance = InstanceFactory()
    first, second = NodeFactory(instance=instance, name="a"), NodeFactory(instance=instance, name="b")
    node = NodeFactory(instance=instance, node_type="app", name="web")
    send(admin, node_url(node), **{f"runs_after.{first.pk}": "on"})

    form = form_of(admin.get(node_url(node)))
    del form[f"runs_after.{first.pk}"]
    changes = {
        "name": "web 2",
        f"runs_after.{second.pk}": "on",
        "env_vars.n0.name": "MODE",
        "env_vars.n0.value": "quick",
        "create_service": "yes",
        "service_name": "web",
        "service_ports.mode": "own",
        "service_ports.rows.n0.name": "http",
        "service_ports.rows.n0.port": "80",
        "service_ports.rows.n0.target_port": "8080",
        "timeout_seconds": "60",
        "resources.limits.memory": "64Mi",
    }
    saved = admin.post(node_url(node), form | changes)

    node.refresh_from_db()
    instance.refresh_from_db()
    assert saved.status_code == 302
    assert (node.name, node.requested_service_name, node.timeout_seconds) == ("web 2", "web", 60)
    assert node.service_ports == [{"name": "http", "port": 80, "target_port": 8080, "protocol": "TCP"}]
    assert node.resources == {"requests": None, "limits": {"memory": "64Mi"}}
    assert node.depends_on == [second.pk]
    assert [edge["source"] for edge in instance.edges] == [second.pk]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"timeout_seconds": "0"}, "timeout_seconds"),
        ({"env_vars.n0.name": "1 2"}, "env_vars.n0.name"),
        ({"volume_mounts.n0.pvc_name": "c", "volume_mounts.n0.mount_path": "data"}, "volume_mounts.n0.mount_path"),
        ({"input_env_vars.n0.name": "A"}, "input_env_vars.n0.source_node_id"),
        ({"resources.requests.cpu": "much"}, "resources.requests.cpu"),
        ({"service_name": "Not A Label"}, "service_name"),
        ({"service_ports.mode": "own", "service_ports.rows.n0.name": "http", "service_ports.rows.n0.port": "0",
          "service_ports.rows.n0.target_port": "1"}, "service_ports.rows.n0.port"),
        ({"create_ingress": "yes"}, "create_ingress"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_node_is_said_beside_the_input(admin: Client, changes: dict[str, str], field: str) -> None:
    node = NodeFactory(node_type="app")
    NodeFactory(instance=node.instance)
    before = WorkflowNode.objects.values().get(pk=node.pk)

    refused = send(admin, node_url(node), **changes)
    checked = admin.post(f"{node_url(node)}?_check=1", form_of(admin.get(node_url(node))) | changes)

    assert refused.status_code == 200
    assert set(problems_of(refused)) == {field}
    assert {item["field"] for item in checked.json()["problems"]} == {field}
    assert WorkflowNode.objects.values().get(pk=node.pk) == before


def test_unmet_inputs_are_named_while_one_types(admin: Client) -> None:
    template = JobTemplateFactory(
        containers=asking("TARGET", input_volume_mounts=[{"mount_path": "/in", "read_only": True, "sub_path": None}])
    )
    instance = InstanceFactory()
    url = add_node_url(instance, template)
    form = form_of(admin.get(url))

    def asked(**changes: str) -> dict[str, str]:
        answer = admin.post(f"{url}&_check=1", form | changes)
        return {item["field"]: item["message"] for item in answer.json()["problems"]}

    untouched = asked(name="")
    half = asked(**{"env_vars.p0.value": "http://x", "volume_mounts.p0.pvc_name": "no claim!" * 40})
    fine = asked(**{"env_vars.p0.value": "http://x", "volume_mounts.p0.pvc_name": "data"})

    assert set(untouched) == {"name", "env_vars.p0", "volume_mounts.p0"}
    assert "nothing is mounted at /in" in untouched["volume_mounts.p0"]
    assert set(half) == {"volume_mounts.p0.pvc_name"}
    assert fine == {}
    assert not WorkflowNode.objects.exists()


def test_sources_are_nodes_that_can_run_before(admin: Client) -> None:
    instance = InstanceFactory()
    a, b, c = (NodeFactory(instance=instance, name=name) for name in ("first", "middle", "last"))
    instance.edges = [
        {"edge_id": "1", "source": a.pk, "target": b.pk, "shared_pvc": None},
        {"edge_id": "2", "source": b.pk, "target": c.pk, "shared_pvc": None},
    ]
    instance.save()

    page = admin.get(node_url(b)).content.decode()

    assert f'<option value="{a.pk}"' in page
    assert f'<option value="{c.pk}"' not in page
    assert f'<option value="{b.pk}"' not in page


def test_a_node_is_removed_with_its_edges(admin: Client) -> None:
    instance = InstanceFactory()
    a, b = (NodeFactory(instance=instance, name=name) for name in "ab")
    admin.post(f"{INSTANCES}{instance.pk}/edges/add/", {"source": a.pk, "target": b.pk, "shared_pvc": ""})

    asked = admin.get(f"{INSTANCES}{instance.pk}/nodes/{a.pk}/delete/").content.decode()
    admin.post(f"{INSTANCES}{instance.pk}/nodes/{a.pk}/delete/")

    instance.refresh_from_db()
    assert "1 edge with it" in asked
    assert instance.edges == []
    assert list(WorkflowNode.objects.values_list("name", flat=True)) == ["b"]


class _Counted(dict[str, str]):
    """Names that know how often all of them were gone through."""

    walks = 0

    def values(self) -> Any:
        self.walks += 1
        return super().values()


def test_a_picker_of_many_nodes_tells_twins_apart_at_one_walk_over_them() -> None:
    ids = [f"wf-node-n-{number:08}" for number in range(300)]
    names = _Counted({pk: "twin" if number < 2 else f"n{number}" for number, pk in enumerate(ids)})
    kinds = dict.fromkeys(ids, "job")
    around = Neighbours(None, names, kinds, kinds, parents=[], before=frozenset(), possible=ids, claims=[])

    labels = [option.label for option in around.source_options()]

    assert names.walks == 1
    assert len(labels) == 300
    assert {label for label in labels if "(" in label} == {"twin (00000000)", "twin (00000001)"}
