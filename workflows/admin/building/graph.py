"""The graph as it is stored, on the pages on which it is built: each node leads to its form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from django.utils import timezone
from django.utils.safestring import SafeString

from workflows.admin.building.addresses import page_url
from workflows.admin.building.neighbours import Neighbours
from workflows.admin.picture import PictureEdge, PictureNode, graph_svg
from workflows.models import WorkflowInstance

MOST: Final = 500  # nodes in one picture


def built_graph(instance: WorkflowInstance, neighbours: Neighbours, *, marked: str = "") -> SafeString | str:
    """The picture, with one node marked; of a very large graph the nodes nearest to it. Empty without nodes. No query."""
    if not neighbours.names:
        return ""
    drawn = set(nearest(neighbours.names, instance.edges, marked, MOST))
    nodes = [
        PictureNode(
            id=pk,
            name=name,
            kind=neighbours.kinds[pk],
            status=neighbours.statuses[pk],
            url=page_url("edit_node", instance.pk, pk),
            is_marked=pk == marked,
        )
        for pk, name in neighbours.names.items()
        if pk in drawn
    ]
    edges = [
        PictureEdge(edge["source"], edge["target"], edge.get("shared_pvc"))
        for edge in instance.edges
        if edge["source"] in drawn and edge["target"] in drawn
    ]
    return graph_svg(nodes, edges, title=instance.name, now=timezone.now())


def nearest(nodes: Iterable[str], edges: Sequence[Mapping[str, Any]], start: str, most: int) -> list[str]:
    """So many nodes by their distance from `start`, whichever way the edges go; then the others in their order."""
    known = dict.fromkeys(nodes)
    beside: dict[str, list[str]] = {}
    for edge in edges:
        if edge["source"] in known and edge["target"] in known:
            beside.setdefault(edge["source"], []).append(edge["target"])
            beside.setdefault(edge["target"], []).append(edge["source"])
    found = dict.fromkeys([start] if start in known else [])
    front = list(found)
    while front and len(found) < most:
        front = list(dict.fromkeys(pk for seen in front for pk in beside.get(seen, ()) if pk not in found))
        found |= dict.fromkeys(front)
    return list(islice(found | known, most))
