"""What a check says about a workflow, and where. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

Path = tuple[str | int, ...]

_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)


class Severity(StrEnum):
    """`error`: what was asked for would be refused. `warning`: it would be done and probably not as meant."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one place. `node` is the name of the node that it is about, `line` its place in a text."""

    severity: Severity
    path: Path
    message: str
    node: str | None = None
    node_id: str | None = None
    line: int | None = None
    column: int | None = None

    def output(self) -> dict[str, Any]:
        """As the API shows it; what is not known has no key."""
        places = {"node": self.node, "node_id": self.node_id, "line": self.line, "column": self.column}
        return {
            "severity": self.severity.value,
            "path": path_text(self.path),
            "message": self.message,
            **{key: value for key, value in places.items() if value is not None},
        }


def path_text(path: Path) -> str:
    """Such as `spec.nodes[2].env_vars[0].name`; a key that is no word is put in brackets, `spec.templates["a b"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _WORD.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=False)}]"
    return text


def has_errors(findings: Iterable[Finding]) -> bool:
    return any(finding.severity is Severity.ERROR for finding in findings)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first, then warnings; each once, otherwise in the order in which they were found."""
    rank = {severity: place for place, severity in enumerate(Severity)}
    return sorted(dict.fromkeys(findings), key=lambda finding: rank[finding.severity])


def sentence(findings: Iterable[Finding]) -> str:
    """The first errors in one line."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    first = "; ".join(
        f"{path_text(error.path)}: {error.message}" if error.path else error.message for error in errors[:3]
    )
    return first + (f"; and {len(errors) - 3} more" if len(errors) > 3 else "")
