"""Calls of the public API as a client makes them, whole answers kept, and short ways to the resources that tests need."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from k8s_bridge.client import ClusterClient
from k8s_bridge.errors import NotFound
from tests.stack import PASSWORD, Stack, describe, eventually, objects_of

Json = dict[str, Any]
Found = TypeVar("Found")

BASE = "/api/workflow"
SECONDS = 90.0  # patience; a real cluster may be busy
PORTS = [{"name": "http", "port": 80, "target_port": 8080}]
# A persistent instance that everything may trigger.
TRIGGERABLE: Json = {"run_mode": "persistent", "trigger_type": "http", "trigger_enabled": True}


@dataclass(frozen=True)
class Answer:
    """Status and document of one answer. `body` is the decoded JSON: every answer of the API has one."""

    status: int
    body: Any

    @property
    def code(self) -> Any:
        return self.body.get("code")

    @property
    def details(self) -> Any:
        return self.body.get("details")

    def refused(self, status: int, code: str) -> Json:
        """The error body, once it is sure that it is this refusal in the form of contract A.4."""
        assert (self.status, self.code) == (status, code), self
        assert set(self.body) == {"code", "message", "details"}, self
        found: Json = self.body
        return found

    def ok(self, status: int = 200) -> Any:
        """The body of an answer that must have this status."""
        assert self.status == status, self
        return self.body


@dataclass
class Driver:
    """One user's view of a running SecFlow, in a project of its own."""

    stack: Stack
    project: str
    username: str = "admin"
    password: str = PASSWORD
    made: list[str] = field(default_factory=list)
    _token: str = ""

    def call(self, method: str, path: str, body: Any = None, *, public: bool = False, **headers: str) -> Answer:
        """One request below /api/workflow. `body`: None is no body at all."""
        return self._send(method, BASE + path, body, {} if public else self.token() | headers)

    def text(self, method: str, path: str, text: str) -> Answer:
        """One request with a body of YAML."""
        return self._send(method, BASE + path, text.encode(), self.token() | {"Content-Type": "application/yaml"})

    def token(self) -> dict[str, str]:
        """The header that says who it is."""
        if not self._token:
            login = self._send("POST", "/api/token/", {"username": self.username, "password": self.password}, {})
            self._token = login.ok()["access"]
        return {"Authorization": f"Bearer {self._token}"}

    def _send(self, method: str, path: str, body: Any, headers: Json) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.stack.port, timeout=SECONDS)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return Answer(answer.status, json.loads(answer.read()))
        finally:
            connection.close()

    def job_template(self, script: str, **fields: Any) -> str:
        return self._template("job-templates", script, fields)

    def app_template(self, script: str = "sleep 3600", **fields: Any) -> str:
        return self._template("app-templates", script, fields)

    def _template(self, kind: str, script: str, fields: Json) -> str:
        container = {"name": "main", "image": "busybox:latest", "command": ["sh", "-c", script]}
        container |= fields.pop("container", {})
        body = {"name": "t", "project_id": self.project, "containers": [container], **fields}
        return str(self.call("POST", f"/{kind}", body).ok(201)["id"])

    def instance(self, nodes: Sequence[Json], edges: Iterable[tuple[str, str]] = (), **fields: Any) -> str:
        """A draft. `edges` are pairs of node names."""
        body = {"name": "i", "project_id": self.project, "nodes": nodes, **fields}
        body["edges"] = [{"edge_id": f"{a}-{b}", "source": a, "target": b} for a, b in edges]
        found = str(self.call("POST", "/workflow-instances", body).ok(201)["id"])
        self.made.append(found)
        return found

    def read(self, instance_id: str) -> Json:
        found: Json = self.call("GET", f"/workflow-instances/{instance_id}").ok()
        return found

    def act(self, instance_id: str, verb: str, body: Any = None) -> Answer:
        return self.call("POST", f"/workflow-instances/{instance_id}/{verb}", body)

    def fire(self, instance_id: str, path: str = "/trigger") -> Answer:
        """The HTTP trigger, as somebody without a token."""
        return self.call("POST", f"{path}/{instance_id}", public=True)

    def remove(self, instance_id: str) -> Answer:
        return self.call("DELETE", f"/workflow-instances/{instance_id}")

    def removed(self, instance_id: str) -> None:
        """Removes the instance and returns once neither the API nor the cluster has anything of it.

        What SecFlow says that it will do later is waited for; a client that is told to come again does so.
        """

        def is_accepted() -> bool:
            answer = self.remove(instance_id)
            if answer.status in (200, 404):
                return True
            message = answer.refused(500, "INTERNAL_ERROR")["message"]
            assert message.endswith(("it goes by itself when they are", "it will be tried again")), answer
            return message.endswith("it goes by itself when they are")

        eventually(is_accepted, seconds=SECONDS, what=f"a deletion of {instance_id}")
        path = f"/workflow-instances/{instance_id}"
        eventually(lambda: self.call("GET", path).status == 404, seconds=SECONDS, what=f"the end of {instance_id}")
        eventually(lambda: objects_of(self.stack.kubeconfig, instance_id) == [], what=f"nothing left of {instance_id}")

    def wait(self, instance_id: str, is_so: Callable[[Json], object], *, seconds: float = SECONDS) -> Json:
        """The instance, once it is so."""
        end = time.monotonic() + seconds
        while not is_so(found := self.read(instance_id)):
            assert time.monotonic() < end, f"{found['status']}, {found['message']}: {describe(found)}"
            time.sleep(0.05)
        return found

    def wait_for(self, instance_id: str, *statuses: str) -> Json:
        return self.wait(instance_id, lambda found: found["status"] in statuses)

    def run(self, instance_id: str, verb: str = "start") -> Json:
        """One run from its acceptance to its end."""
        self.act(instance_id, verb).ok()
        return self.wait_for(instance_id, "succeeded", "failed")

    def clear(self) -> None:
        """Removes what was made, and the namespace with what a test put into it."""
        at_once(8, lambda number: [self.remove(one) for one in self.made[number::8]])
        client = ClusterClient(self.stack.kubeconfig)
        try:
            with suppress(NotFound):
                client.request("DELETE", f"/api/v1/namespaces/secflow-{self.project}")
        finally:
            client.close()


def job(template: str, name: str, **fields: Any) -> Json:
    return {"ref": name, "name": name, "node_type": "job", "template_id": template, **fields}


def app(template: str, name: str, **fields: Any) -> Json:
    return {"ref": name, "name": name, "node_type": "app", "template_id": template, **fields}


def nodes_by_name(instance: Json) -> dict[str, Json]:
    return {node["name"]: node for node in instance["nodes"]}


def statuses(instance: Json) -> dict[str, str]:
    return {node["name"]: node["status"] for node in instance["nodes"]}


def at_once(count: int, call: Callable[[int], Found]) -> list[Found]:
    """The results of `count` calls from as many threads."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))
