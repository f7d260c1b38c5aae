"""The inputs of forms that build a JSON body.

A part is one place of the body. Its input has the place's path as its name, such as `containers.0.image`, so whatever
the API says about a place can be shown there. What inputs hold is a tree of texts: the same shape whether it was made
from a stored value or sent by a browser.

A value that nobody touched is given back exactly as it is stored, whatever an input could not hold of it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from secflow.console.bodies.words import joined_words, split_words

Tree = Any  # a text, a mapping of trees, or None where nothing was sent
Problems = dict[str, list[str]]
MISSING: Final = object()
_WHOLE = re.compile(r"-?[0-9]{1,12}", re.ASCII)


@dataclass(slots=True)
class Node:
    """One part as a page shows it. `templates` of rows: the blank row that a script copies."""

    part: Part
    name: str
    tree: Tree
    errors: list[str]
    is_disabled: bool = False
    children: list[Node] = field(default_factory=list)
    key: str = ""
    blank: Node | None = None
    number: int = 0
    prefix: str = "body"

    @property
    def id(self) -> str:
        return f"{self.prefix}-{self.name}" if self.name else self.prefix

    @property
    def template(self) -> str:
        return f"console/forms/{self.part.template}.html"

    @property
    def has_errors(self) -> bool:
        """Whether something is wrong here or anywhere inside."""
        return bool(self.errors) or any(child.has_errors for child in self.children)

    @property
    def is_filled(self) -> bool:
        """Whether it differs from what an empty form shows."""
        return bool(self.part.canonical(self.tree) != self.part.canonical(self.part.texts(self.part.default)))

    @property
    def sections(self) -> list[Any]:
        """The folds of a group."""
        part: Any = self.part
        return list(part.sections(self))

    @property
    def options(self) -> list[Any]:
        """The options of a choice, by group."""
        part: Any = self.part
        return list(part.groups(self.tree))

    @property
    def text(self) -> str:
        return text_of(self.tree)

    def get(self, name: str) -> Node:
        """The child of that name."""
        return next(child for child in self.children if child.part.name == name)


@dataclass(frozen=True, kw_only=True)
class Part(ABC):
    """A place of the body. `default` is what a new object has there."""

    name: str
    label: str = ""
    help: str = ""
    default: Any = None
    is_required: bool = False
    width: str = ""
    template: ClassVar[str] = "text"

    @abstractmethod
    def texts(self, value: Any) -> Tree:
        """What the inputs show for a stored value."""

    @abstractmethod
    def canonical(self, tree: Tree) -> Any:
        """The tree in a form in which two that mean the same are equal."""

    @abstractmethod
    def parse(self, tree: Tree, kept: Any, name: str, problems: Problems) -> Any:
        """The value of inputs that were changed. What cannot be read is added to `problems` under the input's name."""

    def read(self, tree: Tree, kept: Any, name: str, problems: Problems) -> Any:
        """The value of the inputs; `kept`, the stored one, when they show just that."""
        if kept is not MISSING and self.canonical(tree) == self.canonical(self.texts(kept)):
            return kept
        return self.parse(tree, kept, name, problems)

    def place(self, path: Sequence[str], tree: Tree, name: str) -> str:
        """The name of the input that stands for a path of the body below this part."""
        return name

    def node(self, tree: Tree, name: str, context: Context, *, depth: int = 0) -> Node:
        """The part with everything that a page needs to show it."""
        errors = context.errors.get(name, [])
        return Node(self, name, tree, errors, context.is_disabled, prefix=context.prefix)


@dataclass(frozen=True, slots=True)
class Context:
    """What nodes of one page share: errors by the name of the input, and rows that were asked for without a script."""

    errors: Mapping[str, list[str]]
    is_disabled: bool = False
    more_rows: Mapping[str, int] = field(default_factory=dict)
    prefix: str = "body"


def text_of(tree: Tree) -> str:
    """The text of an input; browsers send other line ends than they were given."""
    return tree.replace("\r\n", "\n").replace("\r", "\n") if isinstance(tree, str) else ""


def inner(name: str, part: str) -> str:
    """The name of an input inside another part."""
    return f"{name}.{part}" if name else part


@dataclass(frozen=True, kw_only=True)
class Text(Part):
    """A text. `empty` is the value of an empty input; `choices` are proposals, anything else may be typed as well."""

    empty: Any = None
    rows: int = 0
    choices: Sequence[str] = ()
    placeholder: str = ""
    is_code: bool = False
    template: ClassVar[str] = "text"

    def texts(self, value: Any) -> Tree:
        return "" if value is None else str(value)

    def canonical(self, tree: Tree) -> Any:
        return text_of(tree)

    def parse(self, tree: Tree, kept: Any, name: str, problems: Problems) -> Any:
        return text_of(tree) or self.empty


@dataclass(frozen=True, kw_only=True)
class Number(Text):
    """A whole number. An empty input is null when `is_nullable`, otherwise a problem."""

    is_nullable: bool = False
    minimum: int | None = None
    width: str = "short"
    template: ClassVar[str] = "number"

    def canonical(self, tree: Tree) -> Any:
        return text_of(tree).strip()

    def parse(self, tree: Tree, kept: Any, name: str, problems: Problems) -> Any:
        text = text_of(tree).strip()
        if not text:
            if not self.is_nullable:
                problems.setdefault(name, []).append("is required")
            return None
        return int(text) if _WHOLE.fullmatch(text) else text


@dataclass(frozen=True, kw_only=True)
class Flag(Part):
    """Yes or no: a box to tick."""

    default: Any = False
    width: str = "flag"
    template: ClassVar[str] = "flag"

    def texts(self, value: Any) -> Tree:
        return "on" if value else None

    def canonical(self, tree: Tree) -> Any:
        return bool(tree)

    def parse(self, tree: Tree, kept: Any, name: str, problems: Problems) -> Any:
        return bool(tree)


@dataclass(frozen=True, slots=True)
class Option:
    """One choice: the text that the browser sends, its value in the body, and what people read."""

    text: str
    value: Any
    label: str
    group: str = ""


def words(*values: str) -> tuple[Option, ...]:
    """Options that are words of the API."""
    return tuple(Option(value, value, value) for value in values)


@dataclass(frozen=True, kw_only=True)
class Choice(Part):
    """One of several values. A stored value that is none of them stays choosable, so nothing changes by itself."""

    options: Sequence[Option] = ()
    template: ClassVar[str] = "choice"

    def texts(self, value: Any) -> Tree:
        found = next((option for option in self.options if option.value == value), None)
        return found.text if found else ("" if value is None else str(value))

    def canonical(self, tree: Tree) -> Any:
        return text_of(tree)

    def parse(self, tree: Tree, kept: Any, name: str, problems: Problems) -> Any:
        text = text_of(tree)
        found = next((option for option in self.options if option.text == text), None)
        return found.value if found else text

    def groups(self, tree: Tree) -> list[tuple[str, list[Option]]]:
        """The options for a page, by group, with the present one in any case."""
        found: dict[str, list[Option]] = {}
        text = text_of(tree)
        for option in self.options:
            found.setdefault(option.group, []).append(option)
        if all(option.text != text for option in self.options):
            found.setdefault("", []).insert(0, Option(text, text, text or "– choose –"))
        return list(found.items())


@dataclass(frozen=True, kw_only=True)
class Words(Part):
    """A list of words, typed as in a shell: marks keep together what has spaces in it. Empty means not given."""

    placeholder: str = ""
    rows: int = 1
    is_code: bool = True
    choices: Sequence[str] = ()
    template: ClassVar[str] = "text"

    def texts(self, value: Any) -> Tree:
        return joined_words(value or ())

    def canonical(self, tree: Tree) -> Any:
        return text_of(tree).strip()

    def parse(self, tree: Tree, kept: Any, name: str, problems: Problems) -> Any:
        try:
            return split_words(text_of(tree)) or None
        except ValueError:
            problems.setdefault(name, []).append("has a quotation mark or backslash without its partner")
            return None
