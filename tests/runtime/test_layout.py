"""The folder of a stand: private, held by one, reachable by a unix socket."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from secflow.runtime.errors import StandError
from secflow.runtime.layout import kept_secret, open_layout, take_lock, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_private_even_when_they_were_not(tmp_path: Path) -> None:
    root = tmp_path / "stand"
    root.mkdir(mode=0o755)

    layout = open_layout(root)

    assert [mode(path) for path in (layout.root, layout.logs, layout.sockets)] == [0o700] * 3


def test_a_long_path_gets_its_sockets_elsewhere_but_always_the_same(tmp_path: Path) -> None:
    root = tmp_path / ("long" * 25)

    layout = open_layout(root)

    assert not layout.sockets.is_relative_to(root)
    assert len(os.fsencode(layout.valkey_socket)) < 104
    assert open_layout(root).sockets == layout.sockets
    layout.sockets.rmdir()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()

    with pytest.raises(StandError, match=r"cannot be written .* or set DATA_DIR"):
        open_layout(blocked / "stand")


def test_a_second_holder_is_told_who_has_it(tmp_path: Path) -> None:
    layout = open_layout(tmp_path / "stand")
    first = take_lock(layout)

    with pytest.raises(StandError, match=rf"already runs from .* \(process {os.getpid()}\)"):
        take_lock(layout)

    os.close(first)
    os.close(take_lock(layout))


def test_a_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"

    made = kept_secret(path, length=64)

    assert len(made) == 64
    assert kept_secret(path, length=64) == made
    assert mode(path) == 0o600


def test_private_files_replace_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, "new")

    assert (path.read_text(), mode(path)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [path]
