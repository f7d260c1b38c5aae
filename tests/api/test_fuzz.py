"""Random requests over the whole document, always the same ones: no fault of the server, no answer the document
lacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
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
# A run of tests lasts as long as the slowest promise allows: enough examples to meet every field, not every pair of
# them.
EXAMPLES = 25
# It asks the cluster, which is not there; tests/api/test_health.py has it.
EXCLUDED = "/api/workflow/ready"
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture
def known(db: None, settings: Any) -> Iterator[dict[str, str]]:
    """Ids that exist, by path parameter, and the token of their owner. Waiting for a cluster that is not there is cut
    short.
    """
    settings.SECFLOW = replace(settings.SECFLOW, wait_seconds=0.0)
    user = UserFactory()
    owner = str(user.pk)
    ProjectMember.objects.create(project_id=PROJECT, user_id=owner, role="manager")
    instance = InstanceFactory(created_by=owner)
    # A real server gives its connection back after each request; here that would end the test's transaction.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield {
        "app_template": AppTemplateFactory(created_by=owner).id,
        "job_template": JobTemplateFactory(created_by=owner).id,
        "instance_id": instance.id,
        "node_id": NodeFactory(instance=instance).id,
        "token": token_pair(user)["access"],
    }
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@cache
def application() -> Any:
    """The whole service as a WSGI application, made when the first test has its settings."""
    return get_wsgi_application()


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
    # Waiting for events that do not come is no fault, only long.
    (case.query or {}).pop("wait", None)

    response = case.call(app=application())

    outage = response.status_code == 500 and is_outage_of_the_cluster(response.json())
    case.validate_response(response, checks=CHECKS if outage else [*CHECKS, not_a_server_error])


def is_outage_of_the_cluster(answer: dict[str, Any]) -> bool:
    """Whether it says what is true here: there is no cluster. The contract answers 500 then (D.4)."""
    return answer["code"] == "INTERNAL_ERROR" and answer["message"].startswith("the cluster cannot be used now")


def place(case: schemathesis.Case, known: dict[str, str]) -> None:
    """Half of the requests, chosen by their own content, go to resources that exist."""
    if sum(map(ord, repr((case.path_parameters, case.body)))) % 2:
        return
    kind = "job_template" if "job-templates" in case.path else "app_template"
    for name in case.path_parameters:
        case.path_parameters[name] = known[kind if name == "template_id" else name]
