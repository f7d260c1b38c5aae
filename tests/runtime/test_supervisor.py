"""The supervisor with real processes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from secflow.runtime import service
from secflow.runtime.console import Console
from secflow.runtime.errors import StandError
from secflow.runtime.processes import end_leftovers, signal_group, wait_until, write_pids
from secflow.runtime.service import Service
from secflow.runtime.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[2]


def shell(name: str, script: str, **options: object) -> Service:
    plain = Service(name=name, command=("/bin/sh", "-c", script), stop_seconds=2)
    return replace(plain, **options)  # type: ignore[arg-type]


class Stage:
    """A supervisor over given services and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = io.StringIO()

    def supervise(self, *services: Service) -> Supervisor:
        return Supervisor(
            services,
            console=Console(self.output, environ={}),
            env={"PATH": "/usr/bin:/bin", "OUT": str(self.folder)},
            cwd=self.folder,
            logs=self.folder,
            pids=self.folder / "pids",
            stop_order=[one.name for one in reversed(services)],
        )

    @property
    def said(self) -> str:
        return self.output.getvalue()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def within(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def test_a_service_waits_for_those_it_needs(stage: Stage) -> None:
    first = shell("first", "sleep 0.2; echo first >> order; touch ready; exec sleep 60")
    first = replace(first, ready=lambda: (stage.folder / "ready").exists())
    maker = shell("maker", "echo maker >> order", once=True, after=("first",))
    last = shell("last", "echo last >> order; exec sleep 60", after=("maker",))

    with stage.supervise(last, maker, first) as supervisor:
        supervisor.bring_up()
        wait_until(lambda: "last" in (stage.folder / "order").read_text(), seconds=30)

    assert (stage.folder / "order").read_text().split() == ["first", "maker", "last"]


def test_output_has_the_name_before_it_and_is_kept(stage: Stage) -> None:
    with stage.supervise(shell("talker", "echo hello; echo oops >&2; exec sleep 60")) as supervisor:
        supervisor.bring_up()
        supervisor.run(until=lambda: "oops" in stage.said)

    assert "talker    hello\n" in stage.said
    assert (stage.folder / "talker.log").read_text() == "hello\noops\n"


def test_a_process_that_dies_is_started_again_and_said_so(stage: Stage) -> None:
    with stage.supervise(shell("victim", "echo $$ >> born; exec sleep 60")) as supervisor:
        supervisor.bring_up()
        born = stage.folder / "born"
        wait_until(lambda: born.exists() and born.read_text().endswith("\n"), seconds=30)
        os.kill(supervisor.process("victim").popen.pid, signal.SIGKILL)  # type: ignore[union-attr]
        supervisor.run(until=lambda: len(born.read_text().split()) == 2)

    assert "victim was ended by SIGKILL; it is started again in 0.5 s.\n" in stage.said
    assert "victim was started again.\n" in stage.said


def test_the_pause_before_a_restart_doubles_up_to_a_limit(stage: Stage) -> None:
    with stage.supervise(shell("young", "exec sleep 60")) as supervisor:
        process = supervisor.process("young")
        process.started_at = 100.0

        delays = [process.note_end(101.0) for _ in range(8)]
        after_a_long_life = process.note_end(200.0)

    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]
    assert after_a_long_life == 0.5


def test_a_death_while_starting_ends_the_start_with_the_last_lines(stage: Stage) -> None:
    with (
        pytest.raises(StandError, match=r"^broken ended with code 3 while starting; its last lines:\n    no disk$"),
        stage.supervise(shell("broken", "echo no disk; exit 3", ready=lambda: False)) as supervisor,
    ):
        supervisor.bring_up()


def test_sentences_of_a_step_that_refuses_are_given_as_they_are(stage: Stage) -> None:
    with (
        pytest.raises(StandError, match=r"^The database is too old\.$"),
        stage.supervise(shell("prepare", "echo The database is too old.; exit 2", once=True)) as supervisor,
    ):
        supervisor.bring_up()


def test_a_service_that_never_gets_ready_is_not_waited_for_forever(stage: Stage) -> None:
    with (
        pytest.raises(StandError, match=r"^slow was not ready within 3 seconds; its last lines:\n    thinking$"),
        stage.supervise(shell("slow", "echo thinking; exec sleep 60", ready=lambda: False, patience=3)) as supervisor,
    ):
        supervisor.bring_up()


def test_a_program_that_does_not_exist_is_one_sentence(stage: Stage) -> None:
    with (
        pytest.raises(StandError, match=r"^absent cannot be started \(/no/such"),
        stage.supervise(Service(name="absent", command=("/no/such/program",))) as supervisor,
    ):
        supervisor.bring_up()


def test_services_stop_in_order(stage: Stage) -> None:
    script = "trap 'echo NAME >> stopped; exit 0' TERM; touch NAME.up; while :; do sleep 0.05; done"
    services = [shell(name, script.replace("NAME", name)) for name in ("store", "worker", "web")]

    with stage.supervise(*services) as supervisor:
        supervisor.bring_up()
        wait_until(lambda: all((stage.folder / f"{s.name}.up").exists() for s in services), seconds=30)

    assert (stage.folder / "stopped").read_text().split() == ["web", "worker", "store"]


def test_one_that_does_not_stop_is_killed_with_its_children(stage: Stage) -> None:
    script = "trap '' TERM; sleep 61 & echo $! > child; echo up; while :; do sleep 0.05; done"
    with stage.supervise(shell("stubborn", script, stop_seconds=0.3)) as supervisor:
        supervisor.bring_up()
        wait_until(lambda: (stage.folder / "child").exists() and (stage.folder / "child").read_text() != "", seconds=30)
        pid = supervisor.process("stubborn").popen.pid  # type: ignore[union-attr]
        child = int((stage.folder / "child").read_text())

    assert "stubborn did not stop in time and is killed." in stage.said
    assert not psutil.pid_exists(pid)
    assert wait_until(lambda: not is_running(child), seconds=30)


def test_what_a_step_leaves_running_ends_with_it(stage: Stage) -> None:
    with stage.supervise(shell("maker", "sleep 61 & echo $! > child", once=True)) as supervisor:
        supervisor.bring_up()
        child = int((stage.folder / "child").read_text())

        assert wait_until(lambda: not is_running(child), seconds=30)


def test_a_group_gets_no_signal_after_its_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be that of somebody else's group by then."""
    told: list[int] = []

    def tell(pid: int, number: signal.Signals) -> None:
        told.append(pid)
        signal_group(pid, number)

    monkeypatch.setattr(service, "signal_group", tell)
    with stage.supervise(shell("maker", "true", once=True), shell("any", "exec sleep 60")) as supervisor:
        supervisor.bring_up()
        maker, victim = (supervisor.process(name).popen.pid for name in ("maker", "any"))  # type: ignore[union-attr]
        os.kill(victim, signal.SIGKILL)
        supervisor.run(until=lambda: "any was started again" in stage.said)
        another = supervisor.process("any").popen.pid  # type: ignore[union-attr]

    assert told == [maker, victim, another]


def test_a_signal_ends_the_run(stage: Stage) -> None:
    with stage.supervise(shell("any", "exec sleep 60")) as supervisor:
        supervisor.bring_up()
        os.kill(os.getpid(), signal.SIGTERM)
        supervisor.run(until=within(10))

        assert supervisor.stop_asked == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties children to their parent")
def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(ROOT)!r})
        from tests.runtime.test_supervisor import Stage, shell
        stage = Stage(Path({str(tmp_path)!r}))
        with stage.supervise(shell("a", "exec sleep 60"), shell("b", "exec sleep 60")) as supervisor:
            supervisor.bring_up()
            print(*(supervisor.process(n).popen.pid for n in "ab"), flush=True)
            supervisor.run()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]

        parent.kill()

    assert len(pids) == 2
    assert wait_until(lambda: not any(is_running(pid) for pid in pids), seconds=30)


def test_leftovers_are_ended_but_a_reused_number_is_not(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    with subprocess.Popen(["sleep", "60"]) as left, subprocess.Popen(["sleep", "61"]) as stranger:
        write_pids(path, [left.pid])
        born = psutil.Process(stranger.pid).create_time()
        path.write_text(path.read_text().removesuffix("]") + f", [{stranger.pid}, {born - 500}]]")

        ended = end_leftovers(path, patience=2)

        alive = [is_running(process.pid) for process in (left, stranger)]
        stranger.kill()
    assert ended == 1
    assert alive == [False, True]
    assert not path.exists()


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
