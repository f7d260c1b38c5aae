"""How the nodes of a create request name each other before they have ids (contract F.3). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from workflows.domain.edges import Edge
from workflows.domain.errors import Invalid

_ENDS: Final = ("source", "target")
_SOURCE_LISTS: Final = ("input_env_vars", "input_volume_mounts")


class Handles:
    """One handle per node of a request, in order, all different: its `ref`, else its name, else `nodes.<place>`.

    A text of the request means the node with that `ref`, else the node with that name when only one has it.
    """

    def __init__(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """`nodes` have a `name` and perhaps a `ref`; refs are all different."""
        names = Counter(node["name"] for node in nodes)
        refs = {node["ref"] for node in nodes if node.get("ref")}
        self.all: tuple[str, ...] = ()
        self._named: dict[str, str] = {}
        for place, node in enumerate(nodes):
            name, ref = node["name"], node.get("ref")
            is_own_name = names[name] == 1 and name not in refs
            handle = ref or (name if is_own_name else self._numbered(place, names, refs))
            self.all += (handle,)
            if is_own_name:
                self._named[name] = handle
            if ref:
                self._named[ref] = handle

    def resolved_edges(self, edges: Sequence[Edge]) -> list[Edge]:
        """The edges with handles as ends. Raises Invalid that names every end which means no node."""
        fields: list[dict[str, str]] = []
        made = []
        for place, edge in enumerate(edges):
            ends = {end: self._meant(edge[end], f"edges.{place}.{end}", fields) for end in _ENDS}
            made.append(edge | ends)
        _refuse(fields)
        return made

    def resolved_sources(self, nodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The nodes with handles as `source_node_id` of their inputs. Raises Invalid like `resolved_edges`."""
        fields: list[dict[str, str]] = []
        made = []
        for place, node in enumerate(nodes):
            lists: dict[str, list[dict[str, Any]]] = {}
            for key in _SOURCE_LISTS:
                lists[key] = []
                for index, entry in enumerate(node.get(key) or ()):
                    path = f"nodes.{place}.{key}.{index}.source_node_id"
                    source = self._meant(entry["source_node_id"], path, fields)
                    if source == self.all[place]:
                        fields.append({"field": path, "message": "a node cannot be its own source"})
                    lists[key].append(entry | {"source_node_id": source})
            made.append({**node, **lists})
        _refuse(fields)
        return made

    def _meant(self, text: str, path: str, fields: list[dict[str, str]]) -> str:
        handle = self._named.get(text)
        if handle is None:
            message = f"{text} is neither the ref of a node of this request nor a name that exactly one of them has"
            fields.append({"field": path, "message": message})
        return handle or text

    @staticmethod
    def _numbered(place: int, names: Mapping[str, int], refs: set[str]) -> str:
        handle = f"nodes.{place}"
        while handle in names or handle in refs:
            handle += "'"
        return handle


def _refuse(fields: list[dict[str, str]]) -> None:
    if fields:
        raise Invalid("; ".join(f"{item['field']}: {item['message']}" for item in fields[:3]), {"fields": fields})
