"""`python -m secflow.cli` as a process: with its output in pipes, or on a terminal of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.stack import ROOT

SECONDS = 90.0
_COMMAND = [sys.executable, "-m", "secflow.cli"]
# Whoever runs the tests in the background may have them ignore interrupts, which children inherit.
_HEED_INTERRUPTS = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);"
_GO_ON = " os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
# Makes the terminal that is its input the one that Ctrl-C comes from.
_TAKE_TERMINAL = f"{_HEED_INTERRUPTS} import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);{_GO_ON}"
_SGR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Done:
    """One command that has ended."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its result."""
        assert self.code in (0, 1, 3), self
        return json.loads(self.out)

    def ok(self) -> str:
        """Its output, once it is sure that it went well."""
        assert self.code == 0, self
        return self.out

    def failed(self, code: int, *words: str) -> str:
        """What it said on standard error: an error and a hint, no traceback."""
        assert self.code == code, self
        assert self.err.count("Error: ") == 1, self
        assert "Hint: " in self.err, self
        assert "Traceback" not in self.err, self
        for word in words:
            assert word in self.err, self
        return self.err


@dataclass
class Cli:
    """The command line of one user: `home` holds the configuration."""

    home: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def environ(self) -> dict[str, str]:
        dropped = ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS", "LINES", "PYTHONDONTWRITEBYTECODE")
        inherited = {
            name: value for name, value in os.environ.items() if name not in dropped and not name.startswith("SECFLOW_")
        }
        return {
            **inherited,
            "XDG_CONFIG_HOME": str(self.home),
            "HOME": str(self.home),
            "TERM": "xterm-256color",
            **self.env,
        }

    def with_env(self, **values: str) -> Cli:
        return Cli(self.home, {**self.env, **values})

    def run(self, *arguments: str, stdin: str | None = None, cwd: Path = ROOT) -> Done:
        """Run to the end, without a terminal."""
        env = {**self.environ(), "PYTHONPATH": str(ROOT)}
        found = subprocess.run(
            [*_COMMAND, *arguments],
            input="" if stdin is None else stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=env,
            cwd=cwd,
            timeout=SECONDS,
        )
        return Done(arguments, found.returncode, found.stdout, found.stderr)

    @contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on, without a terminal; ended afterwards."""
        with subprocess.Popen(
            [sys.executable, "-c", _HEED_INTERRUPTS + _GO_ON, *_COMMAND[1:], *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", env=self.environ(), cwd=ROOT,
            start_new_session=True,
        ) as running:  # fmt: skip
            try:
                yield running
            finally:
                if running.poll() is None:
                    running.kill()

    @contextmanager
    def terminal(self, *arguments: str, columns: int = 100, lines: int = 30) -> Iterator[Terminal]:
        """A command on a terminal of this size; ended afterwards."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *_COMMAND[1:], *arguments],
            stdin=slave, stdout=slave, stderr=slave, env=self.environ(), cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        try:
            yield Terminal(process, master)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            os.close(master)


class Terminal:
    """What a person at a terminal sees and types."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        self._raw = b""

    @property
    def raw(self) -> str:
        """Everything that was sent to the terminal, with what steers it."""
        return self._raw.decode("utf-8", "replace")

    @property
    def text(self) -> str:
        """The same without colours."""
        return _SGR.sub("", self.raw)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, word: str, *, seconds: float = SECONDS) -> None:
        """Until the word was shown."""
        end = time.monotonic() + seconds
        while word not in self.text:
            assert time.monotonic() < end, f"{word!r} was not shown: {self.text[-3000:]}"
            assert self._read() or self.process.poll() is None, f"ended without {word!r}: {self.text[-3000:]}"

    def end(self, *, seconds: float = SECONDS) -> int:
        """The exit code, once the command has ended by itself."""
        deadline = time.monotonic() + seconds
        while self._read() or self.process.poll() is None:
            assert time.monotonic() < deadline, f"has not ended: {self.text[-3000:]}"
        return self.process.wait()

    def _read(self) -> bool:
        """Takes what is there, at most a moment later. False when nothing came."""
        readable, _, _ = select.select([self._master], [], [], 0.05)
        if not readable:
            return False
        with suppress(OSError):  # the other side is closed
            chunk = os.read(self._master, 65536)
            self._raw += chunk
            return bool(chunk)
        return False
