"""Which local command stands for which container image. Nothing is ever pulled."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import yaml

_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE: Final = re.compile(
    rf"(?:[A-Za-z0-9.-]+(?::\d+)?/(?={_PART}))?{_PART}(?:/{_PART})*(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
)
_REGISTRIES: Final = ("docker.io/", "index.docker.io/", "registry-1.docker.io/")
_SHELL_IMAGES: Final = {"busybox": "sh", "alpine": "sh", "debian": "bash", "ubuntu": "bash", "bash": "bash"}
_KEYS: Final = frozenset({"image", "command_prefix", "path", "env", "default_command", "visible"})


class ImageMapError(Exception):
    """The user's map file cannot be used; the text says where and why."""


@dataclass(frozen=True)
class LocalImage:
    """How containers of one image run.

    `command_prefix` goes before command and args; `path` is put in front of PATH; `env` is what the image sets;
    `default_command` runs when the container names neither command nor args; `visible` are host directories that a
    private root shows too, read only; `python` makes the interpreter visible as `python` and `python3`.
    """

    pattern: str
    command_prefix: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    default_command: tuple[str, ...] = ()
    visible: tuple[str, ...] = ()
    python: bool = False

    def argv(self, command: list[str] | None, args: list[str] | None) -> tuple[str, ...]:
        """What to execute, as Kubernetes combines command and args with an image that has no entrypoint."""
        given = (*(command or ()), *(args or ()))
        return (*self.command_prefix, *(given or self.default_command))


def normalise(image: str) -> str:
    """The short name: `docker.io/library/python:3.11` becomes `python:3.11`."""
    for registry in _REGISTRIES:
        image = image.removeprefix(registry)
    return image.removeprefix("library/")


def name_problem(image: str) -> str | None:
    """Why no registry can have an image of this name; None when one can."""
    if _REFERENCE.fullmatch(image):
        return None
    why = "invalid reference format"
    if _REFERENCE.fullmatch(image.lower()):
        why += f": repository name ({repository(normalise(image))}) must be lowercase"
    return f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {why}'


def repository(image: str) -> str:
    """The name without tag and digest."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


class ImageMap:
    """The user's entries first, then the built-in ones; the first match wins."""

    def __init__(self, entries: tuple[LocalImage, ...] = ()) -> None:
        self._entries = entries

    @classmethod
    def load(cls, path: Path | None) -> ImageMap:
        """Read a YAML or JSON list of `{image: glob, command_prefix, path, env, default_command, visible}`.

        A glob is compared with the whole short name and with the name without its tag. ImageMapError names the entry
        that is wrong.
        """
        if path is None:
            return cls()
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise ImageMapError(f"The image map {path} cannot be read: {error}") from error
        if not isinstance(found, list):
            raise ImageMapError(f"The image map {path} must be a list of entries such as {{image: 'my/app*'}}.")
        return cls(tuple(_entry(item, f"entry {number} of {path}") for number, item in enumerate(found, 1)))

    def find(self, image: str) -> LocalImage | None:
        name = normalise(image)
        short = repository(name)
        for entry in self._entries:
            if fnmatchcase(name, entry.pattern) or fnmatchcase(short, entry.pattern):
                return entry
        if short == "python":
            env = {"LANG": "C.UTF-8", "PYTHONNOUSERSITE": "1"}
            return LocalImage("python", env=env, default_command=("python3",), python=True)
        if short in _SHELL_IMAGES:
            shell = _SHELL_IMAGES[short]
            known = shell == "sh" or any(os.access(f"{place}/bash", os.X_OK) for place in ("/bin", "/usr/bin"))
            return LocalImage(short, default_command=(shell if known else "sh",))
        return None

    @staticmethod
    def advice(image: str) -> str:
        """What a user does about an image that is not mapped."""
        return (
            "The local cluster runs pods as local processes and pulls nothing: no local command is mapped to "
            f'"{image}". Add an entry such as {{"image": "{repository(normalise(image))}", "command_prefix": []}} to '
            "the image map file of the local cluster and restart it, or use a real cluster."
        )


def _entry(item: Any, where: str) -> LocalImage:
    if not isinstance(item, dict) or not isinstance(item.get("image"), str):
        raise ImageMapError(f"{where} must be a mapping with the key image.")
    if unknown := sorted(set(item) - _KEYS):
        raise ImageMapError(f"{where} has unknown keys: {', '.join(unknown)}. Known are: {', '.join(sorted(_KEYS))}.")
    env = item.get("env") or {}
    if not isinstance(env, dict) or not all(isinstance(value, (str, int, float)) for value in env.values()):
        raise ImageMapError(f"env of {where} must map names to texts.")
    return LocalImage(
        pattern=normalise(item["image"]),
        command_prefix=_texts(item, "command_prefix", where),
        path=_texts(item, "path", where),
        env={str(key): str(value) for key, value in env.items()},
        default_command=_texts(item, "default_command", where),
        visible=_texts(item, "visible", where),
    )


def _texts(item: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = item.get(key) or []
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ImageMapError(f"{key} of {where} must be a list of texts.")
    return tuple(value)


def interpreter() -> Path:
    """The base interpreter: the one that the running virtual environment was made from."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix) / "bin" / name
    return base if base.exists() else Path(os.path.realpath(sys.executable))


def make_python_links(folder: Path) -> Path:
    """A directory that holds nothing but `python` and `python3`, pointing to the base interpreter."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    target = interpreter()
    for name in ("python", "python3", target.name):
        link = folder / name
        if link.is_symlink() or link.exists():
            link.unlink()
        link.symlink_to(target)
    return folder
