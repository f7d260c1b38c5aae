"""Collecting what is wrong with an object, and saying it as a Kubernetes API server does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from k8s_bridge.localcluster.errors import StoreError
from k8s_bridge.localcluster.history import encode
from k8s_bridge.localcluster.resources import Resource

DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DNS_1035_LABEL: Final = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_PART: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PORT_NAME: Final = re.compile(r"(?=.{1,15}$)(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?")

LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (at most 63 characters)"
)
SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (at most 253 characters)"
)
LABEL_1035_RULE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (at most 63 characters)"
)
KEY_RULE: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (at most 63 characters), after an optional DNS prefix and '/'"
)
VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (at most 63 characters)"
)
PORT_NAME_RULE: Final = (
    "must be at most 15 lower case alphanumeric characters or '-', contain a letter, and neither start nor end with '-'"
)


def is_subdomain(text: str) -> bool:
    return len(text) <= 253 and bool(_SUBDOMAIN.fullmatch(text))


def is_label_value(text: str) -> bool:
    return not text or bool(_NAME_PART.fullmatch(text))


def is_qualified_name(text: str) -> bool:
    prefix, slash, name = text.rpartition("/")
    return bool(_NAME_PART.fullmatch(name)) and (not slash or is_subdomain(prefix))


def is_port_name(text: str) -> bool:
    return bool(_PORT_NAME.fullmatch(text))


def is_port(value: Any) -> bool:
    return is_integer(value) and 1 <= value <= 65535


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class FieldErrors:
    """What is wrong, field by field; `raise_for` raises the 422 when there is something."""

    def __init__(self) -> None:
        self.causes: list[dict[str, str]] = []

    def _note(self, reason: str, field: str, message: str) -> None:
        self.causes.append({"reason": reason, "message": message, "field": field})

    def required(self, field: str, detail: str = "") -> None:
        self._note("FieldValueRequired", field, f"Required value: {detail}" if detail else "Required value")

    def invalid(self, field: str, value: Any, detail: str) -> None:
        self._note("FieldValueInvalid", field, f"Invalid value: {_shown(value)}: {detail}")

    def unsupported(self, field: str, value: Any, allowed: Iterable[str]) -> None:
        names = ", ".join(f'"{name}"' for name in sorted(allowed))
        self._note("FieldValueNotSupported", field, f"Unsupported value: {_shown(value)}: supported values: {names}")

    def duplicate(self, field: str, value: Any) -> None:
        self._note("FieldValueDuplicate", field, f"Duplicate value: {_shown(value)}")

    def forbidden(self, field: str, detail: str) -> None:
        self._note("FieldValueForbidden", field, f"Forbidden: {detail}")

    def missing(self, field: str, value: Any) -> None:
        """A reference to something that is not there."""
        self._note("FieldValueNotFound", field, f"Not found: {_shown(value)}")

    def at_least(self, field: str, value: Any, least: int) -> None:
        """`value` is an integer not below `least`; None is not checked."""
        if value is None:
            return
        if not is_integer(value):
            self.invalid(field, value, "must be an integer")
        elif value < least:
            self.invalid(field, value, f"must be greater than or equal to {least}")

    def raise_for(self, resource: Resource, name: str) -> None:
        if not self.causes:
            return
        shown = [f"{cause['field']}: {cause['message']}" for cause in self.causes]
        text = shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"
        kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
        details: dict[str, Any] = {"name": name, "kind": resource.kind, "causes": self.causes}
        if resource.group:
            details["group"] = resource.group
        raise StoreError(422, "Invalid", f'{kind} "{name}" is invalid: {text}', details)


def _shown(value: Any) -> str:
    return encode(value).decode()
