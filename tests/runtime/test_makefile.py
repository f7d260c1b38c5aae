"""The commands of the Makefile, where something else than the code can change what they do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from secflow.runtime.layout import open_layout, take_lock
from secflow.settings.environment import BASE_DIR

# Stands for uv: notes how it was called, and makes what make expects.
UV = """#!/bin/sh
echo "certs=$UV_SYSTEM_CERTS native=$UV_NATIVE_TLS $*" >>"$UV_LOG"
for last; do :; done
if [ "$1" = venv ]; then mkdir -p "$last/bin" && ln -s /bin/true "$last/bin/python"; fi
"""


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The calls of a uv that is on PATH."""
    program = tmp_path / "bin" / "uv"
    program.parent.mkdir()
    program.write_text(UV)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("UV_LOG", str(tmp_path / "calls"))
    for name in ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "calls"


@pytest.mark.parametrize("target", [".run", ".dev"])
def test_any_release_of_uv_is_told_to_trust_what_the_system_trusts(uv: Path, tmp_path: Path, target: str) -> None:
    subprocess.run(["make", "-s", f"{tmp_path}/venv/bin/{target}", f"VENV={tmp_path}/venv"], cwd=BASE_DIR, check=True)

    (installing,) = (line for line in uv.read_text().splitlines() if "--require-hashes" in line)
    assert installing.startswith("certs=true native=true pip install ")
    assert "certs" not in installing.removeprefix("certs=true")


def test_the_check_for_production_does_not_look_at_what_runs_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = open_layout(tmp_path / "stand")
    layout.env.write_text("HTTPS=false\nDEBUG=true\n")
    handle = take_lock(layout)
    monkeypatch.setenv("DATA_DIR", str(layout.root))
    monkeypatch.delenv("HTTPS")
    # Not asked whether it worked: make runs the lines that call make even now, and these compare files that it did not make.
    shown = subprocess.run(
        ["make", "-n", "check", f"VENV={sys.prefix}"], cwd=BASE_DIR, capture_output=True, text=True
    ).stdout
    (command,) = (line for line in shown.splitlines() if "check --deploy" in line)

    done = subprocess.run(
        command, shell=True, cwd=BASE_DIR, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    os.close(handle)
    assert done.returncode == 0, done.stdout
