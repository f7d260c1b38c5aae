from __future__ import annotations

import json
import pickle

import pytest

from k8s_bridge import errors
from k8s_bridge.errors import error_from_answer

RBAC = 'jobs.batch is forbidden: User "system:serviceaccount:a:b" cannot create resource "jobs" in API group "batch"'
QUOTA = 'pods "x" is forbidden: exceeded quota: q, requested: cpu=1, used: cpu=2, limited: cpu=2'
TERMINATING = 'jobs.batch "x" is forbidden: unable to create new content in namespace n because it is being terminated'
WEBHOOK = 'admission webhook "policy.example.org" denied the request: no latest tags'
QUOTA_RACE = 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified'
UID = "the UID in the precondition (a) does not match the UID in record (b)"


@pytest.mark.parametrize(
    ("status", "reason", "message", "expected", "retryable"),
    [
        (400, "BadRequest", "no such field", errors.Rejected, False),
        (400, "", WEBHOOK, errors.Rejected, False),
        (401, "Unauthorized", "Unauthorized", errors.NotAllowed, False),
        (403, "Forbidden", RBAC, errors.NotAllowed, False),
        (403, "Forbidden", "", errors.NotAllowed, False),
        (403, "Forbidden", QUOTA, errors.QuotaExceeded, True),
        (403, "Forbidden", TERMINATING, errors.NamespaceTerminating, False),
        (403, "Forbidden", WEBHOOK, errors.Rejected, False),
        (403, "Forbidden", 'pods "x" is forbidden: violates PodSecurity "restricted:latest"', errors.Rejected, False),
        (404, "NotFound", 'namespaces "n" not found', errors.NotFound, False),
        (408, "Timeout", "slow", errors.ServerTrouble, True),
        (409, "AlreadyExists", 'jobs.batch "x" already exists', errors.AlreadyExists, False),
        (409, "Conflict", UID, errors.StaleVersion, True),
        (409, "Conflict", QUOTA_RACE, errors.QuotaExceeded, True),
        (410, "Expired", "too old resource version: 1 (9)", errors.Expired, True),
        (413, "RequestEntityTooLarge", "limit is 3145728", errors.Rejected, False),
        (415, "UnsupportedMediaType", "no", errors.Rejected, False),
        (422, "Invalid", 'Job.batch "x" is invalid: spec: Required value', errors.Rejected, False),
        (429, "TooManyRequests", "later", errors.Throttled, True),
        (302, "", "moved", errors.ServerTrouble, True),
        (500, "InternalError", "etcdserver: leader changed", errors.ServerTrouble, True),
        (503, "ServiceUnavailable", "down", errors.ServerTrouble, True),
        (504, "Timeout", "slow", errors.ServerTrouble, True),
    ],
)
def test_status_and_text_decide_the_class(
    status: int, reason: str, message: str, expected: type[errors.ClusterError], retryable: bool
) -> None:
    body = json.dumps({"kind": "Status", "code": status, "reason": reason, "message": message})

    error = error_from_answer(status, body, verb="create", resource="jobs")

    assert type(error) is expected
    assert error.status == status
    assert error.retryable is retryable
    assert message in error.message


def test_terminating_is_also_known_by_its_cause() -> None:
    body = {"message": "forbidden: no", "details": {"causes": [{"reason": "NamespaceTerminating"}]}}

    error = error_from_answer(403, body, verb="create", resource="jobs")

    assert type(error) is errors.NamespaceTerminating


def test_missing_right_names_verb_and_resource() -> None:
    error = error_from_answer(403, {"message": RBAC}, verb="create", resource="jobs")

    assert error.message == f"Not allowed to create jobs: {RBAC}"


@pytest.mark.parametrize(
    ("header", "details", "expected"),
    [
        ("7", {}, 7.0),
        (None, {"retryAfterSeconds": 3}, 3.0),
        ("2", {"retryAfterSeconds": 3}, 2.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", {}, None),
        ("-1", {}, None),
        ("inf", {}, None),
        ("nan", {}, None),
        (None, {}, None),
    ],
)
def test_wish_for_a_pause_is_carried(header: str | None, details: dict[str, int], expected: float | None) -> None:
    body = {"message": "later", "details": details}

    error = error_from_answer(429, body, verb="list", resource="pods", retry_after=header)

    assert error.retry_after == expected


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"\xff\xfe", b"[1, 2]", b"null", b'"text"', b""])
def test_answers_that_are_no_status_object_are_understood(body: bytes) -> None:
    error = error_from_answer(502, body, verb="list", resource="pods")

    assert type(error) is errors.ServerTrouble
    assert error.message.startswith("The cluster answered 502 to list pods: ")


def test_long_answers_are_clipped() -> None:
    error = error_from_answer(500, b"x" * 100_000, verb="list", resource="pods")

    assert len(error.message) == errors.BODY_LIMIT
    assert error.message.endswith("x...")


def test_errors_survive_a_trip_between_processes() -> None:
    error = errors.Throttled("later", status=429, retry_after=3.0)

    again = pickle.loads(pickle.dumps(error))

    assert (type(again), again.message, again.status, again.retryable, again.retry_after) == (
        errors.Throttled,
        "later",
        429,
        True,
        3.0,
    )
