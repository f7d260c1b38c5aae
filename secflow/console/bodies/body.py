"""A whole form: what a row has, what a browser sent, and what the rules say about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.http import QueryDict

from secflow.console.bodies.groups import Fold, Group
from secflow.console.bodies.parts import MISSING, Context, Node, Part, Problems, Tree, inner
from secflow.http.serializers import Input
from workflows.domain.errors import CycleFound, DomainError, UnmetInputs

SEEN = "_seen"
ADD, REMOVE = "_add", "_remove"
_DEEPEST = 12


class Body:
    """A form of parts over a stored object, or over nothing yet. `prefix` begins the ids of its elements.

    `stored` has the values of the fields as they are in the database; `posted` is what the browser sent, if it did.
    `values` are then the values of all fields; `changes` only those of fields that somebody changed.
    """

    prefix = "body"

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        stored: Mapping[str, Any] | None = None,
        initial: Mapping[str, Any] | None = None,
        posted: QueryDict | None = None,
        folds: Sequence[Fold] = (),
        is_disabled: bool = False,
    ) -> None:
        self.whole = Group(name="", fields=parts, folds=folds)
        self.stored = stored
        self.posted = posted
        self.is_disabled = is_disabled
        self.tree: Tree = self.whole.texts(stored if stored is not None else initial)
        self.errors: Problems = {}
        self.values: dict[str, Any] = {}
        self.changes: dict[str, Any] = {}
        self._more_rows: dict[str, int] = {}
        if posted is not None:
            self.tree = tree_of(posted)
            self._edit_rows(posted)
            self._read()

    def _read(self) -> None:
        kept = self.stored or {}
        for part in self.whole.fields:
            tree, old = self.tree.get(part.name), kept.get(part.name, MISSING)
            value = part.read(tree, old, part.name, self.errors)
            self.values[part.name] = value
            if self.stored is None or part.canonical(tree) != part.canonical(part.texts(kept.get(part.name))):
                self.changes[part.name] = value

    def _edit_rows(self, posted: QueryDict) -> None:
        """Buttons of a page without a script: they add or remove a row and do nothing else."""
        if posted.get(ADD):
            self._more_rows[str(posted[ADD])] = 1
        if posted.get(REMOVE):
            *way, last = str(posted[REMOVE]).split(".")
            branch: Any = self.tree
            for step in way:
                branch = branch.get(step) if isinstance(branch, dict) else None
            if isinstance(branch, dict):
                branch.pop(last, None)

    @property
    def only_edits_rows(self) -> bool:
        """Whether the browser only asked for a row more or less: nothing is to be checked or written then."""
        return self.posted is not None and bool(self.posted.get(ADD) or self.posted.get(REMOVE))

    @property
    def token(self) -> str:
        """Stands for the values that the form was opened with."""
        return digest(self.stored or {})

    @property
    def is_stale(self) -> bool:
        """Whether the row has changed since the form was opened."""
        return self.posted is not None and self.stored is not None and self.posted.get(SEEN) != self.token

    def refreshed(self) -> Body:
        """The form with the values that the row has now."""
        return Body(self.whole.fields, stored=self.stored, folds=self.whole.folds, is_disabled=self.is_disabled)

    def differences(self) -> list[tuple[str, str, str]]:
        """What was typed where the row has something else: label, typed, stored."""
        shown = self.whole.texts(self.stored)
        made = []
        for part in self.whole.fields:
            typed = self.tree.get(part.name)
            if part.canonical(typed) != part.canonical(shown.get(part.name)):
                label = part.label or part.name.replace("_", " ")
                made.append((label, _plain(self.values.get(part.name)), _plain((self.stored or {}).get(part.name))))
        return made

    def check(self, kind: type[Input], given: Mapping[str, Any]) -> dict[str, Any]:
        """The values as the API's serializer reads them. Its sentences, and those of reading, end up in `errors`."""
        serializer = kind(data=dict(given))
        if not serializer.is_valid():
            unread = set(self.errors)
            for path, sentence in flat_errors(serializer.errors):
                if self.place(path) not in unread:
                    self.add_error(path, sentence)
        if self.errors:
            return {}
        return dict(serializer.validated_data)

    def place(self, path: Sequence[str]) -> str:
        """The input that stands for a path of the body; an empty name is the form as a whole."""
        return self.whole.place(path, self.tree, "")

    def add_error(self, path: Sequence[str], sentence: str) -> None:
        """Shows a sentence at the input of a path, or above the form with the path when there is none."""
        name = self.place(path)
        text = sentence if name or not path else f"{'.'.join(path)}: {sentence}"
        self.errors.setdefault(name, []).append(text)

    def refuse(self, err: DomainError) -> None:
        """Shows what a service said, beside the inputs that it names."""
        details = err.details
        if isinstance(err, UnmetInputs) and isinstance(details, list):
            for item in details:
                place = "env_vars" if item["type"] == "env_var" else "volume_mounts"
                self.add_error([place], f"{item['message']} (container {item['container']})")
        elif isinstance(err, CycleFound) or not isinstance(details, dict) or not details.get("fields"):
            self.add_error([], err.message)
        else:
            for item in details["fields"]:
                self.add_error(str(item["field"]).split("."), str(item["message"]))

    @property
    def general_errors(self) -> list[str]:
        """What concerns the form as a whole."""
        return self.errors.get("", [])

    @property
    def root(self) -> Node:
        """The form for a page."""
        context = Context(self.errors, self.is_disabled, self._more_rows, self.prefix)
        return self.whole.node(self.tree, "", context)

    def problems(self) -> list[dict[str, str]]:
        """What is wrong, for a script: `field` is the name of an input or empty."""
        return [{"field": name, "message": text} for name, texts in self.errors.items() for text in texts]


def digest(stored: Mapping[str, Any]) -> str:
    """A short text that differs when the values do."""
    text = json.dumps(stored, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def tree_of(posted: QueryDict) -> dict[str, Tree]:
    """What was sent, as a tree by the dots in the names. Names with a `_` in front are not of the body."""
    root: dict[str, Tree] = {}
    for name in posted:
        if name.startswith("_") or name == "csrfmiddlewaretoken":
            continue
        *way, last = name.split(".", _DEEPEST)
        branch = root
        for step in way:
            following = branch.setdefault(step, {})
            if not isinstance(following, dict):
                break
            branch = following
        else:
            branch[last] = posted[name]
    return root


def flat_errors(errors: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Nested errors of a serializer as pairs of a path and a sentence."""
    if isinstance(errors, Mapping):
        for key, value in errors.items():
            yield from flat_errors(value, path if key == "non_field_errors" else (*path, str(key)))
    elif isinstance(errors, list | tuple):
        for value in errors:
            yield from flat_errors(value, path)
    else:
        yield path, str(errors)


def _plain(value: Any) -> str:
    if isinstance(value, str) or value is None:
        return value or "–"
    return json.dumps(value, ensure_ascii=False, indent=1)


__all__ = ["Body", "digest", "flat_errors", "inner", "tree_of"]
