"""The processes of a stand, put together from what is given in the environment and what is not."""

from __future__ import annotations

import http.client
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from secflow.runtime import cluster, postgres, valkey
from secflow.runtime.errors import StandError
from secflow.runtime.layout import Layout, kept_secret
from secflow.runtime.service import Service
from secflow.settings import environment
from secflow.settings.environment import BASE_DIR, ConfigurationError
from secflow.settings.variables import SecFlowSettings

# Those that talk to others go first, those that are talked to last.
_STOP_ORDER = ("example", "web", "beat", "watcher", "worker", "prepare", "cluster", "valkey", "initdb", "postgres")
READY_PATH = "/api/workflow/ready"

# Threads share few memory arenas, and output comes line by line.
_PROCESS_ENV = {"MALLOC_ARENA_MAX": "2", "PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": "secflow.settings"}
# The web process proves the whole chain: database with all migrations, broker, cluster.
_AFTER_PREPARE = ("prepare",)


@dataclass(frozen=True, slots=True)
class Stand:
    """What runs: services in the order of their start, the variables that lead to the parts, the settings they make."""

    layout: Layout
    services: tuple[Service, ...]
    addresses: Mapping[str, str]
    settings: SecFlowSettings

    @property
    def url(self) -> str:
        """Where the web process answers."""
        return f"http://{_browsable(self.settings.bind)}:{self.settings.port}"

    @property
    def stop_order(self) -> tuple[str, ...]:
        """The names of the services, first to last."""
        return tuple(item.name for role in _STOP_ORDER for item in self.services if _role_of(item.name) == role)

    @property
    def env(self) -> dict[str, str]:
        """The environment of every process of the stand."""
        return {**environment.process_environment(), **_PROCESS_ENV, **self.addresses}


def assemble(layout: Layout, given: Mapping[str, str]) -> Stand:
    """The stand for the environment `given`: a part whose address is in it is used, every other one is embedded.

    Raises StandError, or ConfigurationError when a variable is wrong.
    """
    services: list[Service] = []
    addresses: dict[str, str] = {"DATA_DIR": str(layout.root)}
    if not _is_given("DATABASE_URL", given):
        services.extend(postgres.services(layout, given))
        addresses["DATABASE_URL"] = postgres.address(layout)
    if not _is_given("REDIS_URL", given):
        services.append(valkey.service(layout))
        addresses["REDIS_URL"] = valkey.address(layout)
    if not _is_given("SECRET_KEY", given):
        addresses["SECRET_KEY"] = kept_secret(layout.secret_key, length=64)
    # This stand speaks plain HTTP; behind a proxy with TLS its owner says so.
    addresses["HTTPS"] = given.get("HTTPS") or "false"
    local = not cluster.is_given(given)
    if not local:
        cluster.demand_file(given)
    if local:
        addresses["LOCAL_CLUSTER"] = "true"
        addresses["LOCAL_CLUSTER_ALLOWED"] = given.get("LOCAL_CLUSTER_ALLOWED") or "loopback"
    settings = environment.load({**given, **addresses})
    if problem := environment.local_cluster_problem(settings):
        raise ConfigurationError([problem])
    if local:
        services.append(cluster.service(layout, python=sys.executable, sandbox=settings.sandbox))
        addresses["KUBECONFIG"] = str(layout.kubeconfig)
    _demand_free(settings.bind, settings.port)
    embedded = tuple(item.name for item in services)
    services.extend(_own_services(layout, settings, embedded))
    return Stand(layout=layout, services=tuple(services), addresses=addresses, settings=settings)


def _is_given(name: str, given: Mapping[str, str]) -> bool:
    return bool(given.get(name) or given.get(f"{name}_FILE"))


def _own_services(layout: Layout, settings: SecFlowSettings, embedded: tuple[str, ...]) -> tuple[Service, ...]:
    python = sys.executable
    manage = str(BASE_DIR / "manage.py")
    everything = (*_AFTER_PREPARE, *(name for name in embedded if name != "initdb"))
    return (
        Service(
            name="prepare",
            command=(python, manage, "prepare", *_prepare_options(layout, embedded)),
            said="tables and admin are there",
            after=(),
            once=True,
            patience=300,
        ),
        Service(
            name="web",
            command=(python, "-m", "gunicorn", "-c", str(BASE_DIR / "secflow/runtime/gunicorn_config.py")),
            after=everything,
            ready=lambda: answers(settings.bind, settings.port, READY_PATH),
            patience=120,
            stop_seconds=8,
        ),
        *(
            _background(
                layout,
                name,
                (
                    python, "-m", "celery", "--app=secflow", "worker", "--pool=threads", "--without-gossip",
                    "--without-mingle", f"--concurrency={settings.worker_concurrency}", f"--hostname={name}@%h",
                    f"--loglevel={settings.log_level}",
                ),
                after=everything,
                stop_seconds=12,
            )
            for name in _copies("worker", settings.workers)
        ),
        *(
            _background(
                layout, name, (python, manage, "watch_cluster", f"--name={name}", "--skip-checks"), after=everything
            )
            for name in _copies("watcher", settings.watchers)
        ),
        _background(
            layout,
            "beat",
            (
                python, "-m", "celery", "--app=secflow", "beat", f"--schedule={layout.beat_schedule}", "--pidfile=",
                f"--loglevel={settings.log_level}",
            ),
            after=everything,
        ),
    )  # fmt: skip


def _copies(role: str, count: int) -> list[str]:
    """The names of `count` processes of one role: worker, worker-2, worker-3."""
    return [role, *(f"{role}-{number}" for number in range(2, count + 1))]


def _role_of(name: str) -> str:
    role, _, number = name.rpartition("-")
    return role if number.isdigit() else name


def _background(
    layout: Layout, name: str, command: tuple[str, ...], *, after: tuple[str, ...], stop_seconds: float = 5
) -> Service:
    """A process without a port: it is ready when it gives its first sign of life."""
    alive = layout.alive(name)
    # One of the last start would be believed.
    alive.unlink(missing_ok=True)
    return Service(
        name=name,
        command=command,
        after=after,
        ready=alive.exists,
        stop_seconds=stop_seconds,
        env={"HEARTBEAT_FILE": str(alive)},
    )


def _prepare_options(layout: Layout, embedded: tuple[str, ...]) -> tuple[str, ...]:
    """Parts that were given must answer now; embedded ones are on their way."""
    options = [f"--password-file={layout.admin_password}", f"--wait={30 if 'postgres' in embedded else 3}"]
    options += [] if "valkey" in embedded else ["--broker"]
    options += [] if "cluster" in embedded else ["--cluster"]
    return tuple(options)


def answers(host: str, port: int, path: str, *, timeout: float = 0.5) -> bool:
    """Whether a GET of `path` is answered with 200."""
    connection = http.client.HTTPConnection(_browsable(host).strip("[]"), port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": "localhost"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _browsable(bind: str) -> str:
    """An address to reach a server bound to `bind` from this machine."""
    if bind in ("0.0.0.0", ""):  # noqa: S104  compared, not bound to
        return "127.0.0.1"
    if bind == "::":
        return "[::1]"
    return f"[{bind}]" if ":" in bind else bind


def _demand_free(bind: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
            probe.listen(1)
        except (OSError, UnicodeError) as err:
            reason = os.strerror(err.errno) if isinstance(err, OSError) and err.errno else str(err)
            raise StandError(
                f"SecFlow cannot listen on {bind}:{port} ({reason}): stop what uses it, or set PORT to a free port."
            ) from err


def env_file(addresses: Mapping[str, str], kept: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The text of `.secflow/env`: the addresses, and those variables of this start that other commands need as well."""
    lines = {name: kept[name] for name in names if kept.get(name)} | dict(addresses)
    return "".join(f"{name}={value}\n" for name, value in lines.items() if "\n" not in value)


def example_folder() -> Path:
    """Where the example workflows are."""
    return BASE_DIR / "workflows" / "examples"
