"""Which process groups of an earlier run are ended at a start, and which could be anybody's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from k8s_bridge.localcluster.leftovers import Leftovers
from tests.localcluster.runtimestand import pod, running


class Orphan:
    """A process whose group has lost its leader: `group` is its number, `began` when the leader began."""

    def __init__(self) -> None:
        leader = subprocess.Popen(
            ["sh", "-c", "sleep 60 >/dev/null & echo $!; read go"],
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert leader.stdout is not None
        self.process = psutil.Process(int(leader.stdout.readline()))
        self.group = leader.pid
        self.began = psutil.Process(leader.pid).create_time()
        leader.communicate("go\n")

    @property
    def is_alive(self) -> bool:
        with suppress(psutil.NoSuchProcess):
            return self.process.status() != psutil.STATUS_ZOMBIE
        return False


@pytest.fixture
def orphan() -> Iterator[Orphan]:
    found = Orphan()
    yield found
    with suppress(psutil.NoSuchProcess):
        found.process.kill()


def left(home: Path, group: int, began: float) -> Leftovers:
    (home / "processes").write_text(f"{group} {began!r}\n")
    return Leftovers(home)


def test_a_group_that_lost_its_leader_is_ended(tmp_path: Path, orphan: Orphan) -> None:
    assert left(tmp_path, orphan.group, orphan.began).kill() == 1

    psutil.wait_procs([orphan.process], timeout=20)
    assert not orphan.is_alive


def test_a_group_whose_members_are_older_is_another_one(tmp_path: Path, orphan: Orphan) -> None:
    assert left(tmp_path, orphan.group, orphan.began + 3600).kill() == 0

    assert orphan.is_alive


def test_a_note_from_before_the_machine_was_started_counts_for_nothing(tmp_path: Path, orphan: Orphan) -> None:
    assert left(tmp_path, orphan.group, psutil.boot_time() - 1).kill() == 0

    assert orphan.is_alive


@pytest.mark.skipif(os.getuid() != 0, reason="only root may start a process as another user")
def test_a_group_of_another_user_is_left_alone(tmp_path: Path) -> None:
    script = "import os; os.setuid(65534); os.execvp('sleep', ['sleep', '60'])"
    leader = subprocess.Popen(
        ["sh", "-c", f'python3 -c "{script}" >/dev/null & echo $!; read go'],
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert leader.stdout is not None
    stranger = psutil.Process(int(leader.stdout.readline()))
    began = psutil.Process(leader.pid).create_time()
    while stranger.uids().real != 65534:
        assert stranger.is_running()
    leader.communicate("go\n")
    try:
        assert left(tmp_path, leader.pid, began).kill() == 0
        assert stranger.is_running()
    finally:
        stranger.kill()


@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
def test_a_group_that_cannot_be_ended_does_not_stop_the_start(
    tmp_path: Path, orphan: Orphan, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    def refuse(group: int, number: int) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(os, "killpg", refuse)
        assert left(tmp_path, orphan.group, orphan.began).kill() == 0

    assert not (tmp_path / "processes").exists()


def test_notes_that_a_crash_tore_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "processes").write_bytes(b"12 x\n\0\0\0\n\xff 1.0\n77")

    assert Leftovers(tmp_path).kill() == 0


@pytest.mark.asyncio
async def test_a_clean_stop_leaves_no_numbers_for_the_next_start(tmp_path: Path) -> None:
    async with running(tmp_path / "home") as stand:
        stand.store.create("Pod", pod("p", ["sleep", "60"]))
        await stand.ready("p")
        assert (tmp_path / "home/processes").exists()

    assert not (tmp_path / "home/processes").exists()
