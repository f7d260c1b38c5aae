"""Workflow files: found, and split into their documents."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secflow.cli.errors import UsageProblem

if TYPE_CHECKING:
    from secflow.yaml_text import YamlText

Json = dict[str, Any]
JSON, YAML = "application/json", "application/yaml"
_ENDINGS = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Document:
    """One workflow of one file. `text` is the document as it was written, on the lines where it stands in the file.

    `lines` tells on which of them what stands; None for JSON, of which the server does not tell lines either.
    """

    source: str
    line: int
    text: str
    content: Any
    lines: YamlText | None = None

    @property
    def place(self) -> str:
        """The file, and the line where there are several in it."""
        return self.source if self.line == 1 else f"{self.source}:{self.line}"

    @property
    def name(self) -> str:
        """What it calls itself, if anything."""
        return str(at(self.content, "metadata", "name") or "(no name)")

    @property
    def project(self) -> str:
        """The project that it names, if any."""
        return str(at(self.content, "metadata", "project") or "")

    def body(self, project: str | None) -> tuple[bytes, str]:
        """What is sent to the server, and its media type. A file that names no project gets `project`.

        Raises UsageProblem when it names another one.
        """
        own = self.project
        if project and own and own != project:
            raise UsageProblem(
                f"{self.place} is of project {own!r}, not {project!r}", hint="Leave --project out, or change the file."
            )
        if project and not own and isinstance(at(self.content, "metadata"), dict):
            filled = {**self.content, "metadata": {**self.content["metadata"], "project": project}}
            # The values are those that the server would read out of the text.
            return json.dumps(filled).encode(), JSON
        return self.text.encode(), YAML


def read_documents(paths: list[str]) -> list[Document]:
    """The documents of files, folders and `-`, in order. Raises UsageProblem when one cannot be read or there are none."""
    found = [document for path in paths for source, text in _texts(path) for document in split(source, text)]
    if not found:
        raise UsageProblem(
            f"there is no workflow in {', '.join(paths)}", hint="See docs/command-line.md for an example."
        )
    return found


def _texts(path: str) -> Iterator[tuple[str, str]]:
    place = Path(path)
    with _readable("standard input" if path == "-" else path):
        if path == "-":
            files: list[Path] = []
            yield "(standard input)", sys.stdin.read().removeprefix("\ufeff")
        else:
            files = sorted(one for one in place.iterdir() if one.suffix in _ENDINGS) if place.is_dir() else [place]
    for file in files:
        with _readable(str(file)):
            yield str(file), file.read_text(encoding="utf-8-sig")


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Says which file or folder cannot be read. Raises UsageProblem."""
    try:
        yield
    except UnicodeDecodeError as err:
        raise UsageProblem(f"{name} is not text in UTF-8", hint="Is it the right file?") from err
    except OSError as err:
        raise UsageProblem(f"{name} cannot be read: {err.strerror}", hint="Is the name right?") from err


def split(source: str, text: str) -> list[Document]:
    """The documents of one stream of YAML, or the one of JSON; empty ones are left out. Raises UsageProblem for bad syntax."""
    import yaml

    from secflow.yaml_text import YamlError, read_yaml

    found = []
    start = line = 0
    try:
        if text.lstrip()[:1] == "{" and (content := _json(source, text)) is not None:
            return [Document(source, 1, text, content)]
        parsed: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)
        for event in parsed:
            word = type(event).__name__
            if word == "DocumentStartEvent":
                # From the beginning of its line: how far it is indented counts.
                start, line = event.start_mark.index - event.start_mark.column, event.start_mark.line
            elif word == "DocumentEndEvent":
                # Empty lines before it: the server counts lines as the file does.
                part = "\n" * line + text[start : event.end_mark.index]
                read = read_yaml(part)
                if read.value is not None:
                    found.append(Document(source, line + 1, part, read.value, read))
    except YamlError as err:
        raise UsageProblem(f"{source} is not YAML: {err}", hint="See docs/workflow-file.md for the form.") from err
    except yaml.YAMLError as err:
        raise UsageProblem(
            f"{source} is not YAML: {_where(err)}", hint="Indent with spaces, and quote texts that hold a colon."
        ) from err
    return found


def _json(source: str, text: str) -> Any:
    """The value of JSON, whose tabs and escapes are not all YAML; None when it is something else.

    Raises UsageProblem for a key given twice: of the two, the reader would keep only the last and say nothing.
    """

    def once(pairs: list[tuple[str, Any]]) -> Json:
        found: Json = {}
        for key, value in pairs:
            if key in found:
                raise UsageProblem(
                    f"{source}: the key {key[:40]!r} is given twice in one object", hint="Keep the one that is meant."
                )
            found[key] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        return None


def _where(error: Any) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)


def at(content: Any, *keys: str) -> Any:
    """What stands under these keys; None when something on the way is missing."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content
