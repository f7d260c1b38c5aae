"""The embedded PostgreSQL and Valkey, the step that prepares a database, signs of life and the doctor."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from django.contrib.auth import get_user_model
from django.core.management import call_command

from secflow.runtime import heartbeat, postgres
from secflow.runtime.checkup import Finding, check_broker, check_database, check_processes, check_shards, demand, worst
from secflow.runtime.checkup_cluster import check_cluster
from secflow.runtime.database import ensure_database
from secflow.runtime.errors import StandError
from secflow.runtime.layout import open_layout
from secflow.runtime.parts import assemble
from secflow.runtime.processes import wait_until
from secflow.settings.environment import load
from tests.stack import free_port
from tests.stand import run_services
from workflows.services.sharding import Membership


def test_postgresql_keeps_its_data_and_survives_a_stale_pid_file(tmp_path: Path) -> None:
    layout = open_layout(tmp_path / "stand")
    environ = dict(os.environ)
    address = postgres.address(layout)
    with ExitStack() as stack:
        run_services(stack, postgres.services(layout, environ), layout)
        ensure_database(address, wait_seconds=0)
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    # As after a power cut, with the number of a process that is somebody else's.
    (layout.postgres / "postmaster.pid").write_text(f"{os.getpid()}\n{layout.postgres}\n")

    with ExitStack() as stack:
        services = postgres.services(layout, environ)
        run_services(stack, services, layout)
        with psycopg.connect(address) as connection:
            row = connection.execute("SELECT number, current_setting('synchronous_commit') FROM kept").fetchone()

    assert [service.name for service in services] == ["postgres"]
    assert row == (7, "on")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as somebody else")
def test_root_without_user_namespaces_starts_again_on_what_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no unshare
    environ = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="secflow-test-") as outside:
        Path(outside).chmod(0o711)  # unlike tmp_path, nobody may pass through it
        for _ in range(2):
            layout = open_layout(Path(outside) / "stand")
            services = postgres.services(layout, environ)
            with ExitStack() as stack:
                run_services(stack, services, layout)
                with psycopg.connect(postgres.address(layout), dbname="postgres") as connection:
                    connection.execute("SELECT 1")
        owners = {layout.postgres.owner(), layout.postgres_sockets.owner()}

    assert [service.name for service in services] == ["postgres"]
    assert owners == {"nobody"}
    assert services[0].identity is not None


def test_a_missing_database_is_made_and_an_unreachable_server_is_one_sentence(redis_url: str) -> None:
    parts = urlsplit(os.environ["DATABASE_URL"])
    fresh = urlunsplit(parts._replace(path="/made_by_a_test"))

    ensure_database(fresh, wait_seconds=0)
    ensure_database(fresh, wait_seconds=0)

    with psycopg.connect(fresh) as connection:
        assert connection.info.dbname == "made_by_a_test"
    with pytest.raises(
        StandError, match=r"^PostgreSQL at DATABASE_URL \(127\.0\.0\.1:1\) cannot be used: Connection refused\."
    ):
        ensure_database("postgresql://u:p@127.0.0.1:1/n", wait_seconds=0)


@pytest.mark.django_db(transaction=True)
def test_prepare_makes_the_admin_once_with_a_password_only_its_owner_reads(tmp_path: Path) -> None:
    file = tmp_path / "admin-password"
    users = get_user_model().objects

    call_command("prepare", password_file=file)
    first = file.read_text().strip()
    call_command("prepare", password_file=file)

    admin = users.get(username="admin")
    assert admin.is_superuser
    assert admin.check_password(first)
    assert file.read_text().strip() == first
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_sign_of_life_is_seen_and_ends_by_itself(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        heartbeat.write("watcher", {"oldest_news_seconds": 1.5})
        (beat,) = heartbeat.read(redis_url)
        (key,) = client.keys("secflow:heartbeat:*")
        left = client.ttl(key)

    assert (beat.role, beat.pid, beat.details) == ("watcher", os.getpid(), {"oldest_news_seconds": 1.5})
    assert beat.age < 5
    assert 0 < left <= heartbeat.LIFETIME_SECONDS


def test_a_process_gives_signs_of_life_until_it_is_stopped(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()

        stop = heartbeat.start("worker")

        assert wait_until(lambda: [beat.role for beat in heartbeat.read(redis_url)] == ["worker"], seconds=30)
        stop.set()


@pytest.mark.parametrize(
    ("levels", "expected"),
    [((), "ok"), (("ok", "ok"), "ok"), (("ok", "warn"), "warn"), (("fail", "warn", "ok"), "fail")],
)
def test_the_worst_finding_counts(levels: tuple[str, ...], expected: str) -> None:
    assert worst(Finding("part", level, "text") for level in levels) == expected  # type: ignore[arg-type]


def test_what_does_not_answer_is_found_with_advice() -> None:
    found = load(
        {
            "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/n",
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "SECRET_KEY": "k" * 50,
            "KUBECONFIG": "/no/such/file",
        }
    )

    findings = [*check_database(found), *check_broker(found), *check_cluster(found)]

    assert [(finding.part, finding.level) for finding in findings] == [
        ("database", "fail"),
        ("broker", "fail"),
        ("cluster", "fail"),
    ]
    assert all(finding.advice for finding in findings)
    with pytest.raises(StandError, match=r"^broker: Redis does not answer: "):
        demand([check_broker], found)


@pytest.mark.django_db
@pytest.mark.cluster
def test_the_doctor_looks_at_every_part(cluster_kubeconfig: Path, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    heartbeat.write("worker")
    out = StringIO()

    with pytest.raises(SystemExit) as caught:
        call_command("doctor", json=True, stdout=out)

    levels = {item["part"]: item["level"] for item in json.loads(out.getvalue())}
    assert caught.value.code == 1
    assert levels["python"] == levels["environment"] == levels["migrations"] == levels["broker"] == "ok"
    assert levels["cluster"] == levels["rights"] == levels["storage"] == "ok"
    assert (levels["worker"], levels["beat"], levels["watcher"]) == ("ok", "fail", "fail")
    assert levels["shards"] == "fail"


@pytest.mark.django_db
def test_the_doctor_knows_how_many_there_are_and_who_follows_what(redis_url: str) -> None:
    given = {
        "DATABASE_URL": os.environ["DATABASE_URL"],
        "REDIS_URL": redis_url,
        "SECRET_KEY": "k" * 50,
        "HTTPS": "false",
    }
    one, two = load(given), load({**given, "WORKERS": "2", "WATCHERS": "2"})
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    heartbeat.write("worker")
    heartbeat.write("watcher", {"shards": list(range(16))})
    watcher = Membership("one")
    watcher.renew()

    alone = {finding.part: finding for finding in (*check_processes(one), *check_shards(one))}
    lacking = {finding.part: finding for finding in check_processes(two)}
    watcher.leave()
    (left,) = check_shards(one)

    assert (alone["worker"].level, alone["watcher"].level, alone["shards"].level) == ("ok", "ok", "ok")
    assert "with 16 shards" in alone["watcher"].text
    assert alone["shards"].text == "all 16 are followed, by one"
    assert (lacking["worker"].level, lacking["watcher"].level) == ("warn", "warn")
    assert lacking["worker"].text.startswith("1 of 2 give a sign of life: process ")
    assert left.level == "fail"


def test_several_workers_and_watchers_have_names_and_logs_of_their_own(tmp_path: Path) -> None:
    stand = assemble(open_layout(tmp_path), {"WORKERS": "2", "WATCHERS": "3", "PORT": str(free_port())})
    commands = {service.name: service.command for service in stand.services}

    own = [name for name in stand.stop_order if name.startswith(("w", "beat"))]
    assert own == ["web", "beat", "watcher", "watcher-2", "watcher-3", "worker", "worker-2"]
    assert sorted(stand.stop_order) == sorted(commands)
    assert "--hostname=worker-2@%h" in commands["worker-2"]
    assert "--name=watcher-3" in commands["watcher-3"]
    assert len({service.env["HEARTBEAT_FILE"] for service in stand.services if "HEARTBEAT_FILE" in service.env}) == 6
