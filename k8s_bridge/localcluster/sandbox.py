"""A private view of the file system for each container: which way works on this host, and how a start looks in it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from k8s_bridge.localcluster import addressing, images, isolation
from k8s_bridge.localcluster.processes import Launcher, LaunchError, LaunchSpec
from k8s_bridge.localcluster.roots import Bind, host_binds, missing_executable, prepare_layer

logger = logging.getLogger(__name__)

INSTALL: Final = "install bubblewrap, or let this user make user namespaces, and restart the local cluster"
_PROBE_TIMEOUT: Final = 10.0
_BLOCK: Final = 64 * 1024
_OUTPUT: Final = 4096
_PROBE_ADDRESS: Final = "127.97.255.254"


class Mode(StrEnum):
    """Best first. BUBBLEWRAP and UNSHARE give a private root; LIMITED uses the host's file system as it is."""

    BUBBLEWRAP = "bubblewrap"
    UNSHARE = "unshare"
    LIMITED = "limited"


class SandboxError(Exception):
    """The mode that was asked for does not work on this host; the text says why."""


@dataclass(frozen=True)
class ContainerView:
    """One start of one container, before the sandbox is put around it. `layer` is its writable directory."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    layer: Path
    mounts: tuple[Bind, ...] = ()
    hosts_file: Path | None = None
    host_name: str = "pod"
    limits: tuple[tuple[int, int], ...] = ()
    visible: tuple[str, ...] = ()
    python: bool = False
    address: str | None = None
    ports: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Sandbox:
    """A way to start containers that was tried out on this host.

    `private_processes`: each container is process 1 of a process namespace and everything it starts ends with it.
    `own_addresses`: each pod has a loopback address of its own. `why` says why no better mode was taken, empty when the
    best one works.
    """

    mode: Mode
    private_processes: bool
    own_addresses: bool
    python_links: Path
    why: str = ""

    @property
    def private_root(self) -> bool:
        return self.mode is not Mode.LIMITED

    def launch_spec(self, view: ContainerView) -> LaunchSpec:
        """What the launcher is asked to do for `view`. Makes the container's writable directory.

        LaunchError when it is known already that the command does not exist.
        """
        address = view.address if self.own_addresses else None
        if not self.private_root:
            env = {**view.env, "TMPDIR": str(view.layer)}
            if view.python:
                env["PATH"] = f"{self.python_links}:{env['PATH']}"
            return LaunchSpec(view.argv, env, view.cwd, limits=view.limits, address=address, ports=view.ports)
        binds = self._binds(view)
        if self.mode is Mode.BUBBLEWRAP:
            if why := missing_executable(view.argv[0], view.env.get("PATH", ""), view.cwd, view.layer, binds):
                raise LaunchError(why)
            argv = (*self._bubblewrap(view, binds), "--", *view.argv)
            return LaunchSpec(
                argv,
                view.env,
                "/",
                limits=view.limits,
                wrapped=True,
                address=address,
                ports=view.ports,
                private_processes=self.private_processes,
            )
        return LaunchSpec(
            view.argv,
            view.env,
            view.cwd,
            root=str(view.layer),
            binds=tuple((bind.source, bind.target, bind.read_only) for bind in binds),
            limits=view.limits,
            host_name=view.host_name,
            private_processes=self.private_processes,
            address=address,
            ports=view.ports,
        )

    def _binds(self, view: ContainerView) -> list[Bind]:
        visible = list(view.visible)
        extra: list[Bind] = []
        if view.python:
            executable = images.interpreter()
            visible.append(sys.base_prefix)
            if str(executable.parent) != "/usr/local/bin":
                extra.append(Bind(str(self.python_links), "/usr/local/bin", True))
        binds, links = host_binds(visible, [mount.target for mount in view.mounts], devices=self.mode is Mode.UNSHARE)
        prepare_layer(view.layer, links)
        binds += extra
        if view.hosts_file is not None:
            binds.append(Bind(str(view.hosts_file), "/etc/hosts", True))
        # A mount inside another one must come after it.
        binds += sorted(view.mounts, key=lambda mount: mount.target.count("/"))
        return binds

    def _bubblewrap(self, view: ContainerView, binds: list[Bind]) -> list[str]:
        program = shutil.which("bwrap") or "bwrap"
        argv = [program, "--die-with-parent", "--unshare-ipc", "--unshare-uts", "--hostname", view.host_name[:63]]
        if self.private_processes:
            argv += ["--unshare-pid", "--as-pid-1"]
        argv += ["--bind", str(view.layer), "/", "--dev", "/dev"]
        argv += ["--proc", "/proc"] if self.private_processes else ["--dev-bind", "/proc", "/proc"]
        for bind in binds:
            argv += ["--ro-bind" if bind.read_only else "--bind", bind.source, bind.target]
        if os.geteuid() == 0:
            argv += ["--cap-drop", "ALL"]
            for name in _KEPT:
                argv += ["--cap-add", name]
        return [*argv, "--chdir", view.cwd]


_KEPT: Final = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
    "CAP_NET_BIND_SERVICE",
)  # fmt: skip


async def choose(data_dir: Path, forced: Mode | None = None) -> tuple[Sandbox, Launcher]:
    """The best mode that really starts a process on this host, and a ready launcher for it.

    SandboxError when `forced` does not work; LIMITED always does.
    """
    links = images.make_python_links(data_dir / "images" / "python")
    refused: list[str] = []
    for mode in [forced] if forced else list(Mode):
        for private_processes in (True, False) if mode is not Mode.LIMITED else (False,):
            launcher = Launcher(user_namespace=mode is Mode.UNSHARE and os.geteuid() != 0)
            sandbox = Sandbox(mode, private_processes, False, links, "; ".join(refused))
            why = await _try(sandbox, launcher, data_dir)
            if why is None:
                own = await _has_own_addresses(sandbox, launcher, data_dir)
                sandbox = Sandbox(mode, private_processes, own, links, "; ".join(refused))
                logger.info(
                    "sandbox chosen",
                    extra={"mode": str(mode), "private_processes": private_processes, "own_addresses": own},
                )
                return sandbox, launcher
            await launcher.stop()
        refused.append(f"{mode}: {why}")
    raise SandboxError(f"The sandbox mode {forced} does not work here: {'; '.join(refused)}.")


async def _try(sandbox: Sandbox, launcher: Launcher, data_dir: Path) -> str | None:
    """None when the mode works, else why not."""
    if sandbox.mode is Mode.BUBBLEWRAP and not shutil.which("bwrap"):
        return "bwrap is not installed"
    if sandbox.mode is Mode.UNSHARE and not isolation.available():
        return "needs Linux"
    try:
        await launcher.start()
    except LaunchError as error:
        return str(error)
    claim = Path(tempfile.mkdtemp(prefix="probe-", dir=data_dir))
    try:
        mounts = (Bind(str(claim), "/probe", False),) if sandbox.private_root else ()
        script = 'test -d /probe && : > /probe/done && test "$(cat /etc/hosts)" = probe'
        argv = ("/bin/sh", "-c", script) if sandbox.private_root else ("true",)
        hosts = claim / "hosts"
        hosts.write_text("probe\n", encoding="ascii")
        code, text = await run(sandbox, launcher, _probe_view(argv, claim, mounts, hosts))
        if code == 0 and (not sandbox.private_root or (claim / "done").exists()):
            return None
        return text or f"a probe ended with exit code {code}"
    finally:
        shutil.rmtree(claim, ignore_errors=True)


async def _has_own_addresses(sandbox: Sandbox, launcher: Launcher, data_dir: Path) -> bool:
    """Let an interpreter listen on every address and see where it ends up."""
    if not addressing.supported():
        return False
    with socket.socket() as free:
        free.bind((_PROBE_ADDRESS, 0))
        port = free.getsockname()[1]
    tried = Sandbox(sandbox.mode, sandbox.private_processes, True, sandbox.python_links)
    code = f"import socket; s = socket.create_server(('', {port})); print(s.getsockname()[0])"
    layer = Path(tempfile.mkdtemp(prefix="probe-", dir=data_dir))
    try:
        argv = (str(images.interpreter()), "-I", "-S", "-c", code)
        view = _probe_view(argv, layer, (), None, python=True, address=_PROBE_ADDRESS)
        status, text = await run(tried, launcher, view)
    finally:
        shutil.rmtree(layer, ignore_errors=True)
    if status == 0 and text.strip() == _PROBE_ADDRESS:
        return True
    logger.info("pods share 127.0.0.1", extra={"probe_exit_code": status, "probe_output": text})
    return False


def _probe_view(
    argv: tuple[str, ...],
    folder: Path,
    mounts: tuple[Bind, ...],
    hosts: Path | None,
    *,
    python: bool = False,
    address: str | None = None,
) -> ContainerView:
    layer = folder / "layer"
    layer.mkdir()
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    return ContainerView(argv, env, "/", layer, mounts, hosts, python=python, address=address)


async def run(
    sandbox: Sandbox,
    launcher: Launcher,
    view: ContainerView,
    *,
    seconds: float = _PROBE_TIMEOUT,
) -> tuple[int, str]:
    """Run a short command to its end; (exit code, first 4 KiB of its output). A start that fails gives 126 and the
    reason; after `seconds`, or when the caller is cancelled, the command is killed; the code is then 124."""
    try:
        spec = sandbox.launch_spec(view)
        read_end, write_end = os.pipe()
    except (LaunchError, OSError) as error:
        return 126, str(error)
    os.set_blocking(read_end, False)
    loop = asyncio.get_running_loop()
    kept = bytearray()

    def drain() -> None:
        """Read on after the part that is kept: a full pipe would stop the command."""
        with contextlib.suppress(BlockingIOError):
            data = os.read(read_end, _BLOCK)
            kept.extend(data[: _OUTPUT - len(kept)])
            if not data:
                loop.remove_reader(read_end)

    try:
        try:
            process = launcher.submit(spec, write_end, write_end)
        finally:
            os.close(write_end)
        loop.add_reader(read_end, drain)
        try:
            await asyncio.shield(process.started)
            code = await asyncio.wait_for(asyncio.shield(process.ended), seconds)
        except BaseException:
            launcher.signal(process, signal.SIGKILL)
            raise
    except TimeoutError:
        await asyncio.shield(process.ended)
        code = 124
    except (LaunchError, OSError) as error:
        return 126, str(error)
    finally:
        drain()
        loop.remove_reader(read_end)
        os.close(read_end)
    return code, kept.decode(errors="replace")
