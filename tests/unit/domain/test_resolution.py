"""The preflight, row by row of G.2 and G.3. A source `a` comes before the node `n`, unless a case says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from workflows.domain.graph import build_graph
from workflows.domain.inputs import NodeView, unmet_inputs
from workflows.domain.resolution import ClaimMount, Resolution, resolve, resolve_all

MakeNode = Callable[..., NodeView]
LONG = 5000

DECLARED = [{"name": "X", "default_value": None}]
DEFAULTED = [{"name": "X", "default_value": "template"}]
FIXED = [{"name": "X", "value": "container"}]
FROM_A = [{"name": "X", "source_node_id": "a"}]
FROM_A_OR = [{"name": "X", "source_node_id": "a", "default_value": "entry"}]
OF_NODE = [{"name": "X", "value": "node"}]


def resolved(
    nodes: list[NodeView],
    *,
    edges: str = "an",
    services: dict[str, str | None] | None = None,
    shared_pvc: str | None = None,
) -> Resolution:
    """The last node's inputs. `edges`: pairs such as "ab bn"; the last of them has the shared claim."""
    pairs = [(pair[0], pair[1]) for pair in edges.split()]
    rows = [{"edge_id": f"{a}{b}", "source": a, "target": b, "shared_pvc": None} for a, b in pairs]
    if rows:
        rows[-1]["shared_pvc"] = shared_pvc  # type: ignore[assignment]
    views = {node.id: node for node in nodes}
    graph = build_graph(views, pairs)
    return resolve(nodes[-1], nodes=views, graph=graph, edges=rows, service_names=services or {})


@pytest.mark.parametrize(
    ("container", "node", "service", "value"),
    [
        ({}, {}, "svc", None),
        ({"input_env_vars": DECLARED}, {}, "svc", None),
        ({"input_env_vars": DEFAULTED}, {}, "svc", "template"),
        ({"input_env_vars": DEFAULTED, "env_vars": FIXED}, {}, "svc", "container"),
        ({"env_vars": FIXED}, {}, "svc", "container"),
        ({"input_env_vars": DEFAULTED, "env_vars": FIXED}, {"input_env_vars": FROM_A}, "svc", "svc"),
        ({"input_env_vars": DECLARED}, {"input_env_vars": FROM_A_OR}, "svc", "svc"),
        ({"input_env_vars": DEFAULTED, "env_vars": FIXED}, {"input_env_vars": FROM_A_OR}, None, "entry"),
        ({"input_env_vars": DEFAULTED}, {"input_env_vars": FROM_A}, None, "template"),
        ({"input_env_vars": DECLARED, "env_vars": FIXED}, {"input_env_vars": FROM_A}, None, "container"),
        ({"input_env_vars": DECLARED}, {"input_env_vars": FROM_A}, None, None),
        ({"env_vars": FIXED}, {"input_env_vars": FROM_A}, "svc", "svc"),  # declared by none: reaches all
        ({"input_env_vars": DEFAULTED}, {"input_env_vars": FROM_A_OR, "env_vars": OF_NODE}, "svc", "node"),
        ({}, {"env_vars": OF_NODE}, None, "node"),
        ({"input_env_vars": DEFAULTED}, {"env_vars": [{"name": "X", "value": ""}]}, None, ""),
    ],
)
def test_later_row_of_the_environment_wins(
    make_node: MakeNode, container: dict[str, Any], node: dict[str, Any], service: str | None, value: str | None
) -> None:
    view = make_node("n", containers=[{"name": "main", **container}], **node)

    found = resolved([make_node("a"), view], services={"a": service})

    assert dict(found.env["main"]).get("X") == value
    asked = "input_env_vars" in container or "input_env_vars" in node
    assert [item["name"] for item in found.unmet] == (["X"] if asked and value is None else [])


@pytest.mark.parametrize(
    ("first", "second", "node", "expected"),
    [
        (DECLARED, [], {"input_env_vars": FROM_A}, ("svc", None)),
        (DECLARED, DECLARED, {"input_env_vars": FROM_A}, ("svc", "svc")),
        ([], [], {"input_env_vars": FROM_A}, ("svc", "svc")),
        (DECLARED, [], {"env_vars": OF_NODE}, ("node", "node")),
        (DEFAULTED, [], {}, ("template", None)),
    ],
)
def test_environment_reaches_the_right_containers(
    make_node: MakeNode,
    first: list[dict[str, Any]],
    second: list[dict[str, Any]],
    node: dict[str, Any],
    expected: tuple[str | None, str | None],
) -> None:
    containers = [{"name": "one", "input_env_vars": first}, {"name": "two", "input_env_vars": second}]

    found = resolved([make_node("a"), make_node("n", containers=containers, **node)], services={"a": "svc"})

    assert (dict(found.env["one"]).get("X"), dict(found.env["two"]).get("X")) == expected


def test_declared_variables_come_before_the_fixed_ones_that_may_refer_to_them(make_node: MakeNode) -> None:
    container = {"name": "main", "input_env_vars": DECLARED, "env_vars": [{"name": "URL", "value": "http://$(X)/"}]}

    found = resolved([make_node("n", containers=[container], env_vars=OF_NODE)], edges="")

    assert found.env["main"] == (("X", "node"), ("URL", "http://$(X)/"))


CLAIM = [{"pvc_name": "fixed", "mount_path": "/m"}]
OF_NODE_MOUNT = [{"pvc_name": "own", "mount_path": "/m"}]
MOUNT_FROM_A = [{"mount_path": "/m", "source_node_id": "a", "source_pvc_name": "named"}]
WANTS_MOUNT = [{"mount_path": "/m", "read_only": True}]
WANTS_WRITABLE = [{"mount_path": "/m", "read_only": False, "sub_path": "declared"}]


@pytest.mark.parametrize(
    ("container", "node", "mounts"),
    [
        ({"volume_mounts": CLAIM}, {}, [ClaimMount("fixed", "/m", None, False)]),
        ({"volume_mounts": CLAIM}, {"input_volume_mounts": MOUNT_FROM_A}, [ClaimMount("named", "/m", None, True)]),
        ({"volume_mounts": CLAIM}, {"volume_mounts": OF_NODE_MOUNT}, [ClaimMount("own", "/m", None, False)]),
        (
            {"input_volume_mounts": WANTS_MOUNT},
            {"input_volume_mounts": MOUNT_FROM_A, "volume_mounts": OF_NODE_MOUNT},
            [ClaimMount("own", "/m", None, True)],  # read_only left out: the declared value
        ),
        (
            {"input_volume_mounts": [{"mount_path": "/m"}]},
            {"volume_mounts": OF_NODE_MOUNT},
            [ClaimMount("own", "/m", None, True)],  # a declared mount is read-only unless it says otherwise
        ),
        (
            {"input_volume_mounts": WANTS_MOUNT},
            {"volume_mounts": [{**OF_NODE_MOUNT[0], "read_only": False, "sub_path": "s"}]},
            [ClaimMount("own", "/m", "s", False)],
        ),
        (
            {"input_volume_mounts": WANTS_WRITABLE},
            {"input_volume_mounts": MOUNT_FROM_A},
            [ClaimMount("named", "/m", "declared", False)],
        ),
        (
            {"input_volume_mounts": WANTS_WRITABLE},
            {"input_volume_mounts": [{**MOUNT_FROM_A[0], "read_only": True, "sub_path": "s"}]},
            [ClaimMount("named", "/m", "s", True)],
        ),
        (
            {"input_volume_mounts": WANTS_WRITABLE},
            {"volume_mounts": [{**OF_NODE_MOUNT[0], "sub_path": ""}]},
            [ClaimMount("own", "/m", "declared", False)],
        ),
        ({"volume_mounts": CLAIM, "input_volume_mounts": WANTS_MOUNT}, {}, [ClaimMount("fixed", "/m", None, False)]),
    ],
)
def test_later_row_of_the_mounts_wins_and_no_path_is_there_twice(
    make_node: MakeNode, container: dict[str, Any], node: dict[str, Any], mounts: list[ClaimMount]
) -> None:
    view = make_node("n", containers=[{"name": "main", **container}], **node)

    found = resolved([make_node("a"), view])

    assert list(found.mounts["main"]) == mounts
    assert found.unmet == []


@pytest.mark.parametrize(
    ("first", "second", "field", "entries", "reached"),
    [
        (WANTS_MOUNT, [], "volume_mounts", OF_NODE_MOUNT, ["one"]),
        ([], [], "volume_mounts", OF_NODE_MOUNT, ["one", "two"]),
        (WANTS_MOUNT, WANTS_MOUNT, "input_volume_mounts", MOUNT_FROM_A, ["one", "two"]),
        ([], WANTS_MOUNT, "input_volume_mounts", MOUNT_FROM_A, ["two"]),
        ([], [], "input_volume_mounts", MOUNT_FROM_A, ["one", "two"]),
    ],
)
def test_mount_reaches_the_right_containers(
    make_node: MakeNode,
    first: list[dict[str, Any]],
    second: list[dict[str, Any]],
    field: str,
    entries: list[dict[str, Any]],
    reached: list[str],
) -> None:
    containers = [{"name": "one", "input_volume_mounts": first}, {"name": "two", "input_volume_mounts": second}]

    found = resolved([make_node("a"), make_node("n", containers=containers, **{field: entries})])

    assert [name for name, mounts in found.mounts.items() if mounts] == reached


FROM_DETECTION = [{"mount_path": "/m", "source_node_id": "a", "source_pvc_name": None}]


@pytest.mark.parametrize(
    ("entry", "shared_pvc", "source_claims", "claim"),
    [
        (MOUNT_FROM_A, "shared", ["only"], "named"),
        (FROM_DETECTION, "shared", ["only"], "shared"),
        (FROM_DETECTION, None, ["only"], "only"),
        (FROM_DETECTION, "", ["only", "only"], "only"),  # one claim at two paths is one claim
        (FROM_DETECTION, None, ["one", "two"], None),
        (FROM_DETECTION, None, [], None),
    ],
)
def test_claim_of_a_source_is_the_first_that_exists(
    make_node: MakeNode,
    entry: list[dict[str, Any]],
    shared_pvc: str | None,
    source_claims: list[str],
    claim: str | None,
) -> None:
    mounts = [{"pvc_name": name, "mount_path": f"/{number}"} for number, name in enumerate(source_claims)]
    node = make_node("n", containers=[{"name": "main", "input_volume_mounts": WANTS_MOUNT}], input_volume_mounts=entry)

    found = resolved([make_node("a", volume_mounts=mounts), node], shared_pvc=shared_pvc)

    assert found.claims == ({"/m": claim} if claim else {})
    assert [mount.pvc_name for mount in found.mounts["main"]] == ([claim] if claim else [])
    assert [item["message"] for item in found.unmet] == (
        []
        if claim
        else [
            "nothing is mounted at /m: its source node a does not mount exactly one claim: "
            "choose one in source_pvc_name"
        ]
    )


def test_claim_is_followed_through_a_source_that_took_it_from_its_own_source(make_node: MakeNode) -> None:
    wants = [{"name": "main", "input_volume_mounts": [{"mount_path": "/m"}]}]
    first = make_node("a", volume_mounts=[{"pvc_name": "origin", "mount_path": "/out"}])
    middle = make_node("b", containers=wants, input_volume_mounts=[{"mount_path": "/m", "source_node_id": "a"}])
    last = make_node("n", containers=wants, input_volume_mounts=[{"mount_path": "/m", "source_node_id": "b"}])

    assert resolved([first, middle, last], edges="ab bn").claims == {"/m": "origin"}


@pytest.mark.parametrize(("edges", "met"), [("an", True), ("ab bn", True), ("bn", False), ("na", False), ("", False)])
def test_source_counts_only_when_edges_lead_from_it(make_node: MakeNode, edges: str, met: bool) -> None:
    node = make_node(
        "n",
        containers=[{"name": "main", "input_env_vars": DECLARED, "input_volume_mounts": WANTS_MOUNT}],
        input_env_vars=FROM_A_OR,
        input_volume_mounts=MOUNT_FROM_A,
    )

    found = resolved([make_node("a"), make_node("b"), node], edges=edges, services={"a": "svc"})

    assert (found.values, found.claims) == (({"X": "svc"}, {"/m": "named"}) if met else ({}, {}))
    why = "no path of edges leads from its source node a to this node"
    assert [(item["type"], item["message"]) for item in found.unmet] == (
        []
        if met
        else [("env_var", f"variable X has no value: {why}"), ("volume_mount", f"nothing is mounted at /m: {why}")]
    )


@pytest.mark.parametrize("source", ["n", "gone"])
def test_node_itself_or_a_deleted_node_is_no_source(make_node: MakeNode, source: str) -> None:
    node = make_node(
        "n",
        containers=[{"name": "main", "input_env_vars": DECLARED}],
        input_env_vars=[{"name": "X", "source_node_id": source}],
    )

    found = resolved([node], edges="", services={"n": "svc"})

    assert [item["name"] for item in found.unmet] == ["X"]


def test_entry_that_no_container_declares_is_missing_in_every_container(make_node: MakeNode) -> None:
    containers = [{"name": "one"}, {"name": "two", "env_vars": FIXED}]
    node = make_node("n", containers=containers, input_env_vars=FROM_A)

    found = resolved([make_node("a"), node])

    assert [(item["container"], item["name"]) for item in found.unmet] == [("one", "X")]
    assert found.unmet[0]["message"] == (
        "variable X has no value: its source node a has no Service, and there is no default value"
    )


@pytest.mark.parametrize(
    ("containers", "service", "values"),
    [
        ([DECLARED], "svc", {"X": "svc"}),
        ([DECLARED], None, {}),
        ([DECLARED, DEFAULTED, [{"name": "X", "default_value": "later"}]], None, {"X": "template"}),
    ],
)
def test_values_tell_what_an_entry_came_to(
    make_node: MakeNode, containers: list[list[dict[str, Any]]], service: str | None, values: dict[str, str]
) -> None:
    stored = [{"name": f"c{number}", "input_env_vars": inputs} for number, inputs in enumerate(containers)]

    found = resolved(
        [make_node("a"), make_node("n", containers=stored, input_env_vars=FROM_A)], services={"a": service}
    )

    assert found.values == values


@pytest.mark.parametrize(("ids", "named"), [("n", False), ("na", True)])
def test_whole_instance_names_the_node_only_among_several(make_node: MakeNode, ids: str, named: bool) -> None:
    nodes = {id: make_node(id, containers=[{"name": "main", "input_env_vars": DECLARED}]) for id in ids}

    found = resolve_all(nodes=nodes, graph=build_graph(nodes, []), edges=[], service_names={})

    assert list(found) == list(ids)
    assert [item.get("node") for item in found["n"].unmet] == ["node n" if named else None]


def test_long_chain_of_claims_needs_no_recursion(make_node: MakeNode) -> None:
    ids = [f"n{number}" for number in range(LONG)]
    pairs = list(pairwise(ids))
    nodes = {"n0": make_node("n0", volume_mounts=[{"pvc_name": "origin", "mount_path": "/m"}])}
    for source, target in pairs:
        entry = {"mount_path": "/m", "source_node_id": source}
        nodes[target] = make_node(target, input_volume_mounts=[entry])
    edges = [{"edge_id": b, "source": a, "target": b, "shared_pvc": None} for a, b in pairs]

    found = resolve(nodes[ids[-1]], nodes=nodes, graph=build_graph(ids, pairs), edges=edges, service_names={})

    assert found.claims == {"/m": "origin"}


def test_write_check_finds_nothing_that_preflight_would_let_pass(make_node: MakeNode) -> None:
    node = make_node(
        "n",
        containers=[
            {"name": "main", "input_env_vars": DECLARED, "input_volume_mounts": WANTS_MOUNT},
            {"name": "side", "input_env_vars": DEFAULTED},
        ],
    )

    assert unmet_inputs(node) == resolved([node], edges="").unmet
