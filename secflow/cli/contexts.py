"""Servers and tokens that are remembered: one file, which only its owner can read, written whole or not at all."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from secflow.cli.errors import UsageProblem

try:
    import fcntl
except ImportError:  # Windows: two commands at once may have to log in again
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Context:
    """One server and who we are there. Tokens never appear in `repr`."""

    url: str
    username: str = ""
    access: str = field(default="", repr=False)
    refresh: str = field(default="", repr=False)
    project: str = ""
    ca_file: str = ""
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Contexts:
    """Everything in the file."""

    current: str = ""
    known: Mapping[str, Context] = field(default_factory=dict)

    def with_context(self, name: str, context: Context, *, make_current: bool = False) -> Contexts:
        """A copy with `context` under `name`."""
        current = name if make_current or not self.current else self.current
        return Contexts(current=current, known={**self.known, name: context})

    def demand(self, name: str) -> Context:
        """The context of that name. Raises UsageProblem."""
        if name not in self.known:
            there = ", ".join(sorted(self.known)) or "none yet"
            raise UsageProblem(
                f"there is no context {name!r} (known: {there})",
                hint=f"Run `secflow login --context {name}`, or see `secflow context list`.",
            )
        return self.known[name]

    def of_url(self, url: str) -> tuple[str, Context] | None:
        """The login for this address, the current one first. A token goes to no other address than its own."""
        names = [self.current, *sorted(self.known)] if self.current in self.known else sorted(self.known)
        return next(((name, self.known[name]) for name in names if self.known[name].url == url), None)


class ContextFile:
    """`$XDG_CONFIG_HOME/secflow/config.json`, 0600 in a folder of 0700."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        home = environ.get("XDG_CONFIG_HOME", "")
        # The specification of the variable says that a relative path is to be ignored.
        base = Path(home) if home and Path(home).is_absolute() else Path.home() / ".config"
        self.path = base / "secflow" / "config.json"

    def read(self) -> Contexts:
        """What is remembered. Raises UsageProblem when the file is none of ours."""
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            known = {str(name): _context(item) for name, item in data["contexts"].items()}
            return Contexts(current=str(data.get("current", "")), known=known)
        except FileNotFoundError:
            return Contexts()
        except OSError as err:
            raise UsageProblem(f"{self.path} cannot be read: {err.strerror}", hint="See who owns it.") from err
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            raise UsageProblem(
                f"{self.path} is damaged", hint="Remove the file and run `secflow login` again."
            ) from err

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Other commands of this user wait meanwhile: a refresh token can be used only once."""
        self._make_folder()
        if fcntl is None:
            yield
            return
        handle = os.open(self.path.with_name("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def write(self, contexts: Contexts) -> None:
        """Replace the file."""
        self._make_folder()
        data = {"current": contexts.current, "contexts": {name: asdict(item) for name, item in contexts.known.items()}}
        draft = self.path.with_name(f".config.{os.getpid()}")
        draft.unlink(missing_ok=True)
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(data, file, indent=2, ensure_ascii=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except OSError as err:
            raise UsageProblem(f"{self.path} cannot be written: {err.strerror}", hint=_ELSEWHERE) from err

    def change(self, name: str, **values: Any) -> None:
        """Set fields of one context; others may be changed by other commands at the same time. The caller holds the lock."""
        contexts = self.read()
        if name in contexts.known:
            self.write(contexts.with_context(name, replace(contexts.known[name], **values)))

    def _make_folder(self) -> None:
        folder = self.path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(folder.stat().st_mode) & 0o077:
                folder.chmod(0o700)
        except OSError as err:
            raise UsageProblem(f"{folder} cannot be used: {err.strerror}", hint=_ELSEWHERE) from err


_ELSEWHERE = "Make it writable, or set XDG_CONFIG_HOME to a folder that is."


def _context(item: Mapping[str, Any]) -> Context:
    wanted = {one.name: type(one.default) for one in fields(Context)}
    values = {name: value for name, value in item.items() if name in wanted}
    for name, value in values.items():
        if name != "url" and not isinstance(value, wanted[name]):
            raise TypeError(name)
    return Context(**{**values, "url": str(item["url"])})
