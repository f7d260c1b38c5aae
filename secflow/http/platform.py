"""Tokens that the platform issued (contract A.2): checked by key, by JWKS, or by asking its auth service."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import jwt
import urllib3

from secflow.http.users import PlatformUser
from workflows.domain.errors import Unauthenticated, Unavailable

logger = logging.getLogger(__name__)

CACHED_TOKENS = 10_000
LARGEST_ANSWER = 256 * 1024
JWKS_SECONDS = 300
# Tokens with made-up key ids, and an issuer that is down, must not turn into one request to it each.
JWKS_PAUSE_SECONDS = 10
# So long other threads wait for the one that fetches: enough for an issuer that is well, little for one that is not.
JWKS_WAIT_SECONDS = 0.5
LEEWAY_SECONDS = 30


class Config(Protocol):
    """What of the settings is read here."""

    auth_jwt_key: str | None
    auth_jwks_url: str | None
    auth_issuer: str | None
    auth_audience: str | None
    auth_algorithms: tuple[str, ...]
    auth_service_url: str | None
    auth_timeout_seconds: float
    auth_cache_seconds: float


class TimedCache:
    """At most `limit` values, each for some seconds; the oldest leave first. Safe to share between threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Any]] = OrderedDict()

    def get(self, key: str) -> Any:
        """The value, or None when there is none or its time is over."""
        with self._lock:
            until, value = self._kept.get(key, (0.0, None))
            if until > time.monotonic():
                return value
            self._kept.pop(key, None)
            return None

    def put(self, key: str, value: Any, seconds: float) -> None:
        with self._lock:
            self._kept[key] = (time.monotonic() + seconds, value)
            self._kept.move_to_end(key)
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)


class KeySet:
    """The signing keys behind a JWKS address, fetched when first needed, when old, and when a token names an unknown
    key.

    One thread at a time asks the issuer, at most once in JWKS_PAUSE_SECONDS. Meanwhile, and as long as the issuer cannot be
    asked, the keys that are known stay in use.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._changed = threading.Condition()
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._is_fetching = False
        self._has_failed = False

    def key(self, key_id: str | None) -> jwt.PyJWK:
        """The key of that id; a token without an id may use the only key there is.

        Raises Unauthenticated when the issuer has no such key, Unavailable when it cannot be asked.
        """
        with self._changed:
            is_fetcher = not self._is_fetching and self._is_due(key_id)
            if is_fetcher:
                self._is_fetching = True
            elif self._find(key_id) is None:
                self._changed.wait_for(lambda: not self._is_fetching, JWKS_WAIT_SECONDS)
        if is_fetcher:
            self._refresh()
        with self._changed:
            found = self._find(key_id)
            is_known = not self._is_fetching and not self._has_failed
        if found is not None:
            return found
        if is_known:
            raise Unauthenticated("the token is signed with a key that its issuer does not publish")
        raise Unavailable("the keys of the token issuer cannot be read at the moment; try again later")

    def _is_due(self, key_id: str | None) -> bool:
        now = time.monotonic()
        if self._tried_at is not None and now - self._tried_at <= JWKS_PAUSE_SECONDS:
            return False
        return self._fetched_at is None or now - self._fetched_at > JWKS_SECONDS or self._find(key_id) is None

    def _refresh(self) -> None:
        """Asks the issuer, outside the lock. A failure is logged, and remembered for the pause."""
        keys: dict[str | None, jwt.PyJWK] | None = None
        try:
            keys = self._fetch()
        except Unavailable as err:
            logger.warning(
                "the keys of the token issuer cannot be fetched; those known stay in use: %s", err.__cause__ or err
            )
        finally:
            with self._changed:
                self._tried_at = time.monotonic()
                self._has_failed = keys is None
                if keys is not None:
                    self._keys, self._fetched_at = keys, self._tried_at
                self._is_fetching = False
                self._changed.notify_all()

    def _find(self, key_id: str | None) -> jwt.PyJWK | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    def _fetch(self) -> dict[str | None, jwt.PyJWK]:
        status, body = _call("GET", self._url, self._timeout, {})
        try:
            if status != 200:
                raise ValueError(f"status {status}")
            return {key.key_id: key for key in jwt.PyJWKSet.from_dict(json.loads(body)).keys}
        except (ValueError, AttributeError, jwt.PyJWTError) as err:
            raise Unavailable("the keys of the token issuer cannot be read at the moment; try again later") from err


@lru_cache(maxsize=4)
def key_set(url: str, timeout: float) -> KeySet:
    """One KeySet per address and process."""
    return KeySet(url, timeout)


def user_by_jwt(raw: str, config: Config) -> PlatformUser:
    """The user of a JWT of the pinned issuer for the pinned audience. Algorithms come from the settings, never the
    token.
    """
    try:
        key: Any = config.auth_jwt_key
        if config.auth_jwks_url:
            key_id = jwt.get_unverified_header(raw).get("kid")
            key = key_set(config.auth_jwks_url, config.auth_timeout_seconds).key(key_id)
        claims = _decode(raw, key, config.auth_algorithms, config)
    except (jwt.PyJWTError, ValueError, TypeError) as err:
        raise Unauthenticated("the token is invalid or has expired; sign in again") from err
    if claims.get("token_type", claims.get("type", "access")) == "refresh":
        raise Unauthenticated("a refresh token cannot be used to call the API")
    return PlatformUser.from_claims(claims, id_names=("user_id", "id", "sub"))


def _decode(raw: str, key: Any, algorithms: Sequence[str], config: Config) -> dict[str, Any]:
    return jwt.decode(
        raw,
        key,
        algorithms=list(algorithms),
        issuer=config.auth_issuer,
        audience=config.auth_audience,
        leeway=LEEWAY_SECONDS,
        options={"require": ["exp", "iss", "aud"]},
    )


_believed = TimedCache(CACHED_TOKENS)


def user_by_service(raw: str, config: Config) -> PlatformUser:
    """The user that the auth service names for a token; its answer is believed for `auth_cache_seconds`.

    200 is a user, 401 a bad token, anything else an outage. Bad tokens are not remembered.
    """
    # The token itself is not kept in memory longer than the request.
    name = hashlib.sha256(f"{config.auth_service_url} {raw}".encode()).hexdigest()
    user = _believed.get(name)
    if user is None:
        user = _ask_service(raw, config)
        _believed.put(name, user, config.auth_cache_seconds)
    assert isinstance(user, PlatformUser)
    return user


def _ask_service(raw: str, config: Config) -> PlatformUser:
    assert config.auth_service_url is not None
    headers = {"Authorization": f"Bearer {raw}", "Accept": "application/json"}
    status, body = _call("POST", config.auth_service_url, config.auth_timeout_seconds, headers)
    if status == 401:
        raise Unauthenticated("the token is invalid or has expired; sign in again")
    try:
        answer = json.loads(body) if status == 200 else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Unavailable("the authentication service gave no usable answer; try again later", {"status": status})
    return PlatformUser.from_claims(answer, id_names=("id",))


@lru_cache(maxsize=1)
def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(maxsize=16)


def _call(method: str, url: str, timeout: float, headers: dict[str, str]) -> tuple[int, bytes]:
    """Status and body of one call: no retry, no redirect (a token must not travel on). Raises Unavailable."""
    try:
        answer = _pool().request(
            method, url, headers=headers, timeout=timeout, retries=False, redirect=False, preload_content=False
        )
        try:
            body = answer.read(LARGEST_ANSWER + 1)
        finally:
            answer.release_conn() if answer.status == 200 else answer.close()
    except (urllib3.exceptions.HTTPError, OSError) as err:
        raise Unavailable("the authentication service cannot be reached at the moment; try again later") from err
    if len(body) > LARGEST_ANSWER:
        raise Unavailable("the authentication service gave an answer that is too large; try again later")
    return answer.status, body
