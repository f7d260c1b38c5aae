"""How the text of one environment variable becomes a value. Each kind names what it allows, for people."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True, slots=True)
class Kind:
    """`parse` gives the value or raises ValueError; `allowed` finishes the sentence "allowed is ..."."""

    allowed: str
    parse: Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` calls in any `seconds`."""

    count: int
    seconds: int


def _demand(condition: bool) -> None:
    if not condition:
        raise ValueError


def text(*, pattern: str = "", allowed: str = "any text") -> Kind:
    """Text as it stands; with a pattern the whole of it must match."""

    def parse(raw: str) -> str:
        _demand(not pattern or re.fullmatch(pattern, raw) is not None)
        return raw

    return Kind(allowed, parse)


def flag() -> Kind:
    """A boolean, written the ways people write one."""

    def parse(raw: str) -> bool:
        word = raw.lower()
        _demand(word in _TRUE | _FALSE)
        return word in _TRUE

    return Kind("true or false", parse)


def whole(low: int, high: int) -> Kind:
    """An integer between both ends, which are included."""

    def parse(raw: str) -> int:
        _demand(re.fullmatch(r"-?\d{1,18}", raw) is not None)
        number = int(raw)
        _demand(low <= number <= high)
        return number

    return Kind(f"a whole number from {low} to {high}", parse)


def seconds(low: float, high: float) -> Kind:
    """A span of time in seconds, fractions allowed."""

    def parse(raw: str) -> float:
        _demand(re.fullmatch(r"\d{1,12}(\.\d{1,6})?", raw) is not None)
        number = float(raw)
        _demand(low <= number <= high)
        return number

    return Kind(f"seconds, a number from {low:g} to {high:g}", parse)


def choice(*words: str) -> Kind:
    """One of the given words."""

    def parse(raw: str) -> str:
        _demand(raw in words)
        return raw

    return Kind(" or ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0], parse)


def words(*, pattern: str, allowed: str) -> Kind:
    """A tuple of words, divided by commas; each must match."""

    def parse(raw: str) -> tuple[str, ...]:
        items = tuple(item.strip() for item in raw.split(",") if item.strip())
        for item in items:
            _demand(re.fullmatch(pattern, item) is not None)
        return items

    return Kind(allowed, parse)


def origins() -> Kind:
    """A tuple of browser origins: scheme, host and port without a path."""
    return words(
        pattern=r"https?://[A-Za-z0-9.*\-]+(:\d{1,5})?",
        allowed="origins such as https://console.example.org, divided by commas",
    )


def url(schemes: Sequence[str], *, example: str) -> Kind:
    """An address with one of the schemes and either a host or, for unix schemes, a path."""

    def parse(raw: str) -> str:
        parts = urlsplit(raw)
        _demand(parts.scheme in schemes)
        _demand(bool(parts.path) if parts.scheme == "unix" else bool(parts.hostname))
        _ = parts.port  # a port that is not a number raises ValueError
        return raw

    return Kind(f"an address such as {example}", parse)


def redis_url() -> Kind:
    """An address of Redis or Valkey. A misspelt `ssl_cert_reqs` is refused: kombu would read it as `none`."""
    plain = url(("redis", "rediss", "unix"), example="redis://:password@host:6379/0 or unix:///path/of/socket?db=0")

    def parse(raw: str) -> str:
        for word in parse_qs(urlsplit(raw).query).get("ssl_cert_reqs", ()):
            _demand(word in ("none", "optional", "required"))
        return str(plain.parse(raw))

    return Kind(plain.allowed, parse)


def postgresql_url() -> Kind:
    """A PostgreSQL address; the host may be left out when `?host=` names the folder of the unix socket."""

    def parse(raw: str) -> str:
        parts = urlsplit(raw)
        _demand(parts.scheme in ("postgresql", "postgres"))
        _demand(len(parts.path) > 1 and "/" not in parts.path[1:])
        _ = parts.port
        return raw

    return Kind(
        "postgresql://user:password@host:5432/name or, by unix socket, postgresql://user@/name?host=/folder", parse
    )


def rate() -> Kind:
    """A Rate, or None for `off`."""

    def parse(raw: str) -> Rate | None:
        if raw == "off":
            return None
        found = re.fullmatch(r"(\d{1,9})/(second|minute|hour|day)", raw)
        _demand(found is not None and int(found[1]) > 0)
        assert found is not None
        return Rate(count=int(found[1]), seconds=_PERIODS[found[2]])

    return Kind("off, or a number per second, minute, hour or day such as 60/minute", parse)


def folder() -> Kind:
    """A path; it need not exist. `~` is the home folder."""
    return Kind("a path", lambda raw: Path(raw).expanduser())
