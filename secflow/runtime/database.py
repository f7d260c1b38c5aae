"""The database of DATABASE_URL, before Django uses it."""

from __future__ import annotations

import time
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
from psycopg import errors, sql

from secflow.runtime.errors import StandError

_STEP = 0.05


def ensure_database(url: str, *, wait_seconds: float) -> None:
    """Return when the database of `url` accepts a session; it is made when only that is missing.

    Raises StandError with one sentence when it does not within `wait_seconds`.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            psycopg.connect(url, connect_timeout=10).close()
            return
        except psycopg.OperationalError as err:
            if _database_is_missing(err):
                _create_database(url)
                return
            if time.monotonic() >= deadline or not _may_heal(err):
                raise StandError(_said(url, err)) from err
        time.sleep(_STEP)


def _database_is_missing(err: psycopg.OperationalError) -> bool:
    # libpq reports errors of the connection phase as text only.
    return "does not exist" in str(err) and "database " in str(err)


def _may_heal(err: psycopg.OperationalError) -> bool:
    text = str(err)
    return not any(word in text for word in ("authentication failed", "no pg_hba.conf entry", "role "))


def _create_database(url: str) -> None:
    parts = urlsplit(url)
    name = unquote(parts.path[1:])
    try:
        with psycopg.connect(urlunsplit(parts._replace(path="/postgres")), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except errors.DuplicateDatabase:
        return
    except psycopg.Error as err:
        raise StandError(
            f"DATABASE_URL names the database {name}, which does not exist and cannot be made here"
            f" ({_one_line(err)}): create it, or correct DATABASE_URL."
        ) from err


def _said(url: str, err: psycopg.OperationalError) -> str:
    parts = urlsplit(url)
    where = f"{parts.hostname or 'the local socket'}:{parts.port or 5432}"
    return f"PostgreSQL at DATABASE_URL ({where}) cannot be used: {_one_line(err)}. Check the address and that it runs."


def _one_line(err: psycopg.Error) -> str:
    """The reason without the questions that libpq adds below it."""
    first = str(err).strip().splitlines()[0]
    return first.rsplit(" failed: ", 1)[-1].rstrip(".")
