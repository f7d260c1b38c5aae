"""Label and field selectors: one parse gives a predicate over stored objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from k8s_bridge.localcluster.errors import bad_request

Predicate = Callable[[dict[str, Any]], bool]

_KEY: Final = r"(?:[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_SET: Final = re.compile(rf"^(?P<key>{_KEY})\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUAL: Final = re.compile(rf"^(?P<key>{_KEY})\s*(?P<op>==|=|!=)\s*(?P<value>[-A-Za-z0-9_.]*)$")
_EXISTS: Final = re.compile(rf"^(?P<no>!?)\s*(?P<key>{_KEY})$")

# Fields that a real API server can select by, per kind; every kind has metadata.name and metadata.namespace.
_FIELDS: Final[dict[str, frozenset[str]]] = {
    "Pod": frozenset(
        {"status.phase", "spec.nodeName", "spec.restartPolicy", "status.podIP", "spec.serviceAccountName"}
    ),
    "Event": frozenset(
        {f"involvedObject.{part}" for part in ("name", "namespace", "kind", "uid", "apiVersion", "fieldPath")}
        | {"involvedObject.resourceVersion", "reason", "type", "source", "reportingComponent"}
    ),
    "Job": frozenset({"status.successful"}),
    "Namespace": frozenset({"status.phase"}),
    "Secret": frozenset({"type"}),
    "Node": frozenset({"spec.unschedulable"}),
    "Service": frozenset({"spec.clusterIP", "spec.type"}),
}
# Operators of a matchExpressions rule, as conditions.
OPERATORS: Final = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
_EVERY_KIND: Final = frozenset({"metadata.name", "metadata.namespace"})
# A selector on these shows a value also where the object has left the field out.
_ABSENT: Final[dict[str, str]] = {"spec.unschedulable": "false", "status.successful": "0"}
_RENAMED: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("Event", "source"): ("source", "component"),
    ("Job", "status.successful"): ("status", "succeeded"),
}


@dataclass(frozen=True)
class Requirement:
    """One label condition; `op` is one of `in`, `notin`, `exists`, `absent`."""

    key: str
    op: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: dict[str, str]) -> bool:
        present = self.key in labels
        if self.op == "exists":
            return present
        if self.op == "absent":
            return not present
        if self.op == "in":
            return present and labels[self.key] in self.values
        return not present or labels[self.key] not in self.values


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Parse `a=b,c!=d,e in (f,g),h,!i`; a malformed text is a 400 that quotes it."""
    return tuple(_requirement(part, text) for part in _split(text))


def _split(text: str) -> Iterator[str]:
    part, depth = "", 0
    for char in text:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and not depth:
            yield part.strip()
            part = ""
        else:
            part += char
    if part.strip() or part != text:
        yield part.strip()


def _requirement(part: str, text: str) -> Requirement:
    if found := _SET.match(part):
        values = frozenset(value.strip() for value in found["values"].split(","))
        return Requirement(found["key"], found["op"], values)
    if found := _EQUAL.match(part):
        return Requirement(found["key"], "notin" if found["op"] == "!=" else "in", frozenset({found["value"]}))
    if found := _EXISTS.match(part):
        return Requirement(found["key"], "absent" if found["no"] else "exists")
    raise bad_request(f"unable to parse requirement {part!r} of the label selector {text!r}")


def label_predicate(text: str) -> Predicate | None:
    """A predicate for a label selector; None when it selects everything."""
    requirements = parse_labels(text)
    if not requirements:
        return None

    def matches(obj: dict[str, Any]) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(requirement.holds(labels) for requirement in requirements)

    return matches


def matches_label_selector(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    """Whether `labels` satisfy a LabelSelector object (`matchLabels`, `matchExpressions`). None matches nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(
        Requirement(rule["key"], OPERATORS[rule["operator"]], frozenset(rule.get("values") or ())).holds(labels)
        for rule in selector.get("matchExpressions") or ()
    )


def field_predicate(kind: str, text: str) -> Predicate | None:
    """A predicate for a field selector (`a=b,c!=d`); a field that cannot be selected by is a 400."""
    rules: list[tuple[str, tuple[str, ...], bool, str]] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        found = re.match(r"^([A-Za-z.]+)\s*(==|=|!=)\s*(.*)$", part)
        if not found:
            raise bad_request(f"invalid field selector {text!r}: can't understand {part!r}")
        name, operator, value = found.groups()
        if name not in _EVERY_KIND and name not in _FIELDS.get(kind, frozenset()):
            raise bad_request(f'field label not supported for {kind}: "{name}"')
        rules.append((name, _RENAMED.get((kind, name), tuple(name.split("."))), operator == "!=", value))
    if not rules:
        return None

    def matches(obj: dict[str, Any]) -> bool:
        return all((_value(obj, name, path) == value) is not negated for name, path, negated, value in rules)

    return matches


def _value(obj: dict[str, Any], name: str, path: tuple[str, ...]) -> str:
    found: Any = obj
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    if found is None:
        return _ABSENT.get(name, "")
    return str(found).lower() if isinstance(found, bool) else str(found)


def predicate(kind: str, labels: str | None, fields: str | None) -> Predicate | None:
    """Both selectors as one predicate; None when everything is selected."""
    tests = [test for test in (label_predicate(labels or ""), field_predicate(kind, fields or "")) if test]
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda obj: all(test(obj) for test in tests)
