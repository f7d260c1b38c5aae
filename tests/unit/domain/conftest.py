"""The same examples on every machine: a property that fails here fails everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from workflows.domain.inputs import NodeView, TemplateView

settings.register_profile("fixed", derandomize=True, database=None, deadline=None, max_examples=60)
settings.load_profile("fixed")


@pytest.fixture(scope="session")
def make_node() -> Callable[..., NodeView]:
    """A node with its template; containers and template fields as keywords, everything else as in NodeView."""

    def make(id: str = "n", *, containers: list[dict[str, Any]] | None = None, **given: Any) -> NodeView:
        kind = given.pop("node_type", "app")
        template = TemplateView(
            id=f"template-of-{id}",
            kind=kind,
            containers=[{"name": "main", "image": "busybox"}] if containers is None else containers,
            **given.pop("template", {}),
        )
        lists = {key: given.pop(key, []) for key in _LISTS}
        return NodeView(id=id, name=f"node {id}", node_type=kind, template=template, **lists, **given)

    return make


_LISTS = ("env_vars", "volume_mounts", "input_env_vars", "input_volume_mounts")
