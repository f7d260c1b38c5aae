"""What can be said about a workflow file without a server: its form, its names, its edges. Not whether templates named by id are
there, what the caller may do, or whether inputs are met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from secflow.cli.documents import Document

Json = dict[str, Any]
API_VERSION, KIND = "secflow.io/v1", "Workflow"
_TOP = {"apiVersion", "kind", "metadata", "spec"}
_METADATA = {"name", "project", "id"}
_SPEC = {"description", "run_mode", "trigger_type", "trigger_enabled", "templates", "nodes", "edges"}
_REFERENCE = {"kind", "name", "scope", "id"}  # a template with nothing else is one that exists already


@dataclass
class _Findings:
    """Findings in the shape of the server's."""

    items: list[Json] = field(default_factory=list)

    def error(self, path: str, message: str) -> None:
        self.items.append({"severity": "error", "path": path, "message": message})

    def unknown(self, path: str, found: Mapping[Any, Any], known: set[str]) -> None:
        """What the server would pass over in silence is most often a slip of the pen."""
        for key in found:
            if key not in known:
                place = f"{path}.{key}" if path else str(key)
                words = f"is not known here and has no effect; known are {', '.join(sorted(known))}"
                self.items.append({"severity": "warning", "path": place, "message": words})


def check_offline(document: Document) -> list[Json]:
    """The findings; empty when the form is right."""
    found = _Findings()
    content = document.content
    if not isinstance(content, dict):
        found.error("", "a workflow is a mapping with apiVersion, kind, metadata and spec")
        return found.items
    found.unknown("", content, _TOP)
    for key, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if content.get(key) != wanted:
            found.error(key, f"must be {wanted}")
    _metadata(found, content.get("metadata"))
    spec = content.get("spec")
    if isinstance(spec, dict):
        _spec(found, spec)
    else:
        found.error("spec", "must be a mapping with nodes and edges")
    return found.items


def _metadata(found: _Findings, metadata: Any) -> None:
    if not isinstance(metadata, dict):
        found.error("metadata", "must be a mapping with name and project")
        return
    found.unknown("metadata", metadata, _METADATA)
    name = metadata.get("name")
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= 128:
        found.error("metadata.name", "must be a text of 1 to 128 characters")


def _spec(found: _Findings, spec: Json) -> None:
    found.unknown("spec", spec, _SPEC)
    templates = spec.get("templates") or {}
    if not isinstance(templates, dict):
        found.error("spec.templates", "must be a mapping from a handle to a template")
        templates = {}
    for handle, template in templates.items():
        _template(found, f"spec.templates.{handle}", template)
    handles = _nodes(found, spec.get("nodes") or [], templates)
    _edges(found, spec.get("edges") or [], handles)


def _template(found: _Findings, path: str, template: Any) -> None:
    if not isinstance(template, dict):
        found.error(path, "must be a mapping")
        return
    if template.get("kind") not in ("app", "job"):
        found.error(f"{path}.kind", "must be app or job")
    if set(template) <= _REFERENCE:
        return
    containers = template.get("containers")
    if not isinstance(containers, list) or not containers:
        found.error(f"{path}.containers", "must be a list with at least one container")
        return
    for number, container in enumerate(containers):
        for key in ("name", "image"):
            if not isinstance(container, dict) or not isinstance(container.get(key), str):
                found.error(f"{path}.containers[{number}].{key}", "must be a text")


def _nodes(found: _Findings, nodes: Any, templates: Mapping[Any, Any]) -> Counter[str]:
    """How often each word that edges and sources may use stands for a node."""
    handles: Counter[str] = Counter()
    if not isinstance(nodes, list):
        found.error("spec.nodes", "must be a list of nodes")
        return handles
    for number, node in enumerate(nodes):
        path = f"spec.nodes[{number}]"
        if not isinstance(node, dict):
            found.error(path, "must be a mapping")
            continue
        _node(found, path, node, templates)
        handles.update({word for word in (node.get("name"), node.get("ref")) if isinstance(word, str)})
    for number, node in enumerate(nodes):
        for key in ("input_env_vars", "input_volume_mounts"):
            entries = node.get(key) if isinstance(node, dict) else None
            for place, entry in enumerate(entries if isinstance(entries, list) else ()):
                source = entry.get("source_node") if isinstance(entry, dict) else None
                _known_node(found, f"spec.nodes[{number}].{key}[{place}].source_node", source, handles)
    return handles


def _node(found: _Findings, path: str, node: Json, templates: Mapping[Any, Any]) -> None:
    if not isinstance(node.get("name"), str) or not node["name"].strip():
        found.error(f"{path}.name", "must be a text")
    if bool(node.get("template")) == bool(node.get("template_id")):
        found.error(path, "must have either template, a handle of spec.templates, or template_id")
    elif node.get("template") and (not isinstance(node["template"], str) or node["template"] not in templates):
        found.error(f"{path}.template", f"{node['template']!r} is not among spec.templates")


def _edges(found: _Findings, edges: Any, handles: Counter[str]) -> None:
    if not isinstance(edges, list):
        found.error("spec.edges", "must be a list of edges")
        return
    after: dict[str, set[str]] = {}
    for number, edge in enumerate(edges):
        path = f"spec.edges[{number}]"
        if not isinstance(edge, dict):
            found.error(path, "must be a mapping with from and to")
            continue
        ends = (edge.get("from"), edge.get("to"))
        are_known = [
            _known_node(found, f"{path}.{key}", end, handles) for key, end in zip(("from", "to"), ends, strict=True)
        ]
        if not all(are_known):
            continue
        source, target = str(ends[0]), str(ends[1])
        if source == target:
            found.error(path, f"leads from {source!r} to itself")
        elif target in after.setdefault(source, set()):
            found.error(path, f"{source!r} and {target!r} are connected already")
        else:
            after[source].add(target)
    if circle := _circle(after):
        found.error("spec.edges", f"run in a circle: {' -> '.join(circle)}")


def _known_node(found: _Findings, path: str, name: Any, handles: Counter[str]) -> bool:
    if not isinstance(name, str) or not name:
        found.error(path, "must be the name of a node")
    elif handles[name] == 0:
        found.error(path, f"there is no node {name!r}")
    elif handles[name] > 1:
        found.error(path, f"{name!r} is the name of several nodes: give them a `ref` each")
    else:
        return True
    return False


def _circle(after: Mapping[str, set[str]]) -> list[str]:
    try:
        # It wants to know what comes before; a circle is one in both directions, and is told backwards.
        TopologicalSorter(after).prepare()
    except CycleError as err:
        return list(reversed(err.args[1]))
    return []
