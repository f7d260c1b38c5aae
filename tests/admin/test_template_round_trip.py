"""A form that is opened and saved untouched changes nothing, whatever a valid template holds."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secflow.console.bodies.body import Body
from secflow.console.bodies.words import joined_words, split_words
from templates_app.admin_parts import template_parts
from templates_app.api.serializers import AppTemplateInput, JobTemplateInput
from templates_app.kinds import APP, JOB, TemplateKind
from templates_app.models import AppTemplate, JobTemplate
from tests.admin.pages import form_of
from tests.factories import AppTemplateFactory, JobTemplateFactory

INPUTS = {APP: AppTemplateInput, JOB: JobTemplateInput}
PATHS = {APP: "/admin/templates_app/apptemplate/", JOB: "/admin/templates_app/jobtemplate/"}

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12).filter(str.strip)
ENV_NAME = st.from_regex(r"[A-Z_][A-Z0-9_.-]{0,6}", fullmatch=True)
PATH = st.from_regex(r"/data/[a-z0-9/]{0,6}", fullmatch=True)
QUANTITY = st.sampled_from(["100m", "1", "0.5", "128Mi", "1e3"])
KEY = st.sampled_from(["cpu", "memory", "example.com/gpu", "ephemeral-storage"])


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values or null."""
    return st.none() | values


def rows(item: st.SearchStrategy[Any], *, by: Any) -> st.SearchStrategy[Any]:
    """A few items that differ in something."""
    return st.lists(item, max_size=3, unique_by=by)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """JSON objects."""
    return st.fixed_dictionaries(fields)


RESOURCES = objects(requests=st.none(), limits=optional(st.dictionaries(KEY, QUANTITY, max_size=4))) | objects(
    requests=optional(st.dictionaries(KEY, QUANTITY, max_size=4)), limits=st.none()
)
NUMBER = st.integers(1, 100_000)
PROBE = objects(
    type=st.just("exec"), command=st.lists(TEXT, min_size=1, max_size=3), port=optional(st.integers(1, 65535)),
    path=optional(LINE), initial_delay_seconds=NUMBER, period_seconds=NUMBER, timeout_seconds=NUMBER,
    failure_threshold=NUMBER,
) | objects(type=st.just("http"), port=st.integers(1, 65535), path=LINE)  # fmt: skip


def containers(kind: TemplateKind) -> st.SearchStrategy[Any]:
    """Containers with everything that the contract allows."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "name": LINE,
        "image": st.from_regex(r"[a-z]{1,5}(:[a-z0-9.]{1,4})?", fullmatch=True),
        "command": optional(st.lists(TEXT, max_size=4)),
        "args": optional(st.lists(TEXT, max_size=4)),
        "env_vars": rows(objects(name=ENV_NAME, value=TEXT), by=lambda item: item["name"]),
        "volume_mounts": rows(
            objects(pvc_name=LINE, mount_path=PATH, sub_path=optional(st.just("a b")), read_only=st.booleans()),
            by=lambda item: item["mount_path"].strip("/").replace("//", "/"),
        ),
        "input_env_vars": rows(objects(name=ENV_NAME, default_value=optional(TEXT)), by=lambda item: item["name"]),
        "input_volume_mounts": rows(
            objects(mount_path=PATH, read_only=st.booleans()),
            by=lambda item: item["mount_path"].strip("/").replace("//", "/"),
        ),
        "image_pull_policy": st.sampled_from(["Always", "IfNotPresent", "Never"]),
        "resources": optional(RESOURCES),
    }
    if kind is APP:
        fields |= {"liveness_probe": optional(PROBE), "readiness_probe": optional(PROBE)}
    return st.lists(objects(**fields), min_size=1, max_size=2, unique_by=lambda item: item["name"])


def bodies(kind: TemplateKind) -> st.SearchStrategy[Any]:
    """Whole templates, as the API stores them."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "name": LINE,
        "description": optional(TEXT),
        "project_id": st.just("p1"),
        "containers": containers(kind),
    }
    port = objects(name=LINE, port=st.integers(1, 65535), target_port=st.integers(1, 65535))
    if kind is APP:
        fields |= {
            "replicas": st.integers(1, 5),
            "create_service": st.booleans(),
            "service_name": optional(st.just("web")),
            "service_type": st.sampled_from(["ClusterIP", "LoadBalancer", "NodePort"]),
            "service_ports": st.lists(port, max_size=2, unique_by=(lambda item: item["name"], lambda i: i["port"])),
        }
    else:
        fields |= {
            "backoff_limit": st.integers(0, 9),
            "ttl_seconds_after_finished": optional(st.integers(0, 9999)),
        }

    def stored(body: dict[str, Any]) -> dict[str, Any] | None:
        serializer = INPUTS[kind](data=body)
        return dict(serializer.validated_data) if serializer.is_valid() else None

    return objects(**fields).map(stored).filter(lambda body: body is not None)


@pytest.mark.parametrize("kind", [APP, JOB], ids=["app", "job"])
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_form_saved_untouched_changes_nothing(admin: Client, kind: TemplateKind, data: st.DataObject) -> None:
    body = data.draw(bodies(kind))
    row = (AppTemplateFactory if kind is APP else JobTemplateFactory)(**body)
    before = kind.model.objects.values().get(pk=row.pk)
    address = f"{PATHS[kind]}{row.pk}/change/"

    saved = admin.post(address, form_of(admin.get(address)))

    assert saved.status_code == 302
    assert kind.model.objects.values().get(pk=row.pk) == before


@pytest.mark.parametrize("kind", [APP, JOB], ids=["app", "job"])
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_copy_typed_anew_is_equal(admin: Client, kind: TemplateKind, data: st.DataObject) -> None:
    body = data.draw(bodies(kind))
    row = (AppTemplateFactory if kind is APP else JobTemplateFactory)(**body)
    sent = form_of(admin.get(f"{PATHS[kind]}{row.pk}/change/"))
    kind.model.objects.all().delete()

    made = admin.post(f"{PATHS[kind]}add/", sent)

    assert made.status_code == 302, made.context["adminform"].form.errors
    copy = kind.model.objects.get()
    for name in body:
        assert read_alike(getattr(copy, name)) == read_alike(body[name]), name


def read_alike(value: Any) -> Any:
    """What an input can hold of a value: one kind of line end, and nothing instead of an empty list or text."""
    if isinstance(value, dict):
        return {key: read_alike(item) for key, item in value.items()}
    if isinstance(value, list):
        return [read_alike(item) for item in value] or None
    if isinstance(value, str):
        return value.replace("\r\n", "\n").replace("\r", "\n") or None
    return value


@given(st.lists(TEXT))
def test_words_come_back_as_they_were(words: list[str]) -> None:
    assert split_words(joined_words(words)) == words


def test_what_a_form_does_not_show_stays(admin: Client) -> None:
    containers = [
        {
            "name": "main",
            "image": "a:1",
            "note": "of an older version",
            "env_vars": [{"name": "A", "value": "1", "x": 1}],
        }
    ]
    row = JobTemplateFactory(containers=containers, name="before")
    address = f"/admin/templates_app/jobtemplate/{row.pk}/change/"

    admin.post(address, form_of(admin.get(address)) | {"name": "after"})

    assert (JobTemplate.objects.get().name, JobTemplate.objects.get().containers) == ("after", containers)


def test_both_kinds_have_an_input_for_every_field() -> None:
    """A field that the API gets must not be forgotten here."""
    for kind, model in ((APP, AppTemplate), (JOB, JobTemplate)):
        parts, folds = template_parts(kind, [])
        names = [part.name for part in parts]
        assert set(names) == set(INPUTS[kind]().fields)
        assert sorted(name for fold in folds for name in fold.names) == sorted(names)
        assert Body(parts, stored={"name": "x"}).stored == {"name": "x"}
        assert model._meta.get_field("containers")
