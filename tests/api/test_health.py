"""Health routes (contract J)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.conftest import Api
from workflows.services import health


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts fresh checks in place, with other questions where given."""

    def put(**questions: Callable[[], object]) -> None:
        asked = {"database": health.ask_database, "queue": health.ask_queue, "cluster": health.ask_cluster} | questions
        monkeypatch.setattr(health, "_checks", {name: health.Check(ask) for name, ask in asked.items()})

    put(cluster=lambda: None)
    return put


def broken() -> None:
    raise ConnectionError("postgresql://secret@db.internal")


@pytest.mark.parametrize("path", ["/health", "/livez"])
def test_health_asks_nothing(anonymous: Api, parts: Callable[..., None], path: str) -> None:
    parts(database=broken, queue=broken, cluster=broken)

    assert anonymous.read(path) == {"status": "ok", "service": "secflow-workflow-service"}


def test_health_needs_no_valid_token(anonymous: Api) -> None:
    assert anonymous.call("GET", "/health", Authorization="Bearer nonsense").status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/ready", "/readyz"])
def test_ready_when_database_and_queue_answer(parts: Callable[..., None], path: str) -> None:
    assert Api().read(path) == {"status": "ready"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.cluster
def test_ready_with_a_real_cluster(parts: Callable[..., None], cluster_kubeconfig: Path) -> None:
    parts()

    assert Api().read("/ready") == {"status": "ready"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("part", ["database", "queue", "cluster"])
def test_not_ready_says_which_part_and_no_address(parts: Callable[..., None], part: str) -> None:
    parts(**{"cluster": lambda: None, part: broken})

    response = Api().call("GET", "/ready")

    expected = {"database": "ok", "queue": "ok", "cluster": "ok"} | {part: "not usable"}
    assert response.status_code == 503
    assert response.json() == {"status": "not_ready", "checks": expected}


@pytest.mark.django_db(transaction=True)
def test_a_part_that_hangs_does_not_hold_the_answer(
    parts: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.2)
    release = threading.Event()
    asked: list[int] = []

    def hangs() -> None:
        asked.append(1)
        release.wait(10)

    parts(cluster=hangs)
    try:
        answers = [Api().call("GET", "/ready").json()["checks"]["cluster"] for _ in range(3)]
    finally:
        release.set()

    assert answers == ["no answer"] * 3
    assert len(asked) == 1


@pytest.mark.django_db(transaction=True)
def test_answers_are_kept_for_a_moment(parts: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_SECONDS", 3600.0)
    asked: list[int] = []
    parts(cluster=lambda: asked.append(1))

    for _ in range(5):
        Api().read("/ready")
    assert len(asked) == 1

    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)
    Api().read("/ready")
    assert len(asked) == 2


def test_only_get_is_served(anonymous: Api) -> None:
    for method in ("POST", "PUT", "DELETE"):
        for path in ("/health", "/ready"):
            anonymous.refused(method, path, status=405)
