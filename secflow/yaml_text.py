"""YAML as SecFlow reads and writes it: JSON values in readable text (YAML 1.2 core words, RFC 9512).

Guarantees
* `read_yaml(write_yaml(value)).value == value` for every JSON value.
* Only plain data comes out: no tags, no objects, no dates; `yes`, `on` and `0644` are texts.
* A key given twice, a second document, aliases that grow beyond measure and deep nesting are refused, with line and column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

MAX_DEPTH: Final = 50
# Characters and items after all aliases are followed: what a small text may grow to.
MAX_EXPANDED: Final = 4 * 1024 * 1024

Path = tuple[str | int, ...]

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL: Final = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
# A number with a zero in front is a text: older readers take it as octal, newer ones do not.
_INT: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NO_NUMBER: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)
_LONGEST_NUMBER: Final = 400
_TEXT_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:str"})
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


class YamlError(ValueError):
    """The text is no YAML that SecFlow reads. `line` and `column` count from 1; None where there is no place to name."""

    def __init__(self, problem: str, line: int | None = None, column: int | None = None) -> None:
        self.problem, self.line, self.column = problem, line, column
        place = "" if line is None else f"line {line}, column {column}: "
        super().__init__(f"{place}{problem}")


@dataclass(frozen=True, slots=True)
class YamlText:
    """A value and the lines, from 1, on which its keys and items stand. What came by an alias has no line of its own."""

    value: Any
    lines: Mapping[Path, int]

    def line_of(self, path: Path) -> int | None:
        """The line of the place, or of the nearest one around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def read_yaml(raw: bytes | str) -> YamlText:
    """The one document in the text. Raises YamlError; an empty text has the value None."""
    if isinstance(raw, bytes):
        try:
            raw = raw.decode("utf-8-sig")
        except UnicodeDecodeError as err:
            raise YamlError("the text is not UTF-8") from err
    builder = _Builder()
    try:
        for event in yaml.parse(raw, Loader=_Loader):
            builder.take(event)
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        problem = (err.problem or str(err)).replace("\t", "\\t")
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise YamlError(f"{problem}{_HINTS.get(problem, '')}", line, column) from err
    except yaml.YAMLError as err:
        reason = getattr(err, "reason", None) or "the text is not YAML"
        line, column = _place_of(raw, getattr(err, "position", None))
        raise YamlError(str(reason), line, column) from err
    return YamlText(builder.value, builder.lines)


def write_yaml(value: Any) -> str:
    """The JSON value as text: keys in their order, texts of several lines as blocks."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1_000_000
    )
    return text


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HINTS: Final = {
    "found character that cannot start any token": " (is it a tab, or a text that needs quotes?)",
    "mapping values are not allowed in this context": " (a text with a colon and a space needs quotes)",
}


def _place_of(text: str, position: int | None) -> tuple[int | None, int | None]:
    if position is None:
        return None, None
    before = text[:position]
    return before.count("\n") + 1, position - before.rfind("\n")


@dataclass(slots=True)
class _Open:
    """A list or an object whose end has not come yet."""

    value: Any
    path: Path
    anchor: str | None
    key: str | None = None
    merges: bool = False  # the value of the key is merged in: it is the plain word <<
    size: int = 1
    merged: list[dict[str, Any]] = field(default_factory=list)


class _Builder:
    """Values out of the events of a parser. It keeps its own stack: no nesting can exhaust the interpreter's."""

    def __init__(self) -> None:
        self.value: Any = None
        self.lines: dict[Path, int] = {}
        self._open: list[_Open] = []
        self._named: dict[str, tuple[Any, int]] = {}  # anchor -> value and its size
        self._documents = 0
        self._size = 0

    def take(self, event: Any) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _error(event, "a second document begins here; a file holds one workflow")
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.AliasEvent():
                if event.anchor not in self._named:
                    raise _error(event, f"the alias *{event.anchor} has no anchor before it")
                value, size = self._named[event.anchor]
                self._put(event, value, size)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._begin(event, [] if isinstance(event, yaml.SequenceStartEvent) else {})
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._end(event)

    def _begin(self, event: Any, value: Any) -> None:
        if event.tag is not None and event.tag != "!":
            raise _error(event, f"the tag {event.tag} means nothing here")
        if len(self._open) >= MAX_DEPTH:
            raise _error(event, f"it is nested more than {MAX_DEPTH} deep")
        path = self._place(event)
        self.lines.setdefault(path, event.start_mark.line + 1)
        self._open.append(_Open(value, path, event.anchor))

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        value = done.value
        for merged in done.merged:
            value = {**merged, **value}
        if done.anchor is not None:
            self._named[done.anchor] = (value, done.size)
        self._store(event, value, done.size)

    def _scalar(self, event: Any) -> None:
        parent = self._open[-1] if self._open else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            self._key(event, parent)
            return
        value = _scalar_value(event)
        size = 1 + len(event.value)
        if event.anchor is not None:
            self._named[event.anchor] = (value, size)
        self.lines.setdefault(self._place(event), event.start_mark.line + 1)
        self._put(event, value, size)

    def _key(self, event: Any, parent: _Open) -> None:
        key = event.value
        if key in parent.value:
            raise _error(event, f"the key {key[:40]!r} is given twice in one object")
        if _UNSTORABLE.search(key):
            raise _error(event, "a key must not contain NUL or lone surrogate characters")
        parent.key, parent.merges = key, key == "<<" and event.implicit[0]
        self.lines[(*parent.path, key)] = event.start_mark.line + 1
        self._grow(event, 1 + len(key), parent)

    def _put(self, event: Any, value: Any, size: int) -> None:
        self._grow(event, size, None)
        self._store(event, value, size)

    def _store(self, event: Any, value: Any, size: int) -> None:
        """Gives a finished value to what is open around it."""
        if not self._open:
            self.value = value
            return
        parent = self._open[-1]
        parent.size += size
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is None:
            raise _error(event, "a key must be a text")
        elif parent.merges:
            parent.merged += _mergeable(event, value)
            parent.key = None
        else:
            parent.value[parent.key] = value
            parent.key = None

    def _place(self, event: Any) -> Path:
        if not self._open:
            return ()
        parent = self._open[-1]
        if isinstance(parent.value, list):
            return (*parent.path, len(parent.value))
        if parent.key is None:
            raise _error(event, "a key must be a text")
        return (*parent.path, parent.key)

    def _grow(self, event: Any, size: int, holder: _Open | None) -> None:
        self._size += size
        if holder is not None:
            holder.size += size
        if self._size > MAX_EXPANDED:
            raise _error(event, f"with its aliases followed the text has more than {MAX_EXPANDED} characters")


def _scalar_value(event: Any) -> Any:
    text: str = event.value
    if event.tag is not None and event.tag not in _TEXT_TAGS:
        raise _error(event, f"the tag {event.tag} means nothing here; write plain values")
    if _UNSTORABLE.search(text):
        raise _error(event, "texts must not contain NUL or lone surrogate characters")
    if event.tag is not None or not event.implicit[0]:
        return text
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _NO_NUMBER.fullmatch(text):
        raise _error(event, f"{text} is not a number that can be used; write it in quotes if it is a text")
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise _error(event, f"the number {text[:40]} is out of range")
        return number
    return text


def _mergeable(event: Any, value: Any) -> list[dict[str, Any]]:
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in found):
        raise _error(event, "<< takes an object, or a list of objects")
    return found


def _error(event: Any, problem: str) -> YamlError:
    return YamlError(problem, event.start_mark.line + 1, event.start_mark.column + 1)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes no aliases, and quotes every text that a reader of YAML 1.1 or 1.2 would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_PLAIN_WORD: Final = re.compile(rf"(?:{_INT.pattern}|{_FLOAT.pattern}|{_NO_NUMBER.pattern}|<<)$", re.ASCII)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _PLAIN_WORD, list("-+.0123456789<"))
_BLOCK: Final = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff][^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]*"
)


def _written_text(dumper: Any, text: str) -> Any:
    # A block keeps its text only when no line ends in a blank and nothing in it is a break of another kind.
    is_block = "\n" in text and _BLOCK.fullmatch(text) and " \n" not in text and not text.endswith(" ")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if is_block else None)


_Dumper.add_representer(str, _written_text)
