"""The three patch formats of the API: JSON merge patch, strategic merge patch, JSON patch.

Each function returns a new object and leaves its arguments alone. A patch that cannot be read is a 400, one that does
not fit the object a 422.
"""

from __future__ import annotations

from typing import Any, Final

from k8s_bridge.localcluster.errors import StoreError, bad_request
from k8s_bridge.localcluster.store import clone

# Lists that a strategic merge patch merges item by item: field name -> the keys an item may be known by, best first.
# Every list not named here is replaced whole.
MERGE_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("containerPort", "port"),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
MERGED_SETS: Final = frozenset({"finalizers"})

_ORDER: Final = "$setElementOrder/"
_FROM_SET: Final = "$deleteFromPrimitiveList/"
_RETAIN: Final = "$retainKeys"
_DIRECTIVE: Final = "$patch"


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386: null deletes a key, dicts merge, everything else replaces."""
    if not isinstance(patch, dict):
        return clone(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic(target: Any, patch: Any) -> Any:
    """A merge patch that also merges the lists of MERGE_KEYS, and obeys `$patch`, `$retainKeys`, `$setElementOrder` and
    `$deleteFromPrimitiveList`."""
    if not isinstance(patch, dict):
        return clone(patch)
    directive = patch.get(_DIRECTIVE)
    if directive == "delete":
        return {}
    if directive not in (None, "replace", "merge"):
        raise bad_request(f"unknown patch directive {directive!r}: use delete, replace or merge")
    result = dict(target) if isinstance(target, dict) and directive != "replace" else {}
    if _RETAIN in patch:
        result = {key: value for key, value in result.items() if key in patch[_RETAIN]}
    for key, value in patch.items():
        if key in (_DIRECTIVE, _RETAIN) or key.startswith(_ORDER):
            continue
        if key.startswith(_FROM_SET):
            field = key.removeprefix(_FROM_SET)
            result[field] = [item for item in result.get(field) or () if item not in value]
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, list):
            result[key] = _strategic_list(key, result.get(key), value)
        elif isinstance(value, dict) and value.get(_DIRECTIVE) == "delete":
            result.pop(key, None)
        else:
            result[key] = strategic(result.get(key), value)
    for key, order in patch.items():
        if key.startswith(_ORDER):
            field = key.removeprefix(_ORDER)
            if isinstance(result.get(field), list):
                result[field] = _ordered(field, result[field], order)
    return result


def _strategic_list(field: str, old: Any, patch: list[Any]) -> list[Any]:
    if field in MERGED_SETS:
        kept = list(old or ())
        return kept + [item for item in patch if item not in kept]
    if field not in MERGE_KEYS or not all(isinstance(item, dict) for item in patch):
        return list(clone(patch))
    result = [item for item in old if isinstance(item, dict)] if isinstance(old, list) else []
    if any(item.get(_DIRECTIVE) == "replace" for item in patch):
        # The item that only says "replace" is not a member of the new list.
        return [strategic({}, item) for item in patch if set(item) != {_DIRECTIVE}]
    for item in patch:
        key = _key_of(field, item)
        if key is None:
            keys = " or ".join(MERGE_KEYS[field])
            raise bad_request(f"map: an item of {field} does not contain declared merge key: {keys}")
        place = next((at for at, known in enumerate(result) if known.get(key) == item[key]), None)
        if item.get(_DIRECTIVE) == "delete":
            if place is not None:
                del result[place]
        elif place is None:
            result.append(strategic({}, item))
        else:
            result[place] = strategic(result[place], item)
    return result


def _key_of(field: str, item: dict[str, Any]) -> str | None:
    return next((key for key in MERGE_KEYS[field] if key in item), None)


def _ordered(field: str, items: list[Any], order: list[Any]) -> list[Any]:
    """Items named by `order` in its order, each in a place that a named item had; the rest stay where they are."""
    names = [_name(field, item) for item in order]
    named = sorted((item for item in items if _name(field, item) in names), key=lambda i: names.index(_name(field, i)))
    queue = iter(named)
    return [next(queue) if _name(field, item) in names else item for item in items]


def _name(field: str, item: Any) -> Any:
    if not isinstance(item, dict) or field not in MERGE_KEYS:
        return item
    key = _key_of(field, item)
    return item[key] if key else None


def json_patch(target: Any, operations: Any) -> Any:
    """RFC 6902: all operations or none."""
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise bad_request("a JSON patch is a list of operations, each an object with `op` and `path`")
    document = {"": clone(target)}
    for operation in operations:
        _apply(document, operation)
    return document[""]


def _apply(document: dict[str, Any], operation: dict[str, Any]) -> None:
    verb, path = operation.get("op"), operation.get("path")
    if not isinstance(path, str):
        raise bad_request("an operation of a JSON patch needs a `path`")
    if verb in ("add", "replace", "test"):
        if "value" not in operation:
            raise bad_request(f"the JSON patch operation {verb!r} on {path!r} needs a `value`")
        value = clone(operation["value"])
        if verb == "add":
            _add(document, path, value)
        elif verb == "replace":
            _take(document, path)
            _add(document, path, value)
        elif _look(document, path) != value:
            raise _misfit(f"testing path {path} failed: the value is another one")
    elif verb == "remove":
        _take(document, path)
    elif verb in ("move", "copy"):
        source = operation.get("from")
        if not isinstance(source, str):
            raise bad_request(f"the JSON patch operation {verb!r} needs a `from`")
        _add(document, path, _take(document, source) if verb == "move" else clone(_look(document, source)))
    else:
        raise bad_request(f"unknown JSON patch operation {verb!r}")


def _steps(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise bad_request(f"the JSON patch path {path!r} does not start with /")
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")]


def _misfit(message: str) -> StoreError:
    return StoreError(422, "Invalid", f"the server rejected our request due to an error in our request: {message}")


def _place(holder: Any, step: str, path: str) -> Any:
    """`step` as a key of `holder` that exists."""
    if isinstance(holder, dict) and step in holder:
        return step
    if isinstance(holder, list) and step.isdecimal() and int(step) < len(holder):
        return int(step)
    raise _misfit(f"the path {path} does not exist")


def _parent(document: dict[str, Any], path: str) -> tuple[Any, str]:
    holder: Any = document
    *before, last = _steps(path)
    for step in before:
        holder = holder[_place(holder, step, path)]
    return holder, last


def _look(document: dict[str, Any], path: str) -> Any:
    holder, last = _parent(document, path)
    return holder[_place(holder, last, path)]


def _take(document: dict[str, Any], path: str) -> Any:
    holder, last = _parent(document, path)
    return holder.pop(_place(holder, last, path))


def _add(document: dict[str, Any], path: str, value: Any) -> None:
    holder, last = _parent(document, path)
    if isinstance(holder, dict):
        holder[last] = value
    elif isinstance(holder, list) and last == "-":
        holder.append(value)
    elif isinstance(holder, list) and last.isdecimal() and int(last) <= len(holder):
        holder.insert(int(last), value)
    else:
        raise _misfit(f"nothing can be added at the path {path}")
