"""The environment, read here and nowhere else.

`load` promises either one complete, typed `SecFlowSettings` or a `ConfigurationError` that lists everything that is
wrong with the environment at once, secrets masked.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from secflow.settings.variables import SecFlowSettings

BASE_DIR = Path(__file__).resolve().parents[2]

# Commands that only read code. They must work in a fresh clone, so what is required elsewhere may be missing here.
OFFLINE = frozenset(
    {"check", "makemigrations", "spectacular", "settings", "doctor", "help", "--help", "--version", "compilemessages"}
)

REQUIRED = {
    "DATABASE_URL": "give the address of PostgreSQL, or start the embedded parts with `manage.py up`",
    "REDIS_URL": "give the address of Redis or Valkey, or start the embedded parts with `manage.py up`",
    "SECRET_KEY": "give at least 50 random characters; it may be left out only with DEBUG=true",
}

MASK = "********"
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class ConfigurationError(Exception):
    """Something in the environment is wrong; `problems` has one sentence for each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Variable:
    """One row of the table of variables."""

    name: str
    field: str
    kind: Any
    default: str | None
    meaning: str
    secret: bool


def variables() -> tuple[Variable, ...]:
    """Every variable SecFlow reads, in the order of the documentation."""
    return tuple(Variable(field=item.name, **item.metadata) for item in fields(SecFlowSettings))


_parts_demanded = False


def demand_parts() -> None:
    """Say, before settings are loaded, that this process cannot do without database, broker and secret.

    Without this they may be missing: type checkers and commands that only read code load the settings as well.
    """
    global _parts_demanded
    _parts_demanded = True


def reads_only_code(arguments: Sequence[str]) -> bool:
    """Whether a command line of manage.py works in a fresh clone, without any part."""
    return not arguments or arguments[0] in OFFLINE or "--help" in arguments


def load_or_exit() -> SecFlowSettings:
    """The settings of this process. When something is wrong, sentences go to stderr and the process ends with code 2.

    A traceback would bury them.
    """
    try:
        return load(os.environ, missing_allowed=not _parts_demanded)
    except ConfigurationError as err:
        sys.stderr.write("SecFlow cannot start:\n" + "".join(f"  - {problem}\n" for problem in err.problems))
        raise SystemExit(2) from None


def process_environment() -> dict[str, str]:
    """A copy of the environment of this process, for children."""
    return dict(os.environ)


def load(environ: Mapping[str, str], *, missing_allowed: bool = False) -> SecFlowSettings:
    """The settings that `environ` describes. An empty value counts as not given.

    Raises ConfigurationError. With `missing_allowed` nothing is required (commands that only read code).
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    for variable in variables():
        try:
            values[variable.field] = _value(variable, environ)
        except ConfigurationError as err:
            problems.extend(err.problems)
            values[variable.field] = None
    found = SecFlowSettings(**values)
    if not problems:
        problems.extend(_contradictions(found))
        if not missing_allowed:
            problems.extend(missing(found))
    if problems:
        raise ConfigurationError(problems)
    return found


def _value(variable: Variable, environ: Mapping[str, str]) -> Any:
    raw = environ.get(variable.name, "")
    file = environ.get(f"{variable.name}_FILE", "") if variable.secret else ""
    if raw and file:
        raise ConfigurationError([f"{variable.name} and {variable.name}_FILE are both set: give only one of them."])
    if file:
        try:
            raw = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as err:
            reason = err.strerror if isinstance(err, OSError) else "it is not text"
            raise ConfigurationError([f"{variable.name}_FILE={file!r} cannot be read: {reason}."]) from err
    if not raw:
        if variable.default is None:
            return None
        raw = variable.default
    try:
        return variable.kind.parse(raw)
    except ValueError as err:
        shown = repr(masked(variable, raw))
        raise ConfigurationError(
            [f"{variable.name}={shown} is not usable: allowed is {variable.kind.allowed}."]
        ) from err


def missing(found: SecFlowSettings) -> Iterable[str]:
    """A sentence for each variable that a process which serves cannot do without."""
    given = {"DATABASE_URL": found.database_url, "REDIS_URL": found.redis_url, "SECRET_KEY": found.secret_key}
    for name, value in given.items():
        if not value and not (name == "SECRET_KEY" and found.debug):
            yield f"{name} is not set: {REQUIRED[name]}."


def _contradictions(found: SecFlowSettings) -> Iterable[str]:
    if found.auth_mode == "jwt":
        if bool(found.auth_jwt_key) == bool(found.auth_jwks_url):
            yield "AUTH_MODE=jwt needs exactly one of AUTH_JWT_KEY and AUTH_JWKS_URL."
        for name, value in (("AUTH_ISSUER", found.auth_issuer), ("AUTH_AUDIENCE", found.auth_audience)):
            if not value:
                yield f"{name} is not set: AUTH_MODE=jwt accepts only tokens of one issuer for one audience."
        if found.auth_jwks_url and any(item.startswith("HS") for item in found.auth_algorithms):
            yield "AUTH_ALGORITHMS names an HS algorithm, which AUTH_JWKS_URL cannot serve: name RS, ES, PS or EdDSA."
        if (
            found.auth_jwt_key
            and "BEGIN" in found.auth_jwt_key
            and any(a.startswith("HS") for a in found.auth_algorithms)
        ):
            yield "AUTH_ALGORITHMS names an HS algorithm, but AUTH_JWT_KEY is a public key: name RS, ES, PS or EdDSA."
    if found.auth_mode == "service" and not found.auth_service_url:
        yield "AUTH_SERVICE_URL is not set: AUTH_MODE=service asks it about every token."
    if found.event_streams is not None and found.event_streams >= found.web_threads:
        yield (
            f"EVENT_STREAMS={found.event_streams} would leave no thread for other requests: set it below"
            f" WEB_THREADS={found.web_threads}."
        )
    if not found.auth_algorithms:
        yield "AUTH_ALGORITHMS is empty: name at least one, such as RS256."
    if found.secret_key and not found.debug and len(found.secret_key) < 32:
        yield "SECRET_KEY is too short: without DEBUG at least 32 characters are needed, 50 random ones are good."


def local_cluster_problem(found: SecFlowSettings) -> str | None:
    """Why the local cluster, which runs pods as processes of this machine, must not be used so, or None."""
    if not found.local_cluster or found.local_cluster_allowed == "anywhere":
        return None
    if found.bind not in ("127.0.0.1", "::1", "localhost"):
        return (
            f"BIND={found.bind} offers SecFlow to the network while it uses the local cluster, which runs pods as"
            " processes of this machine: bind to 127.0.0.1, or set LOCAL_CLUSTER_ALLOWED=anywhere if everyone who can"
            " reach it may run programs here."
        )
    if not found.debug and found.local_cluster_allowed != "loopback":
        return (
            "The local cluster is for evaluation and development and is refused when DEBUG is off: set KUBECONFIG to a"
            " real cluster, or LOCAL_CLUSTER_ALLOWED=loopback to use it on this machine only."
        )
    return None


def masked(variable: Variable, raw: str) -> str:
    """`raw` fit to be shown: whole secrets, and in addresses every password, are replaced.

    Of an address that cannot be taken apart for certain only the scheme is left: somewhere in it is the password.
    """
    if not variable.secret or not raw:
        return raw
    found = _ADDRESS.match(raw) if variable.name.endswith("_URL") else None
    if found is None:
        return MASK
    hidden = f"{found[1]}://{MASK}"
    try:
        parts = urlsplit(raw)
        _ = parts.port  # raises ValueError for what is no port, such as the first half of a password
    except ValueError:
        return hidden
    user, at, host = parts.netloc.rpartition("@")
    # A password with an unescaped `/`, `?` or `#` ends the host before its `@`.
    if not parts.hostname or parts.fragment or "@" in parts.path + parts.query:
        return hidden
    name, colon, password = user.partition(":")
    shown = f"{name}{colon}{MASK if password else ''}{at}{host}"
    return f"{found[1]}://{shown}{parts.path}{_masked_query(parts.query)}"


def _masked_query(query: str) -> str:
    """The query with its `?`, cut off where a password begins: an unescaped `&` in it does not end it."""
    shown: list[str] = []
    for item in query.split("&") if query else ():
        name = item.partition("=")[0]
        if "pass" in unquote(name).lower():
            shown.append(f"{name}={MASK}")
            break
        shown.append(item)
    return f"?{'&'.join(shown)}" if shown else ""


def markdown_table() -> str:
    """The table of variables for the documentation: name, default and meaning, in order."""
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for variable in variables():
        name = f"`{variable.name}`" + (f" or `{variable.name}_FILE`" if variable.secret else "")
        default = f"`{variable.default}`" if variable.default else ""
        rows.append(f"| {name} | {default} | {variable.meaning} Allowed: {variable.kind.allowed}. |")
    return "\n".join(rows)


def data_dir(environ: Mapping[str, str]) -> Path:
    """The folder of the embedded parts: DATA_DIR, else `.secflow` in the project's root."""
    given = environ.get("DATA_DIR", "")
    return Path(given).expanduser().resolve() if given else BASE_DIR / ".secflow"


def adopt_running_stand() -> None:
    """Fill variables that are not set from `.secflow/env` while a `manage.py up` holds the lock beside it.

    A file that a killed `up` left behind is ignored: its addresses lead nowhere.
    """
    folder = data_dir(os.environ)
    if not is_locked(folder / "lock"):
        return
    for name, value in read_env_file(folder / "env").items():
        if not os.environ.get(name) and not os.environ.get(f"{name}_FILE"):
            os.environ[name] = value


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock file. A file that is missing or may not be opened counts as free."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def read_env_file(path: Path) -> dict[str, str]:
    """KEY=VALUE lines of `path`; empty lines and lines that start with # are skipped. {} when there is no file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value for name, value in pairs}
