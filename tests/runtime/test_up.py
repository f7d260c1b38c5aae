"""`manage.py quickstart` and `up` as a person starts them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from secflow.runtime.processes import wait_until
from tests.stack import free_port

ROOT = Path(__file__).resolve().parents[2]
_NOT_INHERITED = ("DATABASE_URL", "REDIS_URL", "KUBECONFIG", "SECRET_KEY", "HTTPS")

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """As in a shell where nothing is set; one folder for all tests here, so that only the first makes a database."""
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    data_dir = str(tmp_path_factory.mktemp("up") / "stand")
    return {**inherited, "DATA_DIR": data_dir, "PORT": str(free_port()), "NO_COLOR": "1"}


def manage(*arguments: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=110)


@pytest.fixture
def up(environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "manage.py", "up"]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "Ctrl-C stops everything" in line:
                break
        else:
            pytest.fail("`manage.py up` ended before everything was ready")
        yield running
        if running.poll() is None:
            running.kill()


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def are_gone(processes: list[psutil.Process]) -> bool:
    return not any(item.is_running() and item.status() != psutil.STATUS_ZOMBIE for item in processes)


def test_quickstart_prints_the_report_and_leaves_nothing_running(environ: dict[str, str]) -> None:
    done = manage("quickstart", "--exit", environ=environ)

    root = Path(environ["DATA_DIR"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SITE AUDIT" in done.stdout
    assert "HIGH    /app.js" in done.stdout
    assert "\x1b[" not in done.stdout
    assert not (root / "env").exists()
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(root) in " ".join(p.info["cmdline"] or ())]


def test_other_commands_reach_the_parts_while_it_runs(up: subprocess.Popen[str], environ: dict[str, str]) -> None:
    script = "from workflows.models import WorkflowInstance as W; print('instances', W.objects.count())"
    second = manage("up", environ=environ)

    shell = manage("shell", "--no-imports", "-c", script, environ=environ)
    found = wait_until(lambda: manage("doctor", environ=environ).returncode == 0, seconds=30)

    assert "instances " in shell.stdout
    assert found, manage("doctor", environ=environ).stdout
    assert second.returncode == 2
    assert f"already runs from {environ['DATA_DIR']} (process {up.pid})" in second.stdout
    assert "Traceback" not in second.stderr


def test_sigterm_stops_everything(up: subprocess.Popen[str]) -> None:
    children = descendants(up)

    up.send_signal(signal.SIGTERM)

    assert up.wait(40) == 0
    assert len(children) >= 7
    assert are_gone(children)


def test_a_killed_supervisor_takes_everything_along_and_the_next_start_works(
    up: subprocess.Popen[str], environ: dict[str, str]
) -> None:
    children = descendants(up)

    up.kill()

    assert wait_until(lambda: are_gone(children), seconds=60)
    stale = manage("shell", "-c", "pass", environ=environ)
    assert stale.returncode == 2
    assert "DATABASE_URL is not set" in stale.stderr
    again = manage("quickstart", "--exit", environ=environ)
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_taken_port_is_one_sentence(environ: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(environ["PORT"])))
        taken.listen()

        done = manage("up", environ=environ)

    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{environ['PORT']} (Address already in use)" in done.stdout
    assert done.stderr == ""


def test_wrong_variables_are_listed_without_a_traceback(environ: dict[str, str]) -> None:
    done = manage("up", environ={**environ, "LOG_LEVEL": "loud", "BIND": "not an address"})

    assert done.returncode == 2
    assert [line.split("=")[0].strip() for line in done.stdout.splitlines()[1:]] == ["- BIND", "- LOG_LEVEL"]
    assert done.stderr == ""
