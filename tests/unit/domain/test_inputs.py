"""The checks on write: Service settings, sources, and what nothing supplies (contract C.7, G.4, H.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workflows.domain.errors import Conflict, Invalid
from workflows.domain.inputs import (
    EffectiveService,
    NodeView,
    check_service_names,
    check_sources,
    effective_service,
    unmet_inputs,
)

MakeNode = Callable[..., NodeView]

HTTP = {"name": "http", "port": 80, "target_port": 8080, "protocol": "TCP"}
GRPC = {"name": "grpc", "port": 90, "target_port": 9090, "protocol": "TCP"}
WANTS = {
    "name": "main",
    "input_env_vars": [{"name": "TARGET", "default_value": None}],
    "input_volume_mounts": [{"mount_path": "/data", "read_only": True}],
}
NO_TARGET = {
    "type": "env_var",
    "container": "main",
    "name": "TARGET",
    "message": "variable TARGET has no value: give it in env_vars, or name its source in input_env_vars",
}
NO_DATA = {
    "type": "volume_mount",
    "container": "main",
    "mount_path": "/data",
    "message": "nothing is mounted at /data: name a claim in volume_mounts, or its source in input_volume_mounts",
}


@pytest.mark.parametrize(
    ("template", "node", "expected"),
    [
        ({}, {}, EffectiveService(False, None, "ClusterIP", (), False, None)),
        ({"create_service": True}, {}, EffectiveService(False, None, "ClusterIP", (), True, None)),
        (
            {"create_service": True, "service_ports": [HTTP]},
            {},
            EffectiveService(True, "generated", "ClusterIP", (HTTP,), True, None),
        ),
        (
            {"create_service": True, "service_ports": [HTTP], "service_name": "mine", "service_type": "NodePort"},
            {},
            EffectiveService(True, "mine", "NodePort", (HTTP,), True, "mine"),
        ),
        (
            {"create_service": True, "service_ports": [HTTP], "service_name": "mine"},
            {"requested_service_name": "other", "service_ports": [GRPC], "service_type": "LoadBalancer"},
            EffectiveService(True, "other", "LoadBalancer", (GRPC,), True, "other"),
        ),
        (
            {"create_service": True, "service_ports": [HTTP], "service_name": "mine"},
            {"create_service": False},
            EffectiveService(False, None, "ClusterIP", (HTTP,), False, "mine"),
        ),
        (
            {"create_service": False, "service_ports": [HTTP]},
            {"create_service": True},
            EffectiveService(True, "generated", "ClusterIP", (HTTP,), True, None),
        ),
        (
            {"create_service": True, "service_ports": [HTTP]},
            {"service_ports": []},
            EffectiveService(False, None, "ClusterIP", (), True, None),
        ),
        (
            {"create_service": True, "service_ports": [HTTP], "service_name": ""},
            {"requested_service_name": ""},
            EffectiveService(True, "generated", "ClusterIP", (HTTP,), True, None),
        ),
        (
            {"create_service": True, "service_ports": [HTTP]},
            {"node_type": "job", "create_service": True, "service_ports": [HTTP], "requested_service_name": "mine"},
            EffectiveService(False, None, "ClusterIP", (), False, None),
        ),
    ],
)
def test_service_settings_are_node_over_template(
    make_node: MakeNode, template: dict[str, Any], node: dict[str, Any], expected: EffectiveService
) -> None:
    view = make_node(template=template, **node)

    assert effective_service(view, generated_name="generated") == expected


def test_two_nodes_may_not_get_one_service(make_node: MakeNode) -> None:
    nodes = {id: make_node(id) for id in "abc"}

    with pytest.raises(Conflict) as caught:
        check_service_names(nodes, {"c": "web", "a": "web", "b": None})

    assert caught.value.details == {"service_name": "web", "node_ids": ["a", "c"]}
    assert caught.value.message.startswith("nodes node a and node c both ask for the Service name web")


def test_different_or_no_services_are_fine(make_node: MakeNode) -> None:
    check_service_names({}, {"a": "web", "b": None, "c": None, "d": "web-2"})


def test_sources_within_the_instance_are_fine() -> None:
    check_sources({"a"}, {"input_env_vars": [{"name": "X", "source_node_id": "a"}], "input_volume_mounts": []})


def test_every_foreign_source_is_named_by_its_place() -> None:
    entries = {
        "input_env_vars": [{"name": "X", "source_node_id": "a"}, {"name": "Y", "source_node_id": "z"}],
        "input_volume_mounts": [{"mount_path": "/m", "source_node_id": "q"}],
    }

    with pytest.raises(Invalid) as caught:
        check_sources({"a"}, entries, prefix="nodes.2.")

    assert caught.value.details == {
        "fields": [
            {"field": "nodes.2.input_env_vars.1.source_node_id", "message": "z is not a node of this instance"},
            {"field": "nodes.2.input_volume_mounts.0.source_node_id", "message": "q is not a node of this instance"},
        ]
    }


@pytest.mark.parametrize(
    ("given", "unmet"),
    [
        ({}, [NO_TARGET, NO_DATA]),
        ({"env_vars": [{"name": "TARGET", "value": ""}]}, [NO_DATA]),
        ({"env_vars": [{"name": "target", "value": "x"}]}, [NO_TARGET, NO_DATA]),
        ({"input_env_vars": [{"name": "TARGET", "source_node_id": "a"}]}, [NO_DATA]),
        ({"volume_mounts": [{"mount_path": "/data", "pvc_name": "c"}]}, [NO_TARGET]),
        ({"volume_mounts": [{"mount_path": "/data/x", "pvc_name": "c"}]}, [NO_TARGET, NO_DATA]),
        ({"input_volume_mounts": [{"mount_path": "/data", "source_node_id": "a"}]}, [NO_TARGET]),
    ],
)
def test_node_supplies_an_input(make_node: MakeNode, given: dict[str, Any], unmet: list[dict[str, Any]]) -> None:
    assert unmet_inputs(make_node(containers=[WANTS], **given)) == unmet


@pytest.mark.parametrize(
    ("container", "unmet"),
    [
        ({"input_env_vars": [{"name": "TARGET", "default_value": "d"}]}, []),
        ({"input_env_vars": [{"name": "TARGET", "default_value": ""}]}, [NO_TARGET]),
        ({"input_env_vars": [{"name": "TARGET"}]}, [NO_TARGET]),
        ({"input_env_vars": [{"name": "TARGET"}], "env_vars": [{"name": "TARGET", "value": "v"}]}, []),
        ({"input_volume_mounts": [{"mount_path": "/data"}]}, [NO_DATA]),
        (
            {
                "input_volume_mounts": [{"mount_path": "/data"}],
                "volume_mounts": [{"mount_path": "/data", "pvc_name": "c"}],
            },
            [],
        ),
        ({"input_env_vars": None, "input_volume_mounts": None}, []),
    ],
)
def test_template_supplies_an_input(
    make_node: MakeNode, container: dict[str, Any], unmet: list[dict[str, Any]]
) -> None:
    assert unmet_inputs(make_node(containers=[{"name": "main", **container}])) == unmet


def test_missing_things_are_told_per_container_and_with_the_node_when_asked(make_node: MakeNode) -> None:
    node = make_node("n", containers=[WANTS, {**WANTS, "name": "side"}])

    items = unmet_inputs(node, name_node=True)

    assert [(item["container"], item["type"], item["node"]) for item in items] == [
        ("main", "env_var", "node n"),
        ("main", "volume_mount", "node n"),
        ("side", "env_var", "node n"),
        ("side", "volume_mount", "node n"),
    ]
    assert items[0] == {**NO_TARGET, "node": "node n"}
