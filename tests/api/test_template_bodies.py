"""Every bad value of a template gets 400 and names its field (contract A.4, C.1 to C.5)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from templates_app.models import AppTemplate, JobTemplate
from tests.api.conftest import Api
from tests.factories import AppTemplateFactory, JobTemplateFactory

HTTP = {"type": "http", "port": 80, "path": "/"}
GOOD: dict[str, Any] = {
    "name": "a",
    "project_id": "p1",
    "containers": [
        {
            "name": "c",
            "image": "x",
            "env_vars": [{"name": "A", "value": "1"}],
            "volume_mounts": [{"pvc_name": "p", "mount_path": "/d"}],
            "input_env_vars": [{"name": "B"}],
            "input_volume_mounts": [{"mount_path": "/i"}],
            "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}},
            "liveness_probe": dict(HTTP),
            "readiness_probe": dict(HTTP),
        }
    ],
    "service_ports": [{"name": "http", "port": 80, "target_port": 80}],
}
MISSING = object()

WRONG_TYPES: list[tuple[str, list[Any]]] = [
    ("name", [MISSING, None, "", "   ", 5, True, [], {}, "x" * 129, "a\nb", "a\x1b[0m", "a\x7f"]),
    ("description", [5, [], {}, "bell\x07"]),
    ("scope", ["other", 1, None, [], {}, "Global", "project "]),
    ("project_id", [5, ["p1"], "x" * 65, "a\nb"]),
    ("containers", [MISSING, None, [], {}, "c", 5, [None], [[]], ["c"], [5]]),
    ("containers.0.name", [MISSING, None, "", " ", 5, "x" * 129, "a\tb"]),
    ("containers.0.image", [MISSING, None, "", 5, "a b", "-x", "http://x/y", "x" * 1025]),
    ("containers.0.command", ["sh", {}, [1], [None], [["sh"]], 5]),
    ("containers.0.args", ["sh", [True]]),
    ("containers.0.env_vars", [None, {}, "A", [None], [5]]),
    ("containers.0.env_vars.0.name", [MISSING, None, "", "1A", "A=B", "A B", 5, "a\n", "x" * 1025]),
    ("containers.0.env_vars.0.value", [MISSING, None, 5, True, [], {}, "x" * 262_145]),
    ("containers.0.volume_mounts", [None, {}, [5]]),
    ("containers.0.volume_mounts.0.pvc_name", [MISSING, None, "", " ", 5, "x" * 254]),
    (
        "containers.0.volume_mounts.0.mount_path",
        [MISSING, None, "", "d", "/a/../b", "/..", "/a:b", "/", "/proc/1", "/sys", 5, "/" + "x" * 5000],
    ),
    ("containers.0.volume_mounts.0.sub_path", ["/abs", "..", "a/../../b", 5, "x" * 5000]),
    ("containers.0.volume_mounts.0.read_only", [None, 1, 0, "true", "null", [], {}]),
    ("containers.0.input_env_vars", [None, {}, [5]]),
    ("containers.0.input_env_vars.0.name", [MISSING, None, "", "A=B"]),
    ("containers.0.input_env_vars.0.default_value", [5, [], {}]),
    ("containers.0.input_volume_mounts.0.mount_path", [MISSING, None, "", "relative"]),
    ("containers.0.input_volume_mounts.0.read_only", [None, "yes"]),
    ("containers.0.privileged", [None, "true", 1, []]),
    ("containers.0.image_pull_policy", [None, "always", 1]),
    ("containers.0.resources", ["1", [], 5, True]),
    ("containers.0.resources.requests", ["1", [], 5]),
    ("containers.0.resources.requests.cpu", [1, None, "abc", "-1", "1e99", "NaN", "2", [], {}, "1 "[:1] + " 5"]),
    ("containers.0.resources.limits.cpu", [1, "1mb", "0.5x"]),
    ("containers.0.liveness_probe", ["http", [], 5]),
    ("containers.0.liveness_probe.type", [MISSING, None, "", "grpc", "HTTP", 5]),
    ("containers.0.liveness_probe.port", [MISSING, None, 0, 65536, -1, "80", 80.0, True, 10**30]),
    ("containers.0.liveness_probe.path", [MISSING, None, "", 5]),
    ("containers.0.liveness_probe.success_threshold", [0, 2, None, "1"]),
    ("containers.0.readiness_probe.initial_delay_seconds", [-1, None, 1.5, "1", True, 2**31]),
    ("containers.0.readiness_probe.period_seconds", [0, -1]),
    ("containers.0.readiness_probe.timeout_seconds", [0]),
    ("containers.0.readiness_probe.failure_threshold", [0]),
    ("containers.0.readiness_probe.success_threshold", [0]),
    ("service_ports", [None, {}, [5], "80"]),
    ("service_ports.0.name", [MISSING, None, "", 5]),
    ("service_ports.0.port", [MISSING, None, 0, 65536, "80", 80.0, True]),
    ("service_ports.0.target_port", [MISSING, None, 0, 65536, "http"]),
    ("service_ports.0.protocol", [None, "tcp", "HTTP"]),
    ("service_name", ["My-App", "a_b", "-a", "a-", "a" * 64, "1a", "a.b", 5, "ä"]),
    ("create_service", [None, "true", 1]),
    ("service_type", [None, "ExternalName", "clusterip", 1]),
    ("replicas", [None, 0, -1, "1", 1.0, True, 11, 2**31, 10**30]),
]
CASES = [(path, value) for path, values in WRONG_TYPES for value in values]


def shown(value: Any) -> str:
    return "missing" if value is MISSING else repr(value)[:24]


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with another value at a dotted path, or without it."""
    copy = deepcopy(document)
    place: Any = copy
    *way, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    for part in way:
        place = place[part]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return copy


def test_the_good_body_is_good(member: Api) -> None:
    member.send("POST", "/app-templates", GOOD, status=201)


@pytest.mark.parametrize(("path", "value"), CASES, ids=[f"{path}-{shown(value)}" for path, value in CASES])
def test_a_bad_value_is_400_and_named(member: Api, path: str, value: Any) -> None:
    answer = member.refused("POST", "/app-templates", changed(GOOD, path, value), status=400)

    assert answer["code"] == "VALIDATION_ERROR"
    fields = [item["field"] for item in answer["details"]["fields"]]
    assert all(field.startswith(path) for field in fields)
    assert all(item["message"] for item in answer["details"]["fields"])
    assert not AppTemplate.objects.exists()


@pytest.mark.parametrize(("path", "value"), CASES, ids=[f"{path}-{shown(value)}" for path, value in CASES])
def test_a_bad_change_is_400_and_changes_nothing(member: Api, path: str, value: Any) -> None:
    template = AppTemplateFactory(created_by=member.user_id)
    before = AppTemplate.objects.values().get()
    whole = "." not in path and value is MISSING

    response = member.call("PUT", f"/app-templates/{template.id}", changed(GOOD, path, value))

    # A whole field that is absent stays as it is; anything absent inside a given field is still demanded.
    assert response.status_code == (200 if whole else 400)
    assert whole or AppTemplate.objects.values().get() == before


@pytest.mark.parametrize(
    ("path", "items"),
    [
        ("containers", [{"name": "c", "image": "x"}, {"name": "c", "image": "y"}]),
        ("containers.0.volume_mounts", [{"pvc_name": "a", "mount_path": "/d"}, {"pvc_name": "b", "mount_path": "/d/"}]),
        ("containers.0.input_env_vars", [{"name": "A"}, {"name": "A"}]),
        ("containers.0.input_volume_mounts", [{"mount_path": "/d"}, {"mount_path": "/d"}]),
        (
            "service_ports",
            [{"name": "a", "port": 1, "target_port": 1}, {"name": "a", "port": 2, "target_port": 1}],
        ),
        (
            "service_ports",
            [{"name": "a", "port": 1, "target_port": 1}, {"name": "b", "port": 1, "target_port": 2}],
        ),
    ],
)
def test_items_that_must_differ_are_compared(member: Api, path: str, items: list[Any]) -> None:
    answer = member.refused("POST", "/app-templates", changed(GOOD, path, items), status=400)

    assert [item["field"].rpartition(".")[0] for item in answer["details"]["fields"]] == [f"{path}.1"]


def test_one_port_may_serve_two_protocols(member: Api) -> None:
    ports = [
        {"name": "a", "port": 53, "target_port": 53},
        {"name": "b", "port": 53, "target_port": 53, "protocol": "UDP"},
    ]

    assert len(member.send("POST", "/app-templates", GOOD | {"service_ports": ports}, status=201)["service_ports"]) == 2


@pytest.mark.parametrize("key", ["id", "node_id"])
@pytest.mark.parametrize("value", ["wf-tmpl-mine-12345678", None, 5])
def test_a_caller_cannot_choose_an_id(member: Api, key: str, value: Any) -> None:
    answer = member.refused("POST", "/app-templates", GOOD | {key: value}, status=400)

    assert [item["field"] for item in answer["details"]["fields"]] == [key]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("backoff_limit", None),
        ("backoff_limit", -1),
        ("backoff_limit", "3"),
        ("backoff_limit", 2**31),
        ("ttl_seconds_after_finished", -1),
        ("ttl_seconds_after_finished", 1.0),
        ("ttl_seconds_after_finished", "3600"),
        ("ttl_seconds_after_finished", 2**31),
    ],
)
def test_job_numbers_have_limits(member: Api, field: str, value: Any) -> None:
    template = JobTemplateFactory(created_by=member.user_id)
    sent = {"name": "a", "project_id": "p1", "containers": [{"name": "c", "image": "x"}], field: value}

    answer = member.refused("POST", "/job-templates", sent, status=400)
    member.refused("PUT", f"/job-templates/{template.id}", {field: value}, status=400)

    assert [item["field"] for item in answer["details"]["fields"]] == [field]
    assert JobTemplate.objects.count() == 1


def test_a_finished_job_may_stay_forever(member: Api) -> None:
    template = JobTemplateFactory(created_by=member.user_id)

    changed_ = member.send("PUT", f"/job-templates/{template.id}", {"ttl_seconds_after_finished": None})

    assert changed_["ttl_seconds_after_finished"] is None


def test_read_only_and_unknown_fields_are_ignored(member: Api) -> None:
    sent = GOOD | {"created_by": "root", "created_at": "x", "status": "running", "foo": {"deep": [1]}, "owner": 1}

    made = member.send("POST", "/app-templates", sent, status=201)

    assert made["created_by"] == member.user_id
    assert "foo" not in made


@pytest.mark.parametrize("length", [0, 1, 62, 63, 64, 253, 254, 65536])
@pytest.mark.parametrize("letter", ["a", "A", "-", "é", "𝔸"])
def test_no_length_of_any_text_breaks_the_service(member: Api, length: int, letter: str) -> None:
    text = letter * length
    for path in (
        "name",
        "description",
        "project_id",
        "service_name",
        "containers.0.name",
        "containers.0.image",
        "containers.0.env_vars.0.name",
        "containers.0.env_vars.0.value",
        "containers.0.volume_mounts.0.sub_path",
        "service_ports.0.name",
    ):
        response = member.call("POST", "/app-templates", changed(GOOD, path, text))
        assert response.status_code in (201, 400, 403), path
