"""A workflow file from its text to checked values: every problem of its form at once, each with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from rest_framework import serializers
from rest_framework.exceptions import ParseError

from secflow.http.parsing import parse_json
from secflow.http.serializers import Input
from secflow.yaml_text import YamlError, YamlText, read_yaml
from workflows.domain.file_references import wrong_references
from workflows.domain.findings import Finding, Path, Severity
from workflows.domain.hints import Hints
from workflows.services.document_bodies import FileTemplatesField, WorkflowFileInput, template_input

Source = bytes | str | Mapping[str, Any]

_EXTENSION: Final = "x-"  # what the author keeps for itself, such as anchors


@dataclass(frozen=True, slots=True)
class ReadFile:
    """What a file says. `values` are the validated ones, None when there are errors among the `findings`."""

    values: dict[str, Any] | None
    findings: list[Finding]
    lines: YamlText | None = None

    def placed(self, finding: Finding) -> Finding:
        """The finding with the line that it is about, where the file was a text."""
        if self.lines is None or finding.line is not None:
            return finding
        return replace(finding, line=self.lines.line_of(finding.path))


def read_file(source: Source) -> ReadFile:
    """Reads YAML or JSON text, or a value that was read already. Raises nothing: what is wrong stands in the findings."""
    try:
        text = _parsed(source)
    except YamlError as err:
        message = f"the file is not valid YAML: {err.problem}"
        return ReadFile(None, [Finding(Severity.ERROR, (), message, line=err.line, column=err.column)])
    except ParseError as err:
        return ReadFile(None, [Finding(Severity.ERROR, (), str(err.detail).replace("the body", "the file", 1))])
    value = text.value
    if not isinstance(value, dict) or not value:
        message = (
            "the file is empty" if not value else "the file must be an object with apiVersion, kind, metadata, spec"
        )
        return ReadFile(None, [Finding(Severity.ERROR, (), message)], text)
    body = WorkflowFileInput(data=value)
    errors = [] if body.is_valid() else list(_shape_errors(body.errors, value, ()))
    hints = Hints()
    errors += wrong_references(value, hints)
    read = ReadFile(None if errors else dict(body.validated_data), [], text if text.lines else None)
    found = [*errors, *_unknown_fields(WorkflowFileInput(), value, (), hints)]
    return replace(read, findings=[read.placed(finding) for finding in found])


def _parsed(source: Source) -> YamlText:
    if not isinstance(source, bytes | str):
        return YamlText(source, {})
    raw = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    # JSON is read as JSON: its tabs and escapes are not all YAML.
    return YamlText(parse_json(raw), {}) if raw.lstrip()[:1] == b"{" and _is_json(raw) else read_yaml(raw)


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True


def _shape_errors(detail: Any, data: Any, path: Path) -> Iterator[Finding]:
    """Errors of a serializer with real paths: which numbers are indexes only the data knows."""
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            if key == "non_field_errors":
                yield from _shape_errors(inner, data, path)
                continue
            part: str | int = int(key) if isinstance(data, list) and str(key).isdecimal() else str(key)
            yield from _shape_errors(inner, _at(data, part), (*path, part))
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            if isinstance(inner, dict | list):
                yield from _shape_errors(inner, _at(data, index), (*path, index))
            else:
                yield Finding(Severity.ERROR, path, f"{inner}{_quotes(str(inner), data)}")
    else:
        yield Finding(Severity.ERROR, path, f"{detail}{_quotes(str(detail), data)}")


def _quotes(message: str, value: Any) -> str:
    """A hint for a number or a flag where a text is wanted: most often a value of a variable."""
    if message != "must be a string" or not isinstance(value, int | float):
        return ""
    return f'; put it in quotes, "{json.dumps(value)}"'


def _at(data: Any, part: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(part)
    return data[part] if isinstance(data, list) and isinstance(part, int) and part < len(data) else None


def _unknown_fields(field: Any, value: Any, path: Path, hints: Hints) -> Iterator[Finding]:
    """The API ignores fields that it does not know (contract A.1); in a file they are most often misspelt."""
    if isinstance(field, serializers.ListSerializer) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown_fields(field.child, item, (*path, index), hints)
    elif isinstance(field, FileTemplatesField) and isinstance(value, Mapping):
        for handle, entry in value.items():
            yield from _unknown_fields(template_input(entry), entry, (*path, handle), hints)
    elif isinstance(field, Input) and isinstance(value, Mapping):
        known = {*field.fields, *field.aliases}
        for key, inner in value.items():
            if key in field.fields:
                yield from _unknown_fields(field.fields[key], inner, (*path, key), hints)
            elif key not in known and not key.startswith(_EXTENSION):
                hint = hints.did_you_mean(key, known) or "; it is ignored"
                yield Finding(Severity.WARNING, (*path, key), f"is not a known field{hint}")
