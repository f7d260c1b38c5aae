"""`python -m k8s_bridge.localcluster`: start the local cluster and serve until SIGTERM or SIGINT.

Exit codes: 0 after a clean stop, 2 when it cannot start as asked (one sentence on standard error says why).
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import fcntl
import logging
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from k8s_bridge.localcluster import podlogs
from k8s_bridge.localcluster.address_range import NoRangeLeft
from k8s_bridge.localcluster.controller import RuntimeOptions
from k8s_bridge.localcluster.errors import StateError
from k8s_bridge.localcluster.images import ImageMapError
from k8s_bridge.localcluster.logs import LogOptions, LogSource
from k8s_bridge.localcluster.runtime import Runtime
from k8s_bridge.localcluster.sandbox import Mode, SandboxError
from k8s_bridge.localcluster.server import BINDABLE, ApiServer
from k8s_bridge.localcluster.store import Store
from k8s_bridge.localcluster.tls import load_identity, write_kubeconfig, write_private

REFUSED: Final = 2
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_SET_PARENT_DEATH_SIGNAL: Final = 1
_EPILOG: Final = """\
examples:
  python -m k8s_bridge.localcluster --data .local/cluster
      start; everything is kept in .local/cluster, the kubeconfig is .local/cluster/kubeconfig
  export KUBECONFIG=.local/cluster/kubeconfig
  kubectl get nodes
  kubectl apply -f job.yaml && kubectl logs -f job/hello

what it is:
  A Kubernetes API for evaluation, development and tests. Pods are processes of this machine, started with your
  rights; an image is a name that is mapped to a local command (--image-map), nothing is ever pulled. For real use take
  k3s or any conformant cluster. The README next to this program tells its limits and how to map images.

environment:
  SECFLOW_DEBUG=false (or 0, no, off) makes it refuse to start: it has no place in production. --force overrides that.
"""


class Refusal(Exception):
    """The program cannot start as asked; the text is the one sentence the user sees."""


@dataclass(frozen=True)
class Options:
    """The command line."""

    data: Path
    kubeconfig: Path
    host: str
    port: int
    runtime: RuntimeOptions
    force: bool
    die_with_parent: bool
    verbose: bool


def parse(argv: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m k8s_bridge.localcluster",
        description="A Kubernetes API server on a loopback address that runs pods as local processes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="keeps objects, logs, claims, keys; made when missing")
    add("--kubeconfig", type=Path, metavar="FILE", help="written when ready, mode 0600 (default: DIR/kubeconfig)")
    add("--host", default="127.0.0.1", help="loopback address to listen on (default: 127.0.0.1)")
    add("--port", type=int, default=0, metavar="N", help="0 = the port of the last start if free, else any (default)")
    add("--image-map", type=Path, metavar="FILE", help="YAML list that maps images to local commands; see the README")
    add(
        "--sandbox",
        choices=("auto", *(mode.value for mode in Mode)),
        default="auto",
        help="how pods get their private file system (default: auto = the best that works here)",
    )
    add("--max-pods", type=int, default=110, metavar="N", help="pods that run at a time; more wait (default: 110)")
    add("--die-with-parent", action="store_true", help="stop when the process that started this one ends (Linux)")
    add("--force", action="store_true", help="start although SECFLOW_DEBUG is off")
    add("--verbose", action="store_true", help="log what happens, not only warnings")
    given = parser.parse_args(argv)
    data = given.data.expanduser().absolute()
    if not 0 <= given.port <= 65535:
        parser.error("--port must be between 0 and 65535")
    if given.max_pods < 1:
        parser.error("--max-pods must be at least 1")
    mode = None if given.sandbox == "auto" else Mode(given.sandbox)
    return Options(
        data=data,
        kubeconfig=(given.kubeconfig.expanduser().absolute() if given.kubeconfig else data / "kubeconfig"),
        host=given.host,
        port=given.port,
        runtime=RuntimeOptions(sandbox=mode, image_map=given.image_map, max_pods=given.max_pods),
        force=given.force,
        die_with_parent=given.die_with_parent,
        verbose=given.verbose,
    )


def check(options: Options, environ: Mapping[str, str]) -> None:
    """Raise Refusal for an address or an environment in which the cluster must not run."""
    if options.host not in BINDABLE:
        raise Refusal(
            f"--host {options.host} is refused: whoever reaches this server runs commands as you, so it listens "
            f"only on {' or '.join(BINDABLE)}."
        )
    if environ.get("SECFLOW_DEBUG", "").strip().lower() in _FALSE and not options.force:
        raise Refusal(
            "SECFLOW_DEBUG is off, and the local cluster is not for production: use k3s or any conformant cluster, "
            "or pass --force."
        )


def lock(data: Path) -> IO[str]:
    """Take the data directory for this process; the lock ends with it. Refusal when another one has it."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (data / "lock").open("a+")
    except OSError as err:
        raise Refusal(f"--data {data} cannot be written: {err.strerror}.") from err
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        raise Refusal(
            f"A local cluster (process {holder}) is already running on {data}: use it, stop it, or give another --data."
        ) from err
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def die_with_parent() -> None:
    """Ask Linux for a SIGTERM when the parent ends; elsewhere there is no such thing."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0) != 0:
        raise Refusal(f"--die-with-parent does not work here: {os.strerror(ctypes.get_errno())}.")
    if os.getppid() != parent:
        raise Refusal("The process that started the local cluster is gone already.")


def log_source(data: Path, store: Store) -> LogSource:
    def read(pod: dict[str, Any], options: LogOptions) -> AsyncIterator[bytes]:
        return podlogs.stream(data, pod, store=store, **asdict(options))

    return read


async def serve(options: Options) -> None:
    """Run until a signal asks for the end; then stop requests, pods and store, in this order."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    keys = options.data / "pki"
    try:
        identity = load_identity(keys, now=datetime.now(UTC))
    except (ValueError, TypeError) as err:
        raise Refusal(f"The keys in {keys} cannot be read ({err}): remove the directory to get new ones.") from err
    path = options.data / "state.db"
    try:
        store = Store(path)
    except (sqlite3.Error, ValueError) as err:
        raise Refusal(f"The objects in {path} cannot be read ({err}): move the file away to start empty.") from err
    runtime = Runtime(store, options.data, options.runtime)
    server = ApiServer(store, identity, logs=log_source(options.data, store))
    try:
        await runtime.start()
        port = await _listen(server, options)
        shown = f"[{options.host}]" if ":" in options.host else options.host
        write_kubeconfig(options.kubeconfig, identity, f"https://{shown}:{port}")
        sys.stdout.write(
            f"local cluster ready: https://{shown}:{port} kubeconfig={options.kubeconfig} sandbox={runtime.mode}\n"
        )
        sys.stdout.flush()
        await stopping.wait()
    finally:
        await server.stop()
        await runtime.stop()
        store.close()


async def _listen(server: ApiServer, options: Options) -> int:
    """Listen on the port that was asked for, or on the one of the last start, so that old kubeconfigs stay good."""
    remembered = options.data / "port"
    port = options.port
    if not port and remembered.exists():
        text = remembered.read_text(encoding="ascii", errors="replace").strip()
        if not text.isdecimal():
            raise Refusal(f"{remembered} holds no port: remove it to get any, or name one with --port.")
        last = int(text)
        try:
            return await server.start(last, options.host)
        except OSError:
            # Somebody else has it now; any other will do.
            await server.stop()
    try:
        port = await server.start(port, options.host)
    except OSError as err:
        raise Refusal(f"{options.host}:{port} cannot be listened on: {err.strerror}.") from err
    write_private(remembered, f"{port}\n".encode())
    return port


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(sys.argv[1:] if argv is None else argv)
    # Objects hold secrets and logs may: nothing that is made here is for other users.
    os.umask(0o077)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        check(options, os.environ)
        if options.die_with_parent:
            die_with_parent()
        with lock(options.data):
            asyncio.run(serve(options))
    except (Refusal, ImageMapError, NoRangeLeft, SandboxError, StateError) as refusal:
        sys.stderr.write(f"{refusal}\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
