"""Workflows are looked at, taken out and brought in as files, in the console."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from secflow.http.roles import Role
from templates_app.models import JobTemplate
from tests.admin.building import INSTANCES, asking
from tests.admin.conftest import said, signed_in, with_roles
from tests.admin.pages import form_of
from tests.factories import InstanceFactory, JobTemplateFactory, NodeFactory, ProjectMemberFactory
from workflows.models import WorkflowInstance, WorkflowNode

IMPORT = f"{INSTANCES}import/"
FILE = """
apiVersion: secflow.io/v1
kind: Workflow
metadata: {name: nightly scan, project: p1}
spec:
  templates:
    hello: {kind: job, containers: [{name: main, image: "busybox:1.36", command: [echo, hello]}]}
  nodes:
    - {name: first, template: hello}
    - {name: second, template: hello}
  edges:
    - {from: first, to: second}
"""


def bring_in(client: Client, text: str) -> Any:
    """Shows what the file would do, then presses the button."""
    shown = client.post(IMPORT, {"source": text})
    return client.post(IMPORT, form_of(shown, "_planned") | {"_apply": "1"}, follow=True)


def test_a_file_is_shown_before_it_is_applied(admin: Client) -> None:
    shown = admin.post(IMPORT, {"source": FILE})
    page = shown.content.decode()
    before = WorkflowInstance.objects.count(), JobTemplate.objects.count()

    applied = admin.post(IMPORT, form_of(shown, "_planned") | {"_apply": "1"}, follow=True)

    assert before == (0, 0)
    assert "created</span> workflow <strong>nightly scan" in page
    assert "kind: Job" in page
    assert said(applied) == ["nightly scan: created."]
    assert sorted(WorkflowNode.objects.values_list("name", flat=True)) == ["first", "second"]


def test_what_was_exported_is_brought_in_unchanged(admin: Client) -> None:
    bring_in(admin, FILE)
    instance = WorkflowInstance.objects.get()

    address = reverse("admin:workflows_workflowinstance_export_button", args=[instance.pk])
    sent = admin.get(address)
    back = bring_in(admin, sent.content.decode())

    assert sent["Content-Disposition"] == 'attachment; filename="nightly-scan.yaml"'
    assert said(back) == ["nightly scan: unchanged."]
    assert WorkflowInstance.objects.get().version == instance.version


def test_a_file_is_uploaded(admin: Client) -> None:
    upload = SimpleUploadedFile("scan.yaml", FILE.encode())

    page = admin.post(IMPORT, {"file": upload, "source": ""})

    assert form_of(page, "_planned")["source"].replace("\r\n", "\n") == FILE


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("", "choose a file or paste its text"),
        ("a: [", "the file is not valid YAML"),
        (FILE.replace("template: hello}\n    - ", "template: helo}\n    - "), "helo"),
        (FILE.replace("to: second", "to: first"), "It would be refused"),
    ],
)
def test_a_wrong_file_is_explained_and_cannot_be_applied(admin: Client, source: str, sentence: str) -> None:
    page = admin.post(IMPORT, {"source": source}).content.decode()

    assert sentence in page
    assert 'name="_apply"' not in page


def test_nothing_is_applied_that_was_not_shown(admin: Client) -> None:
    shown = form_of(admin.post(IMPORT, {"source": FILE}), "_planned")
    bring_in(admin, FILE.replace("first", "other"))

    late = admin.post(IMPORT, shown | {"_apply": "1"})

    assert "Nothing was applied" in late.content.decode()
    assert sorted(WorkflowNode.objects.values_list("name", flat=True)) == ["other", "second"]
    assert "updated</span> workflow" in late.content.decode()


def test_a_dry_run_shows_objects_and_findings(admin: Client) -> None:
    node = NodeFactory(name="<b>crawl</b>", template_id=JobTemplateFactory(containers=asking("TARGET")).pk)
    url = re.search(r'href="([^"]*dry-run[^"]*)"', admin.get(f"{INSTANCES}{node.instance_id}/change/").content.decode())

    assert url is not None
    page = admin.get(url[1]).content.decode()

    assert "variable TARGET has no value" in page
    assert "kind: Job" in page
    assert "<b>crawl" not in page
    assert f"/nodes/{node.pk}/edit/" in page


def test_who_may_only_look_may_take_out_and_not_bring_in(viewer: Client) -> None:
    instance = InstanceFactory()

    assert viewer.get(f"{INSTANCES}{instance.pk}/dry-run/", follow=True).status_code == 200
    assert viewer.get(IMPORT).status_code == 403
    assert viewer.post(IMPORT, {"source": FILE}).status_code == 403
    assert "/import" not in viewer.get(INSTANCES).content.decode()


def test_a_file_for_a_foreign_project_is_refused_with_the_apis_sentence(db: None) -> None:
    ProjectMemberFactory(project_id="p1", user_id="0")
    client = signed_in(with_roles("member", Role.MEMBER, projects=["p2"]))

    page = client.post(IMPORT, {"source": FILE}).content.decode()

    assert "only members of project p1 may create in it" in page
    assert not WorkflowInstance.objects.exists()
