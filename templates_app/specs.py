"""What the small values of a template must look like for a cluster to take them (contract C.1 to C.5). Pure.

Every `*_problem` function returns a sentence without its subject, such as "must be an absolute path", or None.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from k8s_bridge import names

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY = re.compile(
    r"([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([eE][+-]?[0-9]{1,2})|([KMGTPE]i|[numkMGTPE]))?", re.ASCII
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
QUANTITY_LIMIT = 40
_QUANTITY_END = Decimal(2) ** 63

_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*", re.ASCII)
_RESOURCE_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_KERNEL_FOLDERS = frozenset({"proc", "sys"})
_WHITESPACE = re.compile(r"\s")


def quantity(text: str) -> Decimal | None:
    """The amount in base units (cores, bytes) of a Kubernetes quantity, or None when it is none."""
    found = _QUANTITY.fullmatch(text) if len(text) <= QUANTITY_LIMIT else None
    if found is None:
        return None
    sign, number, exponent, suffix = found.groups()
    amount = Decimal(sign + number)
    if exponent:
        return amount.scaleb(int(exponent[1:]))
    if suffix in _BINARY:
        return amount * Decimal(1024) ** _BINARY[suffix]
    return amount.scaleb(_DECIMAL[suffix]) if suffix else amount


def quantity_problem(text: str) -> str | None:
    amount = quantity(text)
    if amount is None:
        return "must be a Kubernetes quantity such as 100m, 0.5 or 128Mi"
    if amount < 0:
        return "must not be negative"
    return "is more than a cluster can count" if amount >= _QUANTITY_END else None


def resource_key_problem(key: str) -> str | None:
    return (
        None if _RESOURCE_KEY.fullmatch(key) else "is no resource name; use cpu, memory or one such as example.com/gpu"
    )


def resource_problems(
    requests: Mapping[str, str] | None, limits: Mapping[str, str] | None
) -> Iterator[tuple[str, str, str]]:
    """`(requests or limits, key, problem)` for everything a cluster would refuse; a request above its limit
    included.
    """
    for part, values in (("requests", requests or {}), ("limits", limits or {})):
        for key, text in values.items():
            problem = resource_key_problem(key) or quantity_problem(text)
            if problem:
                yield part, key, problem
    for key, text in (requests or {}).items():
        wanted, limit = quantity(text), quantity((limits or {}).get(key, ""))
        if wanted is not None and limit is not None and wanted > limit:
            yield "requests", key, f"must not be above the limit {(limits or {})[key]}"


def env_name_problem(name: str) -> str | None:
    # A name that begins like the folder above is refused by clusters too.
    if _ENV_NAME.fullmatch(name) and name != "." and not name.startswith(".."):
        return None
    return "must be a variable name: letters, digits and _ - . only, and no digit at the start"


def image_problem(image: str) -> str | None:
    if _WHITESPACE.search(image):
        return "must not contain spaces"
    if image.startswith("-") or "://" in image:
        return "must be an image reference such as registry.example.com/team/app:1.2"
    return None


def mount_path_problem(path: str) -> str | None:
    if not path.startswith("/"):
        return "must be an absolute path such as /data"
    if ".." in path.split("/"):
        return "must not contain .."
    if ":" in path:
        return "must not contain a colon"
    if same_path(path) == "/" or same_path(path).split("/")[1] in _KERNEL_FOLDERS:
        return "must not be the root folder, nor in /proc or /sys"
    return None


def sub_path_problem(path: str) -> str | None:
    if path.startswith("/"):
        return "must be relative, without a / at the start"
    return "must not contain .." if ".." in path.split("/") else None


def same_path(path: str) -> str:
    """The form in which two spellings of one mount path are equal: `/data`, `/data/` and `//data` are."""
    return posixpath.normpath("/" + path.lstrip("/"))


def service_name_problem(name: str) -> str | None:
    if names.is_service_name(name):
        return None
    return "must be a DNS label: at most 63 lower-case letters, digits and -, a letter first and no - at the end"


def probe_problems(probe: Mapping[str, Any], *, liveness: bool) -> Iterator[tuple[str, str]]:
    """`(field, problem)` for what a health check of its type lacks (contract C.5). `probe` has all fields."""
    kind = probe["type"]
    if kind in ("http", "tcp") and probe["port"] is None:
        yield "port", f"is required for a check of type {kind}"
    if kind == "http" and not probe["path"]:
        yield "path", "is required for a check of type http"
    if kind == "exec" and not probe["command"]:
        yield "command", "is required for a check of type exec, with at least one item"
    if liveness and probe["success_threshold"] != 1:
        yield "success_threshold", "must be 1 for a liveness probe"


def cleaned_resources(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The stored form of ResourceRequirements: empty values dropped, nothing left = null."""
    if given is None:
        return None
    parts = {
        part: {key: text for key, text in (given.get(part) or {}).items() if text != ""} or None
        for part in ("requests", "limits")
    }
    return parts if any(parts.values()) else None


def privileged_containers(containers: list[dict[str, Any]]) -> list[str]:
    """Names of the containers that ask for all rights on their machine."""
    return [container["name"] for container in containers if container.get("privileged")]
