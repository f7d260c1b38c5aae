"""Workflows that the tests of the console look at, made by the API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.e2e.driver import Driver, job
from tests.stack import Stack

# Markup, an override of the reading direction, an isolate, quotes, and as long as a name may be.
NASTY = "<img src=x onerror=alert(1)>\u202eevil\u2066</script><b>\"'{{7*7}}"
NASTY = (NASTY + "ü" * 128)[:128]


@dataclass
class Material:
    """One project with a workflow of each kind, and where the console shows them."""

    driver: Driver
    templates: dict[str, str] = field(default_factory=dict)
    instances: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> str:
        return self.driver.project

    def draft(self, name: str, *scripts: str, **fields: Any) -> str:
        """A chain of jobs that was not started yet; the id."""
        nodes = []
        for position, script in enumerate(scripts):
            template = self.driver.job_template(script, name=f"{name} {position}"[:128], backoff_limit=0)
            nodes.append(job(template, f"step {position + 1}"))
        pairs = [(f"step {number}", f"step {number + 1}") for number in range(1, len(scripts))]
        self.instances[name] = self.driver.instance(nodes, pairs, name=name, **fields)
        return self.instances[name]

    def run(self, name: str, *scripts: str, **fields: Any) -> str:
        """The same, run to its end."""
        found = self.draft(name, *scripts, **fields)
        self.driver.run(found)
        return found


def make_material(stack: Stack, project: str) -> Material:
    """A workflow that succeeded, one that failed, a draft, and one whose every text is hostile."""
    material = Material(Driver(stack, project=project))
    material.run("nightly", "echo fetched 12 pages", "echo report written")
    material.run("broken", "echo reading rules; echo 'rules.yaml: no such file' >&2; exit 3", "echo never")
    material.draft("draft", "echo one", "echo two")
    hostile = material.driver.job_template(
        f"echo '{NASTY[:40].replace(chr(39), '')}'; exit 1", name=NASTY, description=NASTY, backoff_limit=0
    )
    app = material.driver.app_template(name=NASTY, description=NASTY)
    material.templates |= {"job": hostile, "app": app}
    nodes = [job(hostile, NASTY), job(hostile, NASTY[1:] + "x")]
    body = {"name": NASTY, "description": NASTY, "project_id": project, "nodes": nodes}
    body["edges"] = [{"edge_id": "e", "source": nodes[0]["ref"], "target": nodes[1]["ref"]}]
    material.instances["hostile"] = material.driver.call("POST", "/workflow-instances", body).ok(201)["id"]
    material.driver.run(material.instances["hostile"])
    return material
