"""How the parts of a workflow file name each other, checked on the file as it is written. Pure.

The value may be anything: what has the wrong form is passed over here, because the form is checked elsewhere.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from workflows.domain.errors import CycleFound
from workflows.domain.findings import Finding, Path, Severity
from workflows.domain.graph import build_graph
from workflows.domain.hints import Hints

_SOURCE_LISTS: Final = ("input_env_vars", "input_volume_mounts")


def wrong_references(file: Any, hints: Hints) -> list[Finding]:
    """Everything that names nothing, itself, or two things at once; cycles too."""
    spec = _object(_object(file).get("spec"))
    nodes = [_object(node) for node in _list(spec.get("nodes"))]
    templates = spec.get("templates")
    names = Names(nodes, hints)
    return [
        _error(("spec", *path), message, node)
        for path, message, node in (
            *names.problems,
            *_wrong_templates(nodes, _object(templates), hints),
            *_wrong_sources(nodes, names),
            *_wrong_edges([_object(edge) for edge in _list(spec.get("edges"))], names),
        )
    ]


Problem = tuple[Path, str, str | None]


class Names:
    """What the nodes of a file are called in edges and sources: by `ref`, else by a name that only one has."""

    def __init__(self, nodes: list[Mapping[str, Any]], hints: Hints) -> None:
        self._hints = hints
        self.problems: list[Problem] = []
        self.place: dict[str, int] = {}
        named = Counter(name for name in map(_name, nodes) if name)
        for place, node in enumerate(nodes):
            name, ref = _name(node), _text(node.get("ref"))
            if ref:
                if ref in self.place:
                    self.problems.append((("nodes", place, "ref"), f"{ref} names another node already", ref))
                self.place.setdefault(ref, place)
            elif name and named[name] > 1:
                message = f"{named[name]} nodes are called {name}; give each another name, or a ref"
                self.problems.append((("nodes", place, "name"), message, name))
        refs = set(self.place)
        for place, node in enumerate(nodes):
            name = _name(node)
            if name and named[name] == 1 and name not in refs:
                self.place[name] = place

    def at(self, text: Any) -> int | None:
        """The place of the node that the text names, if it names one."""
        word = _text(text)
        return self.place.get(word) if word else None

    def problem(self, text: Any) -> str | None:
        """Why the text names no node; None when it does, or is no text."""
        word = _text(text)
        if not word or word in self.place:
            return None
        return f"no node is called {word}{self._hints.did_you_mean(word, self.place)}"


def _wrong_templates(nodes: list[Mapping[str, Any]], templates: Mapping[str, Any], hints: Hints) -> Iterator[Problem]:
    for place, node in enumerate(nodes):
        handle = _text(node.get("template"))
        if not handle:
            continue
        path: Path = ("nodes", place, "template")
        if handle not in templates:
            hint = hints.did_you_mean(handle, templates) or "; add it there, or give the template_id of an existing one"
            yield path, f"spec.templates has no {handle}{hint}", _name(node)
            continue
        kind = _object(templates[handle]).get("kind")
        if node.get("node_type") not in (None, "", kind):
            yield ("nodes", place, "node_type"), f"is {kind}, because the template {handle} is", _name(node)


def _wrong_sources(nodes: list[Mapping[str, Any]], names: Names) -> Iterator[Problem]:
    for place, node in enumerate(nodes):
        for key in _SOURCE_LISTS:
            for index, entry in enumerate(_list(node.get(key))):
                source = _object(entry).get("source_node")
                path: Path = ("nodes", place, key, index, "source_node")
                problem = names.problem(source)
                if problem:
                    yield path, problem, _name(node)
                elif names.at(source) == place:
                    yield path, "a node cannot be its own source", _name(node)


def _wrong_edges(edges: list[Mapping[str, Any]], names: Names) -> Iterator[Problem]:
    pairs: dict[tuple[int, int], int] = {}
    label = {place: text for text, place in names.place.items()}
    for number, edge in enumerate(edges):
        problems = {end: names.problem(edge.get(end)) for end in ("from", "to")}
        for end, problem in problems.items():
            if problem:
                yield ("edges", number, end), problem, None
        source, target = names.at(edge.get("from")), names.at(edge.get("to"))
        if source is None or target is None:
            continue
        pair = (source, target)
        if pair[0] == pair[1]:
            yield ("edges", number, "to"), f"an edge cannot lead from {edge['from']} to itself", None
        elif pair in pairs:
            yield ("edges", number), f"repeats the edge {pairs[pair]} from {edge['from']} to {edge['to']}", None
        else:
            pairs[pair] = number
    try:
        build_graph((label[place] for place in label), ((label[source], label[target]) for source, target in pairs))
    except CycleFound as err:
        yield ("edges",), err.message, None


def _name(node: Mapping[str, Any]) -> str | None:
    return _text(node.get("name"))


def _text(value: Any) -> str | None:
    """The text in the form in which it is kept."""
    return unicodedata.normalize("NFC", value).strip() or None if isinstance(value, str) else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _error(path: Path, message: str, node: str | None) -> Finding:
    return Finding(Severity.ERROR, path, message, node=node)
