"""The edge list of one instance and every change of it (contract C.9, F). Pure.

An edge has the stored form `edge_id`, `source`, `target`, `shared_pvc`. A change gives a new list and leaves the old
one alone. What an edge means (400) is checked before what it collides with (409), see contract A.3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from workflows.domain.errors import Conflict, Invalid, NotFound
from workflows.domain.graph import build_graph

Edge = dict[str, Any]

CHANGEABLE: Final = ("source", "target", "shared_pvc")


def check_meaning(node_ids: Collection[str], edges: Sequence[Edge], *, prefix: str = "edges.") -> None:
    """Raises Invalid, naming every edge with an unknown end or a self loop, or CycleFound (contract F.2).

    `prefix` leads to the list in the request.
    """
    known = frozenset(node_ids)
    fields = [
        {"field": f"{prefix}{place}.{end}", "message": message}
        for place, edge in enumerate(edges)
        for end, message in _wrong_ends(edge, known)
    ]
    if fields:
        raise Invalid("; ".join(f"{item['field']}: {item['message']}" for item in fields[:3]), {"fields": fields})
    build_graph(known, ((edge["source"], edge["target"]) for edge in edges))


def check_unique(edges: Sequence[Edge]) -> None:
    """Raises Conflict for an `edge_id` or a pair of nodes that comes twice (contract F.2)."""
    ids: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    for edge in edges:
        pair = (edge["source"], edge["target"])
        if edge["edge_id"] in ids:
            raise _id_taken(edge)
        if pair in pairs:
            raise _pair_taken(edge)
        ids.add(edge["edge_id"])
        pairs.add(pair)


def edges_with(node_ids: Collection[str], edges: Sequence[Edge], edge: Edge) -> list[Edge]:
    """The edges and a new one at the end (contract F.2, `add`). Raises Invalid, CycleFound or Conflict."""
    return _with_checked([*edges, edge], edge, node_ids)


def edges_changed(
    node_ids: Collection[str], edges: Sequence[Edge], edge_id: str, changes: Mapping[str, Any]
) -> list[Edge]:
    """The edges, one of them with the given `source`, `target` or `shared_pvc` (contract F.2, `update`).

    Raises NotFound for an unknown `edge_id`, then as `edges_with`.
    """
    found = next((edge for edge in edges if edge["edge_id"] == edge_id), None)
    if found is None:
        raise NotFound("edge", edge_id)
    changed = found | {key: changes[key] for key in CHANGEABLE if key in changes}
    return _with_checked([changed if edge is found else edge for edge in edges], changed, node_ids)


def edges_without(edges: Sequence[Edge], edge_id: str) -> list[Edge]:
    """The edges without that one; the same edges when there is none of that id (contract F.2, `delete`)."""
    return [edge for edge in edges if edge["edge_id"] != edge_id]


def edges_off(edges: Sequence[Edge], node_id: str) -> list[Edge]:
    """The edges that do not touch the node (contract D.5, delete)."""
    return [edge for edge in edges if node_id not in (edge["source"], edge["target"])]


def relations(edges: Sequence[Edge]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """`depends_on` and `downstream_node_ids` by node id, in the order of the edges (contract F.1).

    A node without such an edge has no key.
    """
    upstream: dict[str, list[str]] = {}
    downstream: dict[str, list[str]] = {}
    for edge in edges:
        upstream.setdefault(edge["target"], []).append(edge["source"])
        downstream.setdefault(edge["source"], []).append(edge["target"])
    return upstream, downstream


def _with_checked(edges: list[Edge], edge: Edge, node_ids: Collection[str]) -> list[Edge]:
    """`edges`, in which `edge` alone is new."""
    for end, message in _wrong_ends(edge, node_ids):
        raise Invalid.field(end, message)
    build_graph(node_ids, ((each["source"], each["target"]) for each in edges))
    for other in edges:
        if other is edge:
            continue
        if other["edge_id"] == edge["edge_id"]:
            raise _id_taken(edge)
        if (other["source"], other["target"]) == (edge["source"], edge["target"]):
            raise _pair_taken(edge)
    return edges


def _wrong_ends(edge: Edge, node_ids: Collection[str]) -> list[tuple[str, str]]:
    wrong = [
        (end, f"{edge[end]} is not a node of this instance")
        for end in ("source", "target")
        if edge[end] not in node_ids
    ]
    if not wrong and edge["source"] == edge["target"]:
        wrong.append(("target", f"an edge cannot lead from {edge['source']} to itself"))
    return wrong


def _id_taken(edge: Edge) -> Conflict:
    return Conflict(
        f"the edge id {edge['edge_id']} is used twice in this instance; give each edge an id of its own",
        {"edge_id": edge["edge_id"]},
    )


def _pair_taken(edge: Edge) -> Conflict:
    return Conflict(
        f"an edge from {edge['source']} to {edge['target']} exists already; change or delete that one instead",
        {"edge_id": edge["edge_id"], "source": edge["source"], "target": edge["target"]},
    )
