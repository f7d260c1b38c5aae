"""Pictures of the main pages of the console, light and dark, with workflows that really ran on the local cluster.

    python -m tests.ui.screenshots [--folder .secflow/screenshots] [--only instance-]

Everything is started here and stopped at the end. With --docs, those of the README are written as well.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from secflow.runtime.claims import ensure_claims
from secflow.runtime.definition import instance_body, load_definition
from secflow.runtime.parts import example_folder
from tests.e2e.driver import Driver, job
from tests.stack import PASSWORD, ROOT, Stack, running_stack
from tests.ui.browser import INSTALL, Browser, binaries, opened

THEMES = ("light", "dark")
INSTANCES = "/admin/workflows/workflowinstance/"
TEMPLATES = "/admin/templates_app/jobtemplate/"
NODES = "/admin/workflows/workflownode/"
# Pages of the README, by theme.
README_PAGES = {"light": "instance-succeeded", "dark": "instance-failed"}
NAMES = {
    "security": ("nightly scan", "dependency audit", "secrets sweep", "container baseline", "licence check"),
    "data": ("import customers", "rebuild search index", "monthly invoices", "feature store refresh"),
    "platform": ("renew certificates", "backup verification", "staging smoke test"),
}
STEPS = ("fetch", "check", "report")


def main() -> int:
    """The command line. 0: all pictures are written, 2: there is no browser."""
    parser = argparse.ArgumentParser(description="Pictures of the console's main pages, light and dark.")
    parser.add_argument("--folder", type=Path, default=ROOT / ".secflow" / "screenshots", help="where they are written")
    parser.add_argument("--only", default="", help="pages whose name begins so")
    parser.add_argument("--docs", action="store_true", help="write docs/pictures/console-*.png of the README as well")
    found = parser.parse_args()
    if binaries() is None:
        sys.stdout.write(f"{INSTALL}\n")
        return 2
    folder: Path = found.folder
    with ExitStack() as open_things:
        work = Path(open_things.enter_context(tempfile.TemporaryDirectory(prefix="secflow-screenshots-")))
        stack = open_things.enter_context(running_stack(work / "data"))
        pages = dict(prepare(stack))
        browser = open_things.enter_context(opened(f"http://127.0.0.1:{stack.port}", work / "browser"))
        browser.log_in("admin", PASSWORD)
        for theme in THEMES:
            browser.theme(theme)
            for name, show in pages.items():
                if not name.startswith(found.only):
                    continue
                show(browser)
                browser.picture(folder / f"{name}-{theme}.png")
                browser.picture(folder / "whole" / f"{name}-{theme}.png", whole=True)
                sys.stdout.write(f"{folder / f'{name}-{theme}.png'}\n")
                if found.docs and name == README_PAGES[theme]:
                    browser.picture(ROOT / "docs" / "pictures" / f"console-{theme}.png")
    return 0


def prepare(stack: Stack) -> Iterator[tuple[str, Callable[[Browser], Any]]]:
    """Makes the workflows; the pages by name, each with what brings the browser there."""
    audit = site_audit(stack)
    driver = Driver(stack, project="security")
    scan = scan_of_five(driver)
    past(stack)
    failed = next(node for node in driver.read(scan)["nodes"] if node["status"] == "failed")
    template = driver.call("GET", "/job-templates?project_id=security").ok()["items"][0]["id"]
    draft = draft_of_two(driver)

    def at(path: str) -> Callable[[Browser], None]:
        return lambda browser: browser.open(path)

    yield "login", lambda browser: signed_out(browser)
    yield "front", at("/admin/")
    yield "instances", at(INSTANCES)
    yield "instance-succeeded", at(f"{INSTANCES}{audit}/change/")
    yield "instance-failed", at(f"{INSTANCES}{scan}/change/")
    yield "node", at(f"{NODES}{failed['id']}/change/")
    yield "nodes", at(NODES)
    yield "runs", at("/admin/workflows/run/")
    yield "journal", at("/admin/workflows/event/")
    yield "template", at(f"{TEMPLATES}{template}/change/")
    yield "template-add", at("/admin/templates_app/apptemplate/add/")
    yield "build", at(f"{INSTANCES}{draft}/build/")
    yield "build-node", at(f"{INSTANCES}{draft}/nodes/{driver.read(draft)['nodes'][1]['id']}/edit/")
    yield "pick-template", at(f"{INSTANCES}{draft}/nodes/pick/")
    yield "dry-run", at(f"{INSTANCES}{audit}/dry-run/")
    yield "import", at(f"{INSTANCES}import/")
    yield "confirm", at(f"{INSTANCES}{draft}/start/")
    yield "api-docs", at("/api/docs/")


def signed_out(browser: Browser) -> None:
    """The log-in page, as somebody who is not signed in sees it."""
    cookies = browser.driver.get_cookies()
    browser.driver.delete_all_cookies()
    browser.open("/admin/login/")
    for cookie in cookies:
        browser.driver.add_cookie(cookie)


def site_audit(stack: Stack) -> str:
    """The example of the quickstart, run to its end."""
    definition = load_definition(example_folder() / "site_audit.json")
    ensure_claims(stack.kubeconfig, definition.project_id, definition.claims)
    ids: dict[str, str] = {}
    for kind, templates in (("app-templates", definition.app_templates), ("job-templates", definition.job_templates)):
        ids |= {handle: stack.api.post(kind, body=body)["id"] for handle, body in templates.items()}
    instance: str = stack.api.post("workflow-instances", body=instance_body(definition, ids))["id"]
    stack.api.post("workflow-instances", instance, "start")
    stack.wait_for(instance, "succeeded")
    return instance


def scan_of_five(driver: Driver) -> str:
    """A workflow of five jobs whose fourth fails, with something to read."""
    lines = 'for i in $(seq 1 40); do echo "$(date -u +%H:%M:%S) checked host-$i.internal: ok"; done'
    scripts = {
        "collect hosts": f"echo 40 hosts in scope; {lines}",
        "port scan": f"{lines}; echo 3 open ports outside the policy",
        "tls check": "echo tls 1.2 or newer on all 40 hosts",
        "match findings": f"{lines}; echo 'policy.yaml: line 14: unknown severity \"urgent\"' >&2; exit 3",
        "report": "echo never",
    }
    nodes = [
        job(
            driver.job_template(script, name=name, description=f"Step of the perimeter scan: {name}.", backoff_limit=0),
            name,
        )
        for name, script in scripts.items()
    ]
    edges = [
        ("collect hosts", "port scan"),
        ("collect hosts", "tls check"),
        ("port scan", "match findings"),
        ("tls check", "match findings"),
        ("match findings", "report"),
    ]
    instance = driver.instance(
        nodes, edges, name="perimeter scan", description="Every host of the office network, each night."
    )
    driver.run(instance)
    return instance


def draft_of_two(driver: Driver) -> str:
    """A workflow that is being built: its second node lacks an input."""
    fetch = driver.job_template("echo fetched", name="fetch advisories", description="Downloads new advisories.")
    wanted = [{"name": "ADVISORIES"}, {"name": "CHANNEL", "default_value": "#security"}]
    notify = driver.job_template(
        "echo told", name="notify team", description="Tells the team.", container={"input_env_vars": wanted}
    )
    nodes = [job(fetch, "fetch"), job(notify, "notify", env_vars=[{"name": "ADVISORIES", "value": "/data/new.json"}])]
    return driver.instance(nodes, [("fetch", "notify")], name="advisory watch")


def past(stack: Stack) -> None:
    """Other workflows in every state, so that lists and counts look as they do after some days."""
    for project, names in NAMES.items():
        driver = Driver(stack, project=project)
        template = driver.job_template("echo done", name="step", backoff_limit=0)
        failing = driver.job_template(
            "echo 'connection refused: db.internal:5432' >&2; exit 1", name="flaky step", backoff_limit=0
        )
        waiting = driver.job_template("trap 'exit 0' TERM; sleep 600 & wait $!", name="long step", backoff_limit=0)
        for number, name in enumerate(names):
            last = {1: failing, 2: waiting}.get(number, template)
            nodes = [job(last if step == "report" else template, step) for step in STEPS]
            instance = driver.instance(nodes, zip(STEPS, STEPS[1:], strict=False), name=name)
            if number == 3:
                continue
            driver.act(instance, "start").ok()
            if number != 2:
                driver.wait_for(instance, "succeeded", "failed")


if __name__ == "__main__":
    raise SystemExit(main())
