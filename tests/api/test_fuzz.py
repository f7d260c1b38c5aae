"""Random requests over the whole document, always the same ones: no fault of the server, no answer the document lacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from secflow import urls
from secflow.http.tokens import token_pair
from secflow.projects.models import ProjectMember
from tests.factories import PROJECT, AppTemplateFactory, InstanceFactory, JobTemplateFactory, NodeFactory, UserFactory

DOCUMENT = schemathesis.openapi.from_path(Path(urls.__file__).with_name("openapi.yaml"))
# A run of tests lasts as long as the slowest promise allows: enough examples to meet every field, not every pair of them.
EXAMPLES = 12
# It asks the cluster, which is not there; tests/api/test_health.py has it.
EXCLUDED = "/api/workflow/ready"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture
def known(db: None, settings: Any) -> Iterator[dict[str, str]]:
    """Ids that exist, by path parameter, and the token of their owner. Waiting for a cluster that is not there is cut short."""
    settings.SECFLOW = replace(settings.SECFLOW, wait_seconds=0.0)
    user = UserFactory()
    owner = str(user.pk)
    ProjectMember.objects.create(project_id=PROJECT, user_id=owner, role="manager")
    instance = InstanceFactory(created_by=owner)
    yield {
        "app_template": AppTemplateFactory(created_by=owner).id,
        "job_template": JobTemplateFactory(created_by=owner).id,
        "instance_id": instance.id,
        "node_id": NodeFactory(instance=instance).id,
        "token": token_pair(user)["access"],
    }


@DOCUMENT.exclude(path=EXCLUDED).parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@seed(20260225)
def test_no_request_breaks_the_service(case: schemathesis.Case, known: dict[str, str]) -> None:
    place(case, known)
    case.headers["Authorization"] = f"Bearer {known['token']}"

    response = case.call(app=get_wsgi_application())

    case.validate_response(response, checks=CHECKS)


def place(case: schemathesis.Case, known: dict[str, str]) -> None:
    """Half of the requests, chosen by their own content, go to resources that exist."""
    if len(repr(case.body)) % 2:
        return
    kind = "job_template" if "job-templates" in case.path else "app_template"
    for name in case.path_parameters:
        case.path_parameters[name] = known[kind if name == "template_id" else name]
