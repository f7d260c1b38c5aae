"""Ids of resources (contract A.8): `<prefix>-<slug>-<suffix>`. Kubernetes names use the random suffix."""

from __future__ import annotations

import re
from collections.abc import Callable

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
SUFFIX_LENGTH = 8
SLUG_LIMIT = 40

TEMPLATE, INSTANCE, NODE = "wf-tmpl", "wf-inst", "wf-node"


def slug_of(name: str) -> str:
    """Lower-case letters, digits and single dashes, 1 to 40 characters; `x` when nothing of the name is left."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:SLUG_LIMIT].strip("-")
    return slug or "x"


def new_suffix(choice: Callable[[str], str]) -> str:
    """Eight random characters; `choice` picks one of a text, such as `secrets.choice`."""
    return "".join(choice(ALPHABET) for _ in range(SUFFIX_LENGTH))


def make_id(prefix: str, name: str, suffix: str) -> str:
    """An id of at most 63 characters: it is a valid label value and ends in the suffix."""
    return f"{prefix}-{slug_of(name)}-{suffix}"


def suffix_of(id: str) -> str:
    """The random part of an id."""
    return id.rpartition("-")[2]
