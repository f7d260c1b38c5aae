"""The HTTPS server: who may speak, which handler answers, and how an error looks.

Every error is a `Status`. `/readyz`, `/livez`, `/healthz` and `/version` need no token, everything else does.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, cast

from aiohttp import hdrs, web

from k8s_bridge.localcluster import discovery, openapi
from k8s_bridge.localcluster.answers import error_answer, json_answer
from k8s_bridge.localcluster.calls import Target, find_target, method_not_allowed, unknown_path
from k8s_bridge.localcluster.errors import StoreError
from k8s_bridge.localcluster.events import drop_old_events
from k8s_bridge.localcluster.lists import Lists
from k8s_bridge.localcluster.logs import Logs, LogSource
from k8s_bridge.localcluster.metrics import CONTENT_TYPE, Metrics
from k8s_bridge.localcluster.negotiation import BODY_LIMIT, read_body
from k8s_bridge.localcluster.objects import Objects
from k8s_bridge.localcluster.store import Store, utc_now
from k8s_bridge.localcluster.tls import Identity
from k8s_bridge.localcluster.watches import Watches

logger = logging.getLogger(__name__)

OPEN_PATHS: Final = frozenset({"version", "healthz", "livez", "readyz"})
BINDABLE: Final = ("127.0.0.1", "::1")
LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
HOUSEKEEPING_SECONDS: Final = 60.0

Handler = Callable[[web.Request, Target], Awaitable[web.StreamResponse]]


class ApiServer:
    """The Kubernetes API over one store, on a loopback address.

    `start` binds (`port` 0 = any free one) and returns the port; `stop` ends every stream and stops listening. `logs`
    gives the logs of pods; without it there are none.
    """

    def __init__(
        self,
        store: Store,
        identity: Identity,
        *,
        logs: LogSource | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._identity = identity
        self._clock = clock
        self._metrics = Metrics()
        self._streams: set[asyncio.Task[object]] = set()
        self._runner: web.AppRunner | None = None
        self._housekeeping: asyncio.Task[None] | None = None
        self._ready = False
        self._address = ""
        objects = Objects(store, clock)
        lists = Lists(store, objects, clock)
        self._handlers: dict[str, Handler] = {
            "create": objects.create,
            "delete": objects.delete,
            "deletecollection": lists.deletecollection,
            "get": objects.get,
            "list": lists.list,
            "log": Logs(store, logs).log,
            "patch": objects.patch,
            "update": objects.update,
            "watch": Watches(store, clock).watch,
        }

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> int:
        if host not in BINDABLE:
            raise ValueError(f"{host} is not a loopback address: whoever reaches this server runs commands as you")
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._answer)
        # A handler is cancelled when its client goes: an idle watch would not notice otherwise.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=self._identity.server_context(), backlog=512)
        await site.start()
        bound: int = self._runner.addresses[0][1]
        self._address = f"{host}:{bound}"
        self._housekeeping = asyncio.create_task(self._keep_house())
        self._ready = True
        return bound

    async def stop(self) -> None:
        self._ready = False
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._housekeeping
        for task in tuple(self._streams):
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _keep_house(self) -> None:
        while True:
            drop_old_events(self._store, self._clock())
            await asyncio.sleep(HOUSEKEEPING_SECONDS)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        verb: str | None = None
        target: Target | None = None
        code = 500
        try:
            parts = request.path.strip("/").split("/")
            self._admit(request, parts[0])
            answer = await self._answer_fixed(request, parts)
            if answer is None:
                target = find_target(parts)
                verb = target.verb(request.method, request.query)
                answer = await self._run("log" if target.subresource == "log" else verb, request, target)
            code = answer.status
        except StoreError as error:
            code = error.status
            answer = error_answer(error)
        except ConnectionError:
            # The client has left in the middle of its answer; there is nobody to tell.
            code = 499
            answer = web.Response(status=code)
        except asyncio.CancelledError:
            # How a watch ends when its client goes.
            code = 200 if verb == "watch" or (target and target.subresource == "log") else 499
            raise
        except Exception:
            logger.exception("request failed", extra={"method": request.method, "path": request.path})
            message = "Internal error occurred: the server's log has the details"
            answer = error_answer(StoreError(500, "InternalError", message))
        finally:
            self._metrics.count(request.method, verb, target, code)
        return answer

    async def _run(self, name: str, request: web.Request, target: Target) -> web.StreamResponse:
        if name not in ("log", "watch"):
            return await self._handlers[name](request, target)
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._streams.add(task)
        self._metrics.streams[name.upper()] += 1
        try:
            return await self._handlers[name](request, target)
        finally:
            self._metrics.streams[name.upper()] -= 1
            self._streams.discard(task)

    def _admit(self, request: web.Request, first: str) -> None:
        host = request.headers.get(hdrs.HOST, "")
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if name not in LOOPBACK_NAMES:
            # A web page can make a browser call a name that it points to 127.0.0.1; that name betrays it.
            raise StoreError(403, "Forbidden", f"the Host {host!r} is not this server: use 127.0.0.1 or localhost")
        if first in OPEN_PATHS and request.method in ("GET", "HEAD"):
            return
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._identity.token.encode()):
            raise StoreError(401, "Unauthorized", "Unauthorized: use the kubeconfig that this server has written")

    async def _answer_fixed(self, request: web.Request, parts: list[str]) -> web.StreamResponse | None:
        """The answers that are not about stored objects; None when the path is one of those."""
        if parts == ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"]:
            return await self._review(request)
        answer = self._document(request, parts)
        if answer is not None and request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        return answer

    def _document(self, request: web.Request, parts: list[str]) -> web.Response | None:
        match parts:
            case ["version"]:
                return json_answer(discovery.version())
            case ["healthz" | "livez" | "readyz", *_]:
                if not self._ready:
                    raise StoreError(503, "ServiceUnavailable", "the server is stopping")
                return web.Response(text="ok")
            case ["metrics"]:
                return web.Response(body=self._metrics.text(self._store), headers={"Content-Type": CONTENT_TYPE})
            case [""]:
                return json_answer({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/metrics", "/openapi/v3"]})
            case ["api"] | ["apis"]:
                return self._groups(request, core=parts == ["api"])
            case ["api", "v1"]:
                return json_answer(discovery.resource_list(""))
            case ["apis", group] if group in discovery.NAMED_GROUPS:
                return json_answer(discovery.group(group))
            case ["apis", group, "v1"] if group in discovery.NAMED_GROUPS:
                return json_answer(discovery.resource_list(group))
            case ["openapi", "v3"]:
                return json_answer(openapi.index())
            case ["openapi", "v3", *rest] if "/".join(rest) in discovery.group_paths():
                return web.Response(body=openapi.document("/".join(rest)), headers={"Content-Type": "application/json"})
            case ["api" | "apis", _, _, *_]:
                return None
        raise unknown_path()

    def _groups(self, request: web.Request, *, core: bool) -> web.Response:
        accepted = request.headers.get(hdrs.ACCEPT, "").replace(" ", "")
        if "as=APIGroupDiscoveryList" in accepted and "v=v2;" in f"{accepted};".replace(",", ";"):
            return json_answer(discovery.aggregated(core=core), content_type=discovery.AGGREGATED)
        return json_answer(discovery.api_versions(self._address) if core else discovery.group_list())

    async def _review(self, request: web.Request) -> web.Response:
        """Whoever holds the token may do everything."""
        if request.method != "POST":
            raise method_not_allowed()
        body = await read_body(request)
        spec = body.get("spec", {}) if isinstance(body, dict) else {}
        status = {"allowed": True, "reason": "the holder of the token may do everything"}
        review = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}}
        return json_answer({**review, "spec": spec, "status": status}, 201)
