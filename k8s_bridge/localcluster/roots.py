"""What of the host a container with a private root sees, and the writable directory that is its root."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SHOWN: Final = ("/usr", "/etc", "/nix")
_BINARIES: Final = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS: Final = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1"}
_MADE: Final = ("root", "run", "var/tmp", "var/run", "var/log", "home", "opt", "srv", "mnt", "proc", "dev/shm", "tmp")
_SHARED: Final = ("tmp", "var/tmp", "dev/shm")
# Passwords and keys that a pod of root must not read.
_HIDDEN: Final = ("/etc/shadow", "/etc/gshadow")


@dataclass(frozen=True)
class Bind:
    """A file or directory of the host shown at `target`, an absolute path inside the root."""

    source: str
    target: str
    read_only: bool


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def host_binds(visible: list[str], targets: list[str], *, devices: bool) -> tuple[list[Bind], dict[str, str]]:
    """The host's directories to show, read only, and the symbolic links to make (path -> target).

    `targets` are the pod's own mount points. One that does not exist below a directory of the host, such as
    /etc/config, cannot be made there: that directory is then shown entry by entry, in a directory of the container.
    """
    links = {path: os.readlink(path) for path in _BINARIES if os.path.islink(path)}
    shown = [path for path in (*_SHOWN, *_BINARIES) if os.path.isdir(path) and path not in links]
    shown += [path for path in visible if os.path.isdir(path) and not any(_is_below(path, top) for top in shown)]
    binds: list[Bind] = []
    for top in dict.fromkeys(shown):
        missing = [path for path in targets if _is_below(path, top) and path != top and not os.path.exists(path)]
        if missing:
            _split(top, missing, binds, links)
        elif top not in targets:
            binds.append(Bind(top, top, True))
    resolver = os.path.realpath("/etc/resolv.conf")
    if os.path.exists(resolver) and not any(_is_below(resolver, top) for top in shown):
        binds.append(Bind(resolver, resolver, True))
    if os.geteuid() == 0:
        binds += [Bind(os.devnull, path, True) for path in _HIDDEN if os.path.exists(path)]
    if devices:
        binds += [Bind(f"/dev/{name}", f"/dev/{name}", False) for name in _DEVICES if os.path.exists(f"/dev/{name}")]
    return binds, links


def _split(folder: str, missing: list[str], binds: list[Bind], links: dict[str, str]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            below = [path for path in missing if _is_below(path, entry.path)]
            if entry.path in below:
                continue
            if entry.is_symlink():
                links[entry.path] = os.readlink(entry.path)
            elif below and entry.is_dir():
                _split(entry.path, below, binds, links)
            else:
                binds.append(Bind(entry.path, entry.path, True))


def prepare_layer(layer: Path, links: dict[str, str]) -> None:
    """Make the directories, device links and symbolic links that every root has. Repeating it changes nothing."""
    root = str(layer)
    if not os.path.isdir(root + "/proc"):
        os.makedirs(root, exist_ok=True)
        os.chmod(root, 0o755)  # noqa: S103  (a root directory like any other; its parents are closed)
        for name in _MADE:
            os.makedirs(f"{root}/{name}", exist_ok=True)
        for name in _SHARED:
            os.chmod(f"{root}/{name}", 0o1777)  # noqa: S103
        for name, target in {**_DEVICE_LINKS, "stderr": "/proc/self/fd/2"}.items():
            os.symlink(target, f"{root}/dev/{name}")
    for path, target in links.items():
        place = root + path
        if not os.path.lexists(place):
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.symlink(target, place)


def make_directory(layer: Path, path: str) -> None:
    """Make `path` in a writable layer, as container runtimes do for a working directory. Where a link leads out of the
    layer nothing is made: that part is shown from the host anyway."""
    wanted = os.path.join(str(layer), path.lstrip("/"))
    if Path(os.path.realpath(wanted)).is_relative_to(os.path.realpath(layer)):
        os.makedirs(wanted, exist_ok=True)


def resolve_target(path: str) -> str:
    """Where a mount path really lies: /bin/tool is /usr/bin/tool where /bin is a link."""
    path = os.path.normpath(path)
    top = "/" + path.lstrip("/").partition("/")[0]
    return os.path.realpath(path) if top in (*_SHOWN, *_BINARIES) else path


def _host_path(path: str, layer: Path, binds: Iterable[Bind]) -> str:
    """Where a path inside the root lies on the host."""
    top, rest = "/" + path.split("/")[1], path.split("/")[2:]
    if top in _BINARIES:
        path = os.path.join(os.path.realpath(top), *rest)
    found = max((bind for bind in binds if _is_below(path, bind.target)), key=lambda b: len(b.target), default=None)
    return str(layer) + path if found is None else found.source + path[len(found.target) :]


def missing_executable(name: str, search: str, cwd: str, layer: Path, binds: Iterable[Bind]) -> str | None:
    """Why `name` cannot be executed inside a root, in the words of a container runtime; None when it is there.

    For sandboxes whose wrapper cannot tell a failed start from a failed command.
    """
    places = [os.path.join(cwd, name)] if "/" in name else [f"{folder}/{name}" for folder in search.split(":")]
    for place in places:
        # A link inside a directory of the host leads to where it leads on the host; the root shows the same.
        if os.path.lexists(_host_path(os.path.normpath(place), layer, binds)):
            return None
    where = "no such file or directory" if "/" in name else "executable file not found in $PATH"
    return f'exec: "{name}": {where}'
