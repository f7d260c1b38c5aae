"""The keys of another issuer while it is slow, wrong or away: who waits, who does not, and what stays in use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from secflow.http import platform
from secflow.http.platform import KeySet
from secflow.runtime.processes import wait_until
from tests.api.test_platform_tokens import Platform, jwks, serving
from workflows.domain.errors import Unauthenticated, Unavailable


@pytest.fixture
def issuer() -> Iterator[Platform]:
    """An issuer with one key, k1."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with serving(Platform(body=jwks(k1=private))) as server:
        yield server
    platform._pool().clear()


@pytest.fixture
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are old at once, and there is no pause between two attempts."""
    monkeypatch.setattr(platform, "JWKS_SECONDS", -1)
    monkeypatch.setattr(platform, "JWKS_PAUSE_SECONDS", -1)


def fetching(keys: KeySet, issuer: Platform) -> threading.Thread:
    """A thread that waits for the issuer's answer, or for the end of its patience."""
    calls = len(issuer.calls)

    def ask() -> None:
        with pytest.raises(Unavailable):
            keys.key("unknown")

    thread = threading.Thread(target=ask)
    thread.start()
    assert wait_until(lambda: len(issuer.calls) > calls, seconds=30)
    return thread


def answer_of(call: Callable[[], object]) -> type[Exception] | None:
    try:
        call()
    except (Unauthenticated, Unavailable) as err:
        return type(err)
    return None


def test_threads_that_begin_together_are_served_by_one_call(issuer: Platform) -> None:
    issuer.delay = 0.1
    keys = KeySet(issuer.url, 10)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: keys.key("k1").key_id, range(8)))

    assert answers == ["k1"] * 8
    assert len(issuer.calls) == 1


def test_while_the_issuer_hangs_known_keys_are_used_at_once(issuer: Platform, always_due: None) -> None:
    keys = KeySet(issuer.url, 5)
    keys.key("k1")
    issuer.delay = 10

    fetcher = fetching(keys, issuer)
    found = keys.key("k1")

    assert fetcher.is_alive()
    assert found.key_id == "k1"
    fetcher.join()


def test_while_the_issuer_hangs_nobody_waits_for_it_but_one(issuer: Platform) -> None:
    issuer.delay = 10
    keys = KeySet(issuer.url, 5)

    fetcher = fetching(keys, issuer)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: answer_of(lambda: keys.key("k1")), range(4)))

    assert fetcher.is_alive()
    assert answers == [Unavailable] * 4
    assert len(issuer.calls) == 1
    fetcher.join()


def test_a_failure_is_followed_by_the_pause(issuer: Platform) -> None:
    issuer.status = 500
    keys = KeySet(issuer.url, 5)

    answers = [answer_of(lambda: keys.key("k1")) for _ in range(3)]

    assert answers == [Unavailable] * 3
    assert len(issuer.calls) == 1


def test_a_failure_leaves_the_known_keys(issuer: Platform, always_due: None) -> None:
    keys = KeySet(issuer.url, 5)
    keys.key("k1")
    issuer.status = 500

    assert keys.key("k1").key_id == "k1"
    # Whether the issuer has it by now, nobody knows.
    assert answer_of(lambda: keys.key("k2")) is Unavailable

    issuer.status = 200
    assert answer_of(lambda: keys.key("k2")) is Unauthenticated
