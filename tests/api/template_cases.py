"""What the tests of templates share: both kinds, and the least body that is accepted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import AppTemplateFactory, JobTemplateFactory

KINDS = [
    pytest.param("/app-templates", AppTemplateFactory, "App template", "app_template", id="app"),
    pytest.param("/job-templates", JobTemplateFactory, "Job template", "job_template", id="job"),
]
ROUTES = pytest.mark.parametrize(("route", "factory", "label", "resource"), KINDS)
CONTAINER = {"name": "web", "image": "nginx:1"}


def body(**changes: Any) -> dict[str, Any]:
    """A create body, changed."""
    return {"name": "My App", "project_id": "p1", "containers": [CONTAINER]} | changes
