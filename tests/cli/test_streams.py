"""Standard streams that are closed, full, left by their reader or not in UTF-8, and arguments that are no text."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import SECONDS, Cli, Done
from tests.e2e.driver import Driver, job
from tests.stack import ROOT

pytestmark = pytest.mark.e2e
LATIN = "metadata: {name: caf\xe9}\n".encode("latin-1")


def shell(cli: Cli, script: str, stdin: bytes = b"") -> Done:
    """What bash does with `script`, in which secflow is a command; its code is that of the first command of a pipe."""
    secflow = f'secflow() {{ {shlex.quote(sys.executable)} -m secflow.cli "$@"; }}'
    found = subprocess.run(
        ["bash", "-c", f"{secflow}; {script}; exit ${{PIPESTATUS[0]}}"], input=stdin, capture_output=True,
        env={**cli.environ(), "PYTHONPATH": str(ROOT)}, cwd=ROOT, timeout=SECONDS,
    )  # fmt: skip
    return Done((script,), found.returncode, found.stdout.decode("utf-8"), found.stderr.decode("utf-8"))


@pytest.fixture
def slow(driver: Driver) -> str:
    """A workflow that runs."""
    instance = driver.instance([job(driver.job_template("echo said; sleep 300"), "work")], name="slow")
    driver.act(instance, "start").ok()
    driver.wait(instance, lambda found: found["nodes"][0]["status"] == "running")
    return instance


def test_a_reader_that_leaves_is_no_failed_run(cli: Cli, slow: str) -> None:
    for command in (
        "watch slow", "ps", "ps -o json", "logs slow", "describe slow", "export slow", "events slow", "--help", "ps --help"
    ):  # fmt: skip
        done = shell(cli, f"secflow {command} | true")

        assert (done.code, done.out, done.err) == (141, "", ""), done


def test_an_error_that_nobody_reads_keeps_its_code(cli: Cli) -> None:
    assert shell(cli, "secflow describe missing 2>&1 | true").code == 4
    assert shell(cli, "secflow describe missing 2>/dev/full").code == 4
    assert shell(cli, "secflow describe missing 2>&-").code == 4


def test_a_full_disk_is_no_fault_of_the_command(cli: Cli, slow: str) -> None:
    for command in ("export slow", "ps -o json", "watch slow", "--help"):
        done = shell(cli, f"secflow {command} >/dev/full")

        done.failed(74, "the output cannot be written: No space left on device")
        assert "fault" not in done.err
        assert "Exception ignored" not in done.err


def test_without_standard_output_nothing_is_done(cli: Cli, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("true"), "work")], name="unsaid")

    shell(cli, "secflow ps >&-").failed(2, "standard output is closed")
    shell(cli, "secflow start unsaid >&-").failed(2, "standard output is closed")

    assert driver.read(instance)["run_count"] == 0


def test_closed_input_counts_only_where_it_is_read(cli: Cli, driver: Driver) -> None:
    driver.instance([job(driver.job_template("true"), "work")], name="kept")

    shell(cli, "secflow apply -f - <&-").failed(2, "standard input is closed")
    shell(cli, "secflow login http://127.0.0.1:1 -u ada --password-stdin <&-").failed(2, "standard input is closed")
    shell(cli, "secflow delete kept <&-").failed(2, "Nobody can be asked here")
    assert "kept" in shell(cli, "secflow ps <&-").ok()


@pytest.mark.parametrize(
    "command", [
        r"describe $'\xff'", r"ps --project $'\xff'", r"events $'\xff'", r"stop fine $'\xff'", r"run x --key $'\xff'",
        r"get nodes x --node $'\xff'", r"login http://127.0.0.1:1 -u $'\xff'",
    ],
)  # fmt: skip
def test_arguments_that_are_no_text_are_refused(cli: Cli, command: str) -> None:
    shell(cli, f"secflow {command}").failed(2, r"'\xff' is not text in UTF-8")


def test_a_project_of_the_environment_that_is_no_text_is_refused(cli: Cli) -> None:
    shell(cli, r"SECFLOW_PROJECT=$'p\xe4' secflow ps").failed(2, r"'p\xe4' is not text in UTF-8")


def test_a_file_may_have_any_name(cli: Cli, tmp_path: Path) -> None:
    place = shlex.quote(str(tmp_path))

    shell(cli, rf"secflow lint --offline -f {place}/$'\xe4.yaml'").failed(2, "cannot be read")
    done = shell(cli, rf"echo 'a: 1' > {place}/$'\xe4.yaml'; secflow lint --offline -f {place}/$'\xe4.yaml'")

    assert done.code == 3


@pytest.mark.parametrize("encoding", ["C.UTF-8", "C", "POSIX"])
def test_input_that_is_not_in_utf_8_is_refused(cli: Cli, encoding: str) -> None:
    there = cli.with_env(LC_ALL=encoding)

    shell(there, "secflow lint -f -", LATIN).failed(2, "standard input is not text in UTF-8")
    shell(there, "secflow lint --offline -f -", LATIN).failed(2, "standard input is not text in UTF-8")
    login = "secflow login http://127.0.0.1:1 -u ada --password-stdin"
    said = shell(there, login, b"secr\xe9t\n").failed(2, "the password is not text in UTF-8")
    assert "secr" not in said
