"""One bash for one page: what a reader types into one terminal."""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

PATIENCE = 120.0


class Shell:
    """Commands share their variables, functions and folder, as in a terminal. `run` gives the output and the exit code."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._script = folder.parent / f"{folder.name}.command"
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._selector = selectors.DefaultSelector()
        assert self._bash.stdout is not None
        self._selector.register(self._bash.stdout, selectors.EVENT_READ)

    def run(self, command: str) -> tuple[list[str], int]:
        end = f"end-{secrets.token_hex(8)}"
        self._script.write_text(command + "\n", encoding="utf-8")
        # `$?` of the command before is what the command itself may ask for.
        call = f"(exit ${{last:-0}}); source {self._script} </dev/null; last=$?; printf '\\n%s %s\\n' {end} $last\n"
        assert self._bash.stdin is not None
        self._bash.stdin.write(call.encode())
        self._bash.stdin.flush()
        text = self._read_until(end, command)
        output, _, status = text.rpartition(f"\n{end} ")
        lines = output.splitlines()
        return lines, int(status)

    def _read_until(self, end: str, command: str) -> str:
        assert self._bash.stdout is not None
        text, deadline = b"", time.monotonic() + PATIENCE
        while not (text.endswith(b"\n") and f"\n{end} ".encode() in text):
            left = deadline - time.monotonic()
            shown = text.decode(errors="replace")
            assert left > 0, f"{command!r} did not end; so far:\n{shown}"
            if self._selector.select(left):
                piece = os.read(self._bash.stdout.fileno(), 65536)
                assert piece, f"{command!r} ended the shell:\n{shown}"
                text += piece
        return text.decode(errors="replace").rstrip("\n")

    def close(self) -> None:
        """Ends it and whatever it left running."""
        with suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait()
        self._selector.close()
        for pipe in (self._bash.stdin, self._bash.stdout):
            if pipe is not None:
                pipe.close()
