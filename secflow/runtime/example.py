"""Runs an example workflow through the public HTTP API and prints the report that its pods produced.

    python -m secflow.runtime.example --url http://127.0.0.1:10005 [--file workflow.json]

Exit code 0 only when the workflow succeeded.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secflow.runtime.api_client import ApiClient
from secflow.runtime.claims import ensure_claims
from secflow.runtime.definition import Definition, instance_body, load_definition
from secflow.runtime.errors import StandError
from secflow.runtime.parts import example_folder
from secflow.runtime.progress import Progress, progress_for
from secflow.settings import environment
from secflow.settings.environment import ConfigurationError

Json = dict[str, Any]
_ENDED = frozenset({"succeeded", "failed", "stopped"})
# The definition's own time-outs end it long before, unless a worker is missing.
_LONGEST_RUN = 600.0
_STEP = 0.15
_TAIL = 20


def main() -> int:
    """The command line. 0: succeeded, 1: it ran and failed, 2: it could not be run, 130: interrupted."""
    parser = argparse.ArgumentParser(description="Run an example workflow through the HTTP API.")
    parser.add_argument("--url", required=True, help="where SecFlow answers, such as http://127.0.0.1:10005")
    parser.add_argument(
        "--file", type=Path, default=example_folder() / "site_audit.json", help="the workflow definition"
    )
    parser.add_argument("--password-file", type=Path, help="the password when DJANGO_SUPERUSER_PASSWORD is not set")
    parser.add_argument("--plain", action="store_true", help="lines instead of a table")
    found = parser.parse_args()
    try:
        return run_example(found.url, found.file, password_file=found.password_file, plain=found.plain)
    except (StandError, ConfigurationError) as err:
        sys.stdout.write(f"The example cannot be run: {err}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def run_example(url: str, file: Path, *, password_file: Path | None, plain: bool) -> int:
    """Make templates and instance of `file`, run it with live progress and print its report; returns the exit code."""
    environment.adopt_running_stand()
    environ = environment.process_environment()
    # It only calls the API, so it needs no database, broker or secret.
    settings = environment.load(environ, missing_allowed=True)
    definition = load_definition(file)
    if definition.claims:
        ensure_claims(settings.kubeconfig, definition.project_id, definition.claims)
    password = settings.superuser_password or _kept_password(password_file)
    api = ApiClient(url, username=settings.superuser_username, password=password)
    _remove_earlier(api, definition)
    instance = api.post("workflow-instances", body=instance_body(definition, _put_templates(api, definition)))
    _say(f"\n{definition.title}: {len(instance['nodes'])} nodes, instance {instance['id']}")
    began = time.monotonic()
    api.post("workflow-instances", instance["id"], "start")
    with progress_for(sys.stdout, title=definition.title, environ=environ, plain=plain) as progress:
        instance = _follow(api, instance["id"], progress)
    _say(f"{definition.title} {instance['status']} after {time.monotonic() - began:.1f} s.\n")
    if instance["status"] != "succeeded":
        _explain(api, instance)
        return 1
    if definition.report:
        _say(_log(api, instance, _node_of(instance, definition), lines=1000))
    return 0


def _kept_password(path: Path | None) -> str:
    hint = "set DJANGO_SUPERUSER_PASSWORD, or name the file that holds it with --password-file."
    if path is None:
        raise StandError(f"the admin's password is not known here: {hint}")
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as err:
        raise StandError(f"the password file {path} cannot be read ({err.strerror}): {hint}") from err


def _remove_earlier(api: ApiClient, definition: Definition) -> None:
    """Delete earlier instances of this example, so that what it shows is of this run."""
    for found in api.get("workflow-instances", project_id=definition.project_id)["items"]:
        if found["name"] == definition.instance["name"]:
            api.delete("workflow-instances", found["id"])


def _put_templates(api: ApiClient, definition: Definition) -> dict[str, str]:
    """Create the templates, or bring those of the same name up to date; their ids by handle."""
    ids: dict[str, str] = {}
    for kind, templates in (("app-templates", definition.app_templates), ("job-templates", definition.job_templates)):
        listed = api.get(kind, project_id=definition.project_id, scope="project")["items"]
        known: Mapping[str, str] = {item["name"]: item["id"] for item in listed}
        for handle, body in templates.items():
            if body["name"] in known:
                ids[handle] = api.put(kind, known[body["name"]], body=body)["id"]
            else:
                ids[handle] = api.post(kind, body=body)["id"]
    return ids


def _follow(api: ApiClient, instance_id: str, progress: Progress) -> Json:
    """Show the instance until its run ends. Raises StandError when it never does."""
    deadline = time.monotonic() + _LONGEST_RUN
    while True:
        instance: Json = api.get("workflow-instances", instance_id)
        progress.show(instance)
        if instance["status"] in _ENDED:
            return instance
        if time.monotonic() > deadline:
            raise StandError(
                f"the run has not ended after {_LONGEST_RUN:.0f} seconds: run `manage.py doctor`, see the worker's log."
            )
        time.sleep(_STEP)


def _node_of(instance: Json, definition: Definition) -> Json:
    name = next(node["name"] for node in definition.instance["nodes"] if node.get("ref") == definition.report)
    found: Json = next(node for node in instance["nodes"] if node["name"] == name)
    return found


def _log(api: ApiClient, instance: Json, node: Json, *, lines: int) -> str:
    """The node's log: from its pod, else the record that was kept when it ended."""
    try:
        answer = api.get(
            "workflow-instances", instance["id"], "nodes", node["id"], "logs", tail_lines=str(lines), timestamps="false"
        )
        return str(answer["logs"]).rstrip()
    except StandError:
        records = api.get("workflow-instances", instance["id"], "logs", node_id=node["id"])["items"]
        return str(records[0]["execution_logs"]["logs"]).rstrip() if records else "(no log was kept)"


def _explain(api: ApiClient, instance: Json) -> None:
    """Why it did not succeed: each node's message, and the last lines of those that failed."""
    if instance["message"]:
        _say(instance["message"])
    for node in instance["nodes"]:
        _say(f"  {node['name']:<20} {node['status']:<10} {node['message'] or ''}".rstrip())
        if node["status"] == "failed" and node["k8s_resource_name"]:
            _say("\n".join(f"      {line}" for line in _log(api, instance, node, lines=_TAIL).splitlines()))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
