"""One workflow from its creation to its deletion, held against what was promised at every step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.soak.client import Broken, Client
from tests.soak.material import instance_body, job_body, kind_of, needs_claim
from tests.soak.plan import Workflow

Json = dict[str, Any]

END_SECONDS = 300.0  # for a run, whatever faults there are meanwhile
LOOK_SECONDS = 0.3
ENDED = ("succeeded", "failed")


@dataclass
class Course:
    """One workflow on its way. `touched` tells whether somebody took an object of the instance away: then a run may fail."""

    plan: Workflow
    client: Client
    project: str
    templates: dict[str, str]
    key: str
    touched: Callable[[str], bool]
    instance_id: str = ""
    ids: dict[str, str] = field(default_factory=dict)  # node ids by name
    runs: int = 0  # accepted so far
    emptied: dict[str, float] = field(default_factory=dict)  # since when nothing of it may be there
    extra: str = ""  # its own template

    def run(self) -> None:
        """Raises Broken for the first promise that does not hold."""
        self._create()
        if self.plan.is_set_up_first:
            self._set_up()
        self._ask("start")
        getattr(self, f"_{self.plan.course}")()
        if self.plan.course != "delete":
            self.delete()
        if self.extra:
            self.client.settle("deleting the template", "DELETE", f"/job-templates/{self.extra}")

    def delete(self) -> None:
        """Deletes the instance; once that is answered it does not exist."""
        path = f"/workflow-instances/{self.instance_id}"
        answer = self.client.settle(
            f"deleting {self.instance_id}", "DELETE", path, is_done=lambda: self.client.read(self.instance_id) is None
        )
        if not answer.is_good:
            raise Broken(f"the deletion of {self.instance_id} was refused: {answer}")
        if (left := self.client.read(self.instance_id)) is not None:
            raise Broken(f"{self.instance_id} was deleted and is {left['status']}")
        self.emptied[self.instance_id] = time.time()

    def _create(self) -> None:
        templates = dict(self.templates)
        if self.plan.course == "edit":
            first = self.plan.nodes[0]
            body = job_body(self.project, retries=2 * (first.fate == "retry"), has_claim=needs_claim(first))
            self.extra = str(self.client.settle("a template", "POST", "/job-templates", body).body["id"])
            templates[first.name] = self.extra
        body = instance_body(self.plan, key=self.key, project=self.project, templates=templates)
        made = self.client.settle("the creation", "POST", "/workflow-instances", body, is_done=self._find)
        if not made.is_good:
            raise Broken(f"the creation of {self.key} was refused: {made}")
        self.instance_id = str(made.body["id"])
        self.ids = {node["name"]: node["id"] for node in made.body["nodes"]}
        self._read()

    def _find(self) -> Json | None:
        path = f"/workflow-instances?project_id={self.project}&page=1&page_size=100"
        answer = self.client.settle("the list", "GET", path)
        return next((item for item in answer.body["items"] if item["name"] == self.key), None)

    def _read(self) -> Json:
        found = self.client.read(self.instance_id)
        if found is None:
            raise Broken(f"{self.instance_id} was created and does not exist")
        if found["run_count"] < self.runs:
            raise Broken(f"{self.instance_id} has accepted {self.runs} runs and knows of {found['run_count']}")
        return found

    def _set_up(self) -> None:
        def is_done() -> bool:
            return bool(self._read()["status"] in ("initializing", "initialized", "failed"))

        path = f"/workflow-instances/{self.instance_id}/initialize"
        answer = self.client.settle("initialize", "POST", path, is_done=is_done)
        if not answer.is_good:
            raise Broken(f"initialize of {self.instance_id} was refused: {answer}")
        found = self._wait("initialized", "failed")
        if found["status"] == "failed":
            if not self.touched(self.instance_id):
                raise Broken(f"the set-up of {self.instance_id} failed: {found['message']}")
            self._leave("uninitialize", "pending")

    def _ask(self, verb: str) -> None:
        """Asks for a run. Once it is accepted it is never forgotten."""
        wanted = self.runs + 1
        public = verb == "fire"
        path = f"/trigger/{self.instance_id}" if public else f"/workflow-instances/{self.instance_id}/{verb}"
        if self.plan.number % 2:
            # The key alone must do: a request that is repeated with it accepts no second run.
            answer = self.client.settle(verb, "POST", path, public=public, key=f"{self.key}-{wanted}")
        else:
            answer = self.client.settle(
                verb, "POST", path, public=public, is_done=lambda: self._read()["run_count"] >= wanted
            )
        if not answer.is_good:
            raise Broken(f"{verb} of {self.instance_id} was refused: {answer}")
        self.emptied.pop(self.instance_id, None)
        self.runs = wanted
        # What is answered is read after the run was accepted, and a repeated request is answered long after: it may be over.
        if isinstance(answer.body, dict) and "run_count" in answer.body:
            status, count = answer.body["status"], answer.body["run_count"]
            if status not in ("running", *ENDED) or count != wanted:
                raise Broken(f"{verb} {wanted} of {self.instance_id} was answered with {status} and run {count}")
        found = self._read()
        if found["status"] not in ("running", *ENDED):
            raise Broken(f"{verb} of {self.instance_id} was accepted and it is {found['status']}")

    def _wait(self, *statuses: str) -> Json:
        end = time.monotonic() + END_SECONDS
        while (found := self._read())["status"] not in statuses:
            if time.monotonic() > end:
                raise Broken(
                    f"{self.instance_id} is {found['status']} after {END_SECONDS:g} s, not {' or '.join(statuses)}: "
                    + ", ".join(f"{node['name']} {node['status']} ({node['message'] or ''})" for node in found["nodes"])
                )
            time.sleep(LOOK_SECONDS)
        return found

    def _ends(self, *, failing: str | None = None) -> None:
        """Waits for the end of the run and holds it against what was planned."""
        found = self._wait(*ENDED)
        nodes = {node["name"]: node for node in found["nodes"]}
        told = f"{self.instance_id} {found['status']} ({found['message'] or ''}): " + ", ".join(
            f"{name} {node['status']} ({node['message'] or ''})" for name, node in nodes.items()
        )
        if found["run_count"] != self.runs:
            raise Broken(f"{self.runs} runs were asked for, {found['run_count']} counted: {told}")
        if self.touched(self.instance_id):
            return  # an object of it was taken away: success and failure are both right, hanging is not
        if failing is None:
            if found["status"] != "succeeded" or any(node["status"] != "succeeded" for node in nodes.values()):
                raise Broken(f"should have succeeded: {told}\n{self._logs()}")
            return
        if found["status"] != "failed" or nodes[failing]["status"] != "failed":
            raise Broken(f"should have failed at {failing}: {told}")
        if f"node {failing} failed" not in (found["message"] or ""):
            raise Broken(f"does not name {failing}, which failed: {told}")
        below = self._below(failing)
        if started := [name for name in below if nodes[name]["status"] != "pending"]:
            raise Broken(f"{started} should not have begun after the failure of {failing}: {told}")

    def _logs(self) -> str:
        """What the nodes of the newest run wrote, for whoever has to find out why."""
        path = f"/workflow-instances/{self.instance_id}/logs?page_size=100"
        answer = self.client.settle("the logs", "GET", path)
        return "\n".join(
            f"    {item['task_id']} {item['node_name']} ({item['status']}): {item['execution_logs'].get('logs', '')!r}"
            for item in answer.body.get("items", ())
        )

    def _below(self, name: str) -> set[str]:
        found: set[str] = set()
        todo = [name]
        while todo:
            one = todo.pop()
            new = {target for source, target in self.plan.edges if source == one} - found
            found |= new
            todo += new
        return found

    def _leave(self, verb: str, status: str) -> bool:
        """Stop or uninitialize in the middle. False: the run had ended before."""
        path = f"/workflow-instances/{self.instance_id}/{verb}"
        accepted = (status,) if verb == "uninitialize" else (status, *ENDED)
        answer = self.client.settle(verb, "POST", path, is_done=lambda: self._read()["status"] in accepted)
        if not answer.is_good:
            found = self._read()
            if verb == "stop" and found["status"] in ENDED:
                return False
            raise Broken(f"{verb} of {self.instance_id} was refused: {answer}, and it is {found['status']}")
        found = self._read()
        if verb == "stop" and found["status"] in ENDED:
            return False
        found = self._wait(status)
        wrong = [node["name"] for node in found["nodes"] if node["status"] != status]
        if wrong:
            raise Broken(f"{self.instance_id} is {status} and {wrong} are not")
        self.emptied[self.instance_id] = time.time()
        return True

    def _run(self) -> None:
        self._ends()

    def _fail(self) -> None:
        self._ends(failing=self.plan.failing)

    def _trigger(self) -> None:
        self._ends()
        for _ in range(self.plan.triggers):
            self._ask("fire")
            self._ends()

    def _stop(self) -> None:
        time.sleep(self.plan.pause)
        if self._leave("stop", "stopped"):
            self._ask("start")
            self._ends()

    def _uninitialize(self) -> None:
        time.sleep(self.plan.pause)
        self._leave("uninitialize", "pending")
        self._ask("start")
        self._ends()

    def _delete(self) -> None:
        time.sleep(self.plan.pause)
        self.delete()

    def _edit(self) -> None:
        """The run that is on its way keeps the template it was accepted with; the next one has the new one."""
        first = self.plan.nodes[0]
        retries = 2 * (first.fate == "retry")
        body = job_body(self.project, retries=retries, has_claim=needs_claim(first), script="echo edited; exit 5")
        path = f"/job-templates/{self.extra}"
        answer = self.client.settle("the edit", "PUT", path, {"containers": body["containers"], "backoff_limit": 0})
        if not answer.is_good:
            raise Broken(f"the edit of {self.extra} was refused: {answer}")
        self._ends()
        self._ask("trigger")
        self._ends(failing=first.name)

    def nodes_without_retries(self) -> list[str]:
        """Ids of jobs whose pods are never repeated."""
        return [
            self.ids[node.name]
            for node in self.plan.nodes
            if node.kind == "job" and kind_of(node) != "job-retry" and node.name in self.ids
        ]

    def keys_of_jobs(self) -> dict[str, str]:
        """What the container of each job is told to be, by node id."""
        return {
            self.ids[node.name]: f"{self.key}-{node.name}"
            for node in self.plan.nodes
            if node.kind == "job" and node.name in self.ids
        }

    def edges(self) -> list[tuple[str, str]]:
        """The edges by node ids."""
        return [(self.ids[source], self.ids[target]) for source, target in self.plan.edges if self.ids]
