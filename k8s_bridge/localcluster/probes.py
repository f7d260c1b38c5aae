"""Liveness, readiness and startup probes: one check, and the counting that turns checks into a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from k8s_bridge.localcluster.controller import Object
from k8s_bridge.localcluster.network import Endpoint, resolve_port

Exec = Callable[[list[str], float], Awaitable[tuple[int, str]]]
_SHOWN: int = 1024


@dataclass(frozen=True)
class ProbeTiming:
    """The five numbers, in seconds and counts, with the defaults of Kubernetes."""

    initial_delay: float
    period: float
    timeout: float
    successes: int
    failures: int

    @classmethod
    def of(cls, probe: Object) -> ProbeTiming:
        return cls(
            float(probe.get("initialDelaySeconds") or 0),
            float(probe.get("periodSeconds") or 10),
            float(probe.get("timeoutSeconds") or 1),
            int(probe.get("successThreshold") or 1),
            int(probe.get("failureThreshold") or 3),
        )


async def check(probe: Object, pod: Object, endpoint: Endpoint, execute: Exec) -> str | None:
    """Run the probe once; None when it succeeded, else why it failed."""
    seconds = ProbeTiming.of(probe).timeout
    if "exec" in probe:
        code, text = await execute(list(probe["exec"].get("command") or ()), seconds)
        if code == 124:
            return f"command timed out after {seconds:g}s"
        return None if code == 0 else (text.strip()[:_SHOWN] or f"command ended with exit code {code}")
    if "httpGet" in probe:
        return await _check_http(probe["httpGet"], pod, endpoint, seconds)
    if "tcpSocket" in probe:
        return await _check_tcp(probe["tcpSocket"], pod, endpoint, seconds)
    return "the local cluster knows exec, httpGet and tcpSocket probes only"


def _target(action: Object, pod: Object, endpoint: Endpoint) -> tuple[str, int] | None:
    port = resolve_port(pod, action["port"])
    if port is None:
        return None
    return action.get("host") or endpoint.address, endpoint.port(port)


async def _check_tcp(action: Object, pod: Object, endpoint: Endpoint, seconds: float) -> str | None:
    target = _target(action, pod, endpoint)
    if target is None:
        return f"the pod has no port named {action['port']}"
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(*target)
    except TimeoutError:
        return f"dial tcp {target[0]}:{target[1]}: i/o timeout"
    except OSError as error:
        return f"dial tcp {target[0]}:{target[1]}: connect: {(error.strerror or str(error)).lower()}"
    writer.close()
    return None


async def _check_http(action: Object, pod: Object, endpoint: Endpoint, seconds: float) -> str | None:
    target = _target(action, pod, endpoint)
    if target is None:
        return f"the pod has no port named {action['port']}"
    path = action.get("path") or "/"
    url = f"{(action.get('scheme') or 'HTTP').lower()}://{target[0]}:{target[1]}/{path.lstrip('/')}"
    headers = {header["name"]: header.get("value", "") for header in action.get("httpHeaders") or ()}
    try:
        async with (
            aiohttp.ClientSession(headers={"User-Agent": "kube-probe/local"}) as session,
            session.get(
                url, headers=headers, ssl=False, allow_redirects=False, timeout=aiohttp.ClientTimeout(seconds)
            ) as answer,
        ):
            status = answer.status
    except TimeoutError:
        return f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    except (aiohttp.ClientError, OSError) as error:
        return f'Get "{url}": {error}'
    return None if 200 <= status < 400 else f"HTTP probe failed with statuscode: {status}"


class Prober:
    """Runs one probe of one run of a container until cancelled.

    `on_verdict(True)` after as many successes in a row as asked for, `on_verdict(False)` after as many failures;
    `on_failure(text)` for each failed check. A startup probe ends with its first verdict.
    """

    def __init__(
        self,
        probe: Object,
        once: Callable[[], Awaitable[str | None]],
        on_verdict: Callable[[bool], None],
        on_failure: Callable[[str], None],
        *,
        until_verdict: bool = False,
    ) -> None:
        self._timing = ProbeTiming.of(probe)
        self._once = once
        self._on_verdict = on_verdict
        self._on_failure = on_failure
        self._until_verdict = until_verdict

    async def run(self) -> None:
        timing = self._timing
        loop = asyncio.get_running_loop()
        await asyncio.sleep(timing.initial_delay)
        successes = failures = 0
        due = loop.time()
        while True:
            why = await self._once()
            if why is None:
                successes, failures = successes + 1, 0
            else:
                successes, failures = 0, failures + 1
                self._on_failure(why)
            if successes >= timing.successes or failures >= timing.failures:
                self._on_verdict(successes >= timing.successes)
                if self._until_verdict:
                    return
            due = max(due + timing.period, loop.time())
            await asyncio.sleep(due - loop.time())
