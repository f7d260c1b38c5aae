"""Parts that hold other parts: objects, lists of them, and the few objects with a shape of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from secflow.console.bodies.parts import (
    MISSING,
    Choice,
    Context,
    Node,
    Option,
    Part,
    Problems,
    Text,
    Tree,
    inner,
    text_of,
)


def _branches(tree: Tree) -> Mapping[str, Tree]:
    return tree if isinstance(tree, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Fold:
    """Some parts of a group under one heading; `is_open` ones are always shown, others open where they are filled."""

    title: str
    names: Sequence[str]
    help: str = ""
    is_open: bool = False


@dataclass(frozen=True, kw_only=True)
class Group(Part):
    """A JSON object with these fields."""

    fields: Sequence[Part] = ()
    folds: Sequence[Fold] = ()
    default: Any = field(default_factory=dict)
    template: ClassVar[str] = "group"

    def texts(self, value: Any) -> Tree:
        stored = value or {}
        return {part.name: part.texts(stored.get(part.name, part.default)) for part in self.fields}

    def canonical(self, tree: Tree) -> Any:
        branches = _branches(tree)
        return {part.name: part.canonical(branches.get(part.name)) for part in self.fields}

    def parse(self, tree: Tree, kept: Any, name: str, problems: Problems) -> Any:
        branches, stored = _branches(tree), kept if isinstance(kept, Mapping) else {}
        return {
            part.name: part.read(
                branches.get(part.name), stored.get(part.name, MISSING), inner(name, part.name), problems
            )
            for part in self.fields
        }

    def place(self, path: Sequence[str], tree: Tree, name: str) -> str:
        part = next((part for part in self.fields if path and part.name == path[0]), None)
        if part is None:
            return name
        return part.place(path[1:], _branches(tree).get(part.name), inner(name, part.name))

    def node(self, tree: Tree, name: str, context: Context, *, depth: int = 0) -> Node:
        made = super().node(tree, name, context)
        branches = _branches(tree)
        made.children = [
            part.node(branches.get(part.name), inner(name, part.name), context, depth=depth) for part in self.fields
        ]
        return made

    def sections(self, node: Node) -> list[tuple[Fold, list[Node], bool]]:
        """The folds with their nodes, and whether each is open."""
        made = []
        for fold in self.folds or (Fold("", [part.name for part in self.fields], is_open=True),):
            nodes = [node.get(name) for name in fold.names]
            made.append((fold, nodes, fold.is_open or any(each.has_errors or each.is_filled for each in nodes)))
        return made


@dataclass(frozen=True, kw_only=True)
class OptionalGroup(Group):
    """An object or null: null where the first field, a choice, is left empty."""

    default: Any = None

    def canonical(self, tree: Tree) -> Any:
        return super().canonical(tree) if text_of(_branches(tree).get(self.fields[0].name)) else None

    def parse(self, tree: Tree, kept: Any, name: str, problems: Problems) -> Any:
        return None if self.canonical(tree) is None else super().parse(tree, kept, name, problems)


@dataclass(frozen=True, kw_only=True)
class Rows(Part):
    """A JSON array of objects. Rows have keys, which stay when other rows come and go: a stored one its index, a new
    one `n<number>`, and a proposed one, which counts only once something is typed into it, `p<number>`. New rows count
    from the first letter on, cards always.
    """

    item: Group
    noun: str = "row"
    is_cards: bool = False
    spare: int = 1
    proposals: Sequence[Mapping[str, Any]] = ()
    default: Any = field(default_factory=list)
    template: ClassVar[str] = "rows"

    def texts(self, value: Any) -> Tree:
        return {str(place): self.item.texts(item) for place, item in enumerate(value or ())}

    def kept_rows(self, tree: Tree) -> list[tuple[str, Tree]]:
        """The rows that count, in their order; empty new ones do not."""
        return [(key, row) for key, row in _branches(tree).items() if not self._is_spare(key, row)]

    def _is_spare(self, key: str, row: Tree) -> bool:
        if self.is_cards:
            return False
        if key.startswith("n"):
            return bool(self.item.canonical(row) == self.item.canonical(self.item.texts(None)))
        if key.startswith("p") and key[1:].isdecimal() and int(key[1:]) < len(self.proposals):
            proposed = self.item.texts(self.proposals[int(key[1:])])
            return bool(self.item.canonical(row) == self.item.canonical(proposed))
        return False

    def canonical(self, tree: Tree) -> Any:
        return [self.item.canonical(row) for _, row in self.kept_rows(tree)]

    def parse(self, tree: Tree, kept: Any, name: str, problems: Problems) -> Any:
        stored = kept if isinstance(kept, list) else []
        return [self.item.read(row, _at(stored, key), inner(name, key), problems) for key, row in self.kept_rows(tree)]

    def place(self, path: Sequence[str], tree: Tree, name: str) -> str:
        rows = self.kept_rows(tree)
        if not path or not path[0].isdecimal() or int(path[0]) >= len(rows):
            return name
        key, row = rows[int(path[0])]
        return self.item.place(path[1:], row, inner(name, key))

    def node(self, tree: Tree, name: str, context: Context, *, depth: int = 0) -> Node:
        made = super().node(tree, name, context)
        rows = dict(self.kept_rows(tree))
        for place, proposed in enumerate(self.proposals):
            rows.setdefault(f"p{place}", self.item.texts(proposed))
        if not context.is_disabled:
            rows |= self._spares(rows, context.more_rows.get(name, 0))
            # Its key is put in by the script; inside of rows that are copied themselves each level has its own.
            mark = f"__{depth}__"
            made.blank = self.item.node(self.item.texts(None), inner(name, mark), context, depth=depth + 1)
            made.blank.key = mark
        for number, (key, row) in enumerate(rows.items(), start=1):
            child = self.item.node(row, inner(name, key), context, depth=depth + 1)
            child.key, child.number = key, number
            made.children.append(child)
        return made

    def _spares(self, rows: Mapping[str, Tree], more: int) -> dict[str, Tree]:
        used = [int(key[1:]) for key in rows if key.startswith("n") and key[1:].isdecimal()]
        first = max(used, default=-1) + 1
        # Where something was proposed, that is what to fill in; a further row is one press away.
        usual = 0 if self.proposals else self.spare
        count = more or (usual if not self.is_cards or not rows else 0)
        return {f"n{first + place}": self.item.texts(None) for place in range(count)}


def _at(stored: list[Any], key: str) -> Any:
    return stored[int(key)] if key.isdecimal() and int(key) < len(stored) else MISSING


@dataclass(frozen=True, kw_only=True)
class InheritedRows(Part):
    """Rows or null: null means that somebody else's rows hold, such as those of the template."""

    rows: Rows
    inherit_label: str = "as the template says"
    own_label: str = "only these"
    template: ClassVar[str] = "inherited"

    def _mode(self) -> Choice:
        options = (Option("", None, self.inherit_label), Option("own", "own", self.own_label))
        return Choice(name="mode", label=self.label, help=self.help, options=options)

    def texts(self, value: Any) -> Tree:
        return {"mode": "" if value is None else "own", "rows": self.rows.texts(value)}

    def canonical(self, tree: Tree) -> Any:
        branches = _branches(tree)
        return self.rows.canonical(branches.get("rows")) if text_of(branches.get("mode")) == "own" else None

    def parse(self, tree: Tree, kept: Any, name: str, problems: Problems) -> Any:
        if self.canonical(tree) is None:
            return None
        return self.rows.parse(_branches(tree).get("rows"), kept, inner(name, "rows"), problems)

    def place(self, path: Sequence[str], tree: Tree, name: str) -> str:
        return self.rows.place(path, _branches(tree).get("rows"), inner(name, "rows"))

    def node(self, tree: Tree, name: str, context: Context, *, depth: int = 0) -> Node:
        made = super().node(tree, name, context)
        branches = _branches(tree)
        made.children = [
            self._mode().node(branches.get("mode"), inner(name, "mode"), context),
            self.rows.node(branches.get("rows"), inner(name, "rows"), context, depth=depth),
        ]
        return made


_USUAL = ("cpu", "memory")
_SIDES = ("requests", "limits")


@dataclass(frozen=True, kw_only=True)
class Resources(Part):
    """ResourceRequirements (contract C.4): the two usual resources have their own inputs, others are rows."""

    template: ClassVar[str] = "resources"

    def _side(self, side: str) -> Group:
        words = {"cpu": "CPU", "memory": "Memory"}
        what = {"requests": "request", "limits": "limit"}[side]
        example = {"cpu": "250m", "memory": "128Mi"}
        return Group(
            name=side,
            fields=[
                Text(name=key, label=f"{words[key]} {what}", empty="", placeholder=example[key], width="short")
                for key in _USUAL
            ],
        )

    def _more(self) -> Rows:
        return Rows(
            name="more",
            label="Other resources",
            noun="resource",
            spare=0,
            item=Group(
                name="",
                fields=(
                    Text(name="key", label="Resource", empty="", placeholder="example.com/gpu"),
                    Text(name="requests", label="Request", empty="", width="short"),
                    Text(name="limits", label="Limit", empty="", width="short"),
                ),
            ),
        )

    def texts(self, value: Any) -> Tree:
        stored = {side: (value or {}).get(side) or {} for side in _SIDES}
        others = dict.fromkeys(key for side in _SIDES for key in stored[side] if key not in _USUAL)
        rows = [{"key": key} | {side: stored[side].get(key, "") for side in _SIDES} for key in others]
        usual = {side: {key: stored[side].get(key, "") for key in _USUAL} for side in _SIDES}
        return {**usual, "more": self._more().texts(rows)}

    def canonical(self, tree: Tree) -> Any:
        branches = _branches(tree)
        return [
            *(self._side(side).canonical(branches.get(side)) for side in _SIDES),
            self._more().canonical(branches.get("more")),
        ]

    def parse(self, tree: Tree, kept: Any, name: str, problems: Problems) -> Any:
        branches = _branches(tree)
        made: dict[str, dict[str, str]] = {}
        for side in _SIDES:
            values = _branches(branches.get(side))
            made[side] = {key: text for key in _USUAL if (text := text_of(values.get(key)).strip())}
        for row, values in self._more().kept_rows(branches.get("more")):
            key = text_of(_branches(values).get("key")).strip()
            place = inner(inner(name, "more"), row)
            if not key or key in made["requests"] or key in made["limits"]:
                problem = "must not be empty" if not key else f"{key} is given twice"
                problems.setdefault(inner(place, "key"), []).append(problem)
            for side in _SIDES:
                text = text_of(_branches(values).get(side)).strip()
                if key and text:
                    made[side][key] = text
        return {side: made[side] or None for side in _SIDES} if any(made.values()) else None

    def place(self, path: Sequence[str], tree: Tree, name: str) -> str:
        if len(path) < 2 or path[0] not in _SIDES:
            return name
        if path[1] in _USUAL:
            return inner(name, f"{path[0]}.{path[1]}")
        for key, row in self._more().kept_rows(_branches(tree).get("more")):
            if text_of(_branches(row).get("key")).strip() == path[1]:
                return inner(name, f"more.{key}.{path[0]}")
        return name

    def node(self, tree: Tree, name: str, context: Context, *, depth: int = 0) -> Node:
        made = super().node(tree, name, context)
        branches = _branches(tree)
        parts: list[Part] = [*(self._side(side) for side in _SIDES), self._more()]
        made.children = [
            part.node(branches.get(part.name), inner(name, part.name), context, depth=depth) for part in parts
        ]
        return made
