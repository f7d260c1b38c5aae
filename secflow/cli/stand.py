"""The stand that `make quickstart` or `make up` runs on this machine, read from the files that it leaves for its owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from secflow.cli.errors import Unreachable

_HINT = "Start one with `make quickstart` or `make up`, in another terminal; DATA_DIR names its folder when it is not .secflow."


@dataclass(frozen=True, slots=True)
class LocalStand:
    """Where it answers, and who may do everything there."""

    url: str
    username: str
    password: str = field(repr=False)


def local_stand(environ: Mapping[str, str]) -> LocalStand:
    """The running stand. Raises Unreachable when none is found."""
    folder = _folder(environ)
    found = _values(folder / "env")
    password = found.get("DJANGO_SUPERUSER_PASSWORD") or _text(folder / "admin-password")
    if not password:
        raise Unreachable(f"the admin's password is not in {folder}", hint="Log in with `secflow login` and type it.")
    return LocalStand(
        url=f"http://{_host(found.get('BIND', ''))}:{found.get('PORT') or '10005'}",
        username=found.get("DJANGO_SUPERUSER_USERNAME") or "admin",
        password=password,
    )


def _folder(environ: Mapping[str, str]) -> Path:
    """Its data folder: DATA_DIR, else `.secflow` here or above, else beside this package."""
    given = environ.get("DATA_DIR", "")
    here = Path.cwd()
    places = [Path(given).expanduser()] if given else [one / ".secflow" for one in (here, *here.parents)]
    if not given:
        places.append(Path(__file__).resolve().parents[2] / ".secflow")
    for place in places:
        # The file is there only as long as the stand runs.
        if (place / "env").is_file():
            return place
    raise Unreachable(f"no local stand of yours runs ({places[0]} has no file `env`)", hint=_HINT)


def _host(bind: str) -> str:
    if bind in ("", "0.0.0.0"):  # noqa: S104  compared, not bound to
        return "127.0.0.1"
    if bind == "::":
        return "[::1]"
    return f"[{bind}]" if ":" in bind else bind


def _values(path: Path) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in _text(path).splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value for name, value in pairs}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except OSError as err:
        raise Unreachable(
            f"{path} cannot be read: {err.strerror}", hint="It belongs to who started the stand."
        ) from err
