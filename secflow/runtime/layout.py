"""The folder of a stand: where its data, sockets, logs and secrets are, and who may use it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from secflow.runtime.errors import StandError

# `sun_path` holds 104 bytes on macOS and 108 on Linux; the longest socket name here takes 17 of them.
_LONGEST_SOCKET_FOLDER = 80


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of one stand. `sockets` is inside `root` unless the path is too long for a unix socket."""

    root: Path
    sockets: Path

    @property
    def lock(self) -> Path:
        """Held by the supervisor as long as it lives."""
        return self.root / "lock"

    @property
    def env(self) -> Path:
        """Addresses of the parts, while they run."""
        return self.root / "env"

    @property
    def pids(self) -> Path:
        """Processes of the last start, for cleaning up after a kill."""
        return self.root / "pids"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def postgres_sockets(self) -> Path:
        """A folder of its own: where PostgreSQL runs as another user, it belongs to that one."""
        return self.sockets / "pg"

    @property
    def valkey_socket(self) -> Path:
        return self.sockets / "valkey.sock"

    @property
    def cluster(self) -> Path:
        return self.root / "cluster"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def beat_schedule(self) -> Path:
        return self.root / "beat-schedule"

    def alive(self, name: str) -> Path:
        """Touched by process `name` as long as it lives."""
        return self.root / f"alive-{name}"

    @property
    def admin_password(self) -> Path:
        return self.root / "admin-password"

    @property
    def secret_key(self) -> Path:
        return self.root / "secret-key"


def open_layout(root: Path) -> Layout:
    """The layout at `root`, its folders made (0700). Raises StandError when that is not possible."""
    sockets = root / "run"
    if len(os.fsencode(sockets)) > _LONGEST_SOCKET_FOLDER:
        digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
        sockets = Path(tempfile.gettempdir()) / f"secflow-{os.getuid()}-{digest}"
    layout = Layout(root=root, sockets=sockets)
    for folder in (root, sockets, layout.logs):
        _make_private(folder)
    return layout


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise StandError(f"{folder} belongs to somebody else or is not a folder: remove it, or set DATA_DIR.")
        if found.st_mode & 0o077:
            folder.chmod(0o700)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as err:
        raise StandError(
            f"{folder} cannot be written ({err.strerror}): make it writable, or set DATA_DIR to a folder that is."
        ) from err


def take_lock(layout: Layout) -> int:
    """The descriptor that holds the stand for this process. Raises StandError when another process has it.

    The kernel gives the lock back when the holder ends in any way, so it cannot be stale.
    """
    handle = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 32).decode(errors="replace").strip() or "?"
        os.close(handle)
        raise StandError(
            f"SecFlow already runs from {layout.root} (process {holder}): stop that one, or set DATA_DIR and PORT for"
            " another."
        ) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def write_private(path: Path, content: str) -> None:
    """Replace `path` by a file with `content` that only its owner reads (0600), at once or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
    draft.replace(path)


def kept_secret(path: Path, *, length: int) -> str:
    """The secret in `path`; a random one of `length` url-safe characters is made and kept when there is none."""
    if path.exists():
        return path.read_text(encoding="utf-8").strip()
    made = secrets.token_urlsafe(length)[:length]
    write_private(path, f"{made}\n")
    return made
