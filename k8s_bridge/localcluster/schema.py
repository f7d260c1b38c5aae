"""Field names and types of the kinds served, and the first reading of what a client sends."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from k8s_bridge.localcluster import quantities
from k8s_bridge.localcluster.errors import bad_request


@dataclass(frozen=True)
class TypeInfo:
    """`fields`: JSON name -> type, where a type is a scalar, `[]T`, `{}T` or the name of another type."""

    fields: dict[str, str]
    required: tuple[str, ...]


def _load() -> dict[str, TypeInfo]:
    raw = json.loads(Path(__file__).with_name("schema.json").read_text())
    return {name: TypeInfo(value["fields"], tuple(value["required"])) for name, value in raw.items()}


TYPES: Final[dict[str, TypeInfo]] = _load()
SCALARS: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "time": (str,),
    "bytes": (str,),
    "quantity": (str, int, float),
    "intstr": (str, int),
}
# These keep their microseconds, every other time is in whole seconds.
_PRECISE: Final = frozenset({"eventTime", "lastObservedTime"})


@dataclass
class Reading:
    """An object as the server understands it: unknown fields and nulls dropped, quantities as strings."""

    obj: dict[str, Any]
    unknown: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class _Misfit(Exception):
    pass


def read(type_name: str, value: Any) -> Reading:
    """Read `value` as the type (a kind or one of its parts); a value of a wrong type is a 400 that names the field."""
    reading = Reading({})
    try:
        reading.obj = _read(reading, type_name, value, "")
    except _Misfit as err:
        raise bad_request(f"the body cannot be handled as a {type_name}: {err}") from err
    return reading


def _read(reading: Reading, type_name: str, value: Any, path: str) -> Any:
    if type_name == "any":
        return value
    if type_name.startswith("[]"):
        if not isinstance(value, list):
            raise _Misfit(f"{path}: expected a list, got {_named(value)}")
        return [_read(reading, type_name[2:], item, f"{path}[{at}]") for at, item in enumerate(value)]
    if not isinstance(value, dict) and type_name not in SCALARS:
        raise _Misfit(f"{path or 'the body'}: expected an object, got {_named(value)}")
    if type_name.startswith("{}"):
        return {
            key: _read(reading, type_name[2:], item, f"{path}[{key}]")
            for key, item in value.items()
            if item is not None or type_name == "{}string"
        }
    if type_name in SCALARS:
        return _scalar(type_name, value, path)
    info = TYPES[type_name]
    prefix = f"{path}." if path else ""
    result: dict[str, Any] = {}
    for key, item in value.items():
        known = info.fields.get(key)
        if known is None:
            reading.unknown.append(f"{prefix}{key}")
        elif item is not None:
            result[key] = _read(reading, known, item, f"{prefix}{key}")
    reading.missing.extend(f"{prefix}{key}" for key in info.required if key not in result)
    return result


def _scalar(type_name: str, value: Any, path: str) -> Any:
    if value is None and type_name == "string":
        # A null in a map of strings is the empty string, as a Go decoder has it.
        return ""
    if not isinstance(value, SCALARS[type_name]) or (isinstance(value, bool) and type_name != "boolean"):
        raise _Misfit(f"{path}: expected {_article(type_name)}, got {_named(value)}")
    if type_name == "quantity":
        if quantities.parse(str(value)) is None:
            raise _Misfit(f"{path}: {value!r} is no quantity; write 500m, 2, 1.5 or 128Mi")
        return str(value)
    if type_name == "time" and isinstance(value, str):
        return _time(value, path)
    if type_name == "bytes" and isinstance(value, str):
        try:
            base64.b64decode(value.replace("\n", ""), validate=True)
        except (binascii.Error, ValueError) as err:
            raise _Misfit(f"{path}: not valid base64 data") from err
    return value


def _time(value: str, path: str) -> str:
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value))
    except ValueError as err:
        raise _Misfit(f"{path}: {value!r} is not an RFC 3339 time such as 2030-01-31T12:00:00Z") from err
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    precise = path.rpartition(".")[2] in _PRECISE
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if precise else "%Y-%m-%dT%H:%M:%SZ")


def _article(type_name: str) -> str:
    return {"intstr": "a number or a string", "integer": "an integer", "bytes": "base64 text"}.get(
        type_name, f"a {type_name}"
    )


def _named(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a string", int: "an integer", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "null")
