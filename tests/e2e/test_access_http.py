"""Members, a manager and a stranger of one project over HTTP (contract A.2, A.3, D.10)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.e2e.driver import Driver, job
from tests.stack import ROOT, Stack

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

USERS = """
from django.contrib.auth import get_user_model
from secflow.projects.models import ProjectMember
ids = {n: str(get_user_model().objects.create_user(n + '-%(project)s', password='%(project)s').pk) for n in ('ann', 'bob', 'eve')}
ProjectMember.objects.create(project_id='%(project)s', user_id=ids['ann'], role='manager')
ProjectMember.objects.create(project_id='%(project)s', user_id=ids['bob'], role='member')
"""


def test_members_share_a_project_and_others_see_nothing_of_it(stack: Stack, driver: Driver) -> None:
    subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "shell", "-c", USERS % {"project": driver.project}],
        cwd=ROOT, env={**clean_environment(), "DATA_DIR": str(stack.folder)}, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    ann, bob, eve = (
        Driver(stack, driver.project, f"{name}-{driver.project}", driver.project) for name in ("ann", "bob", "eve")
    )
    template = ann.job_template("true")
    one = ann.instance([job(template, "work")])
    driver.made.append(one)
    node = ann.read(one)["nodes"][0]["id"]
    path = f"/workflow-instances/{one}"

    verbs = ("initialize", "start", "stop", "uninitialize", "sync-status", "activate", "deactivate", "trigger")
    calls = [("POST", f"{path}/{verb}") for verb in verbs]
    calls += [(method, path) for method in ("GET", "PUT", "DELETE")]
    calls += [("GET", f"{path}/nodes"), ("GET", f"{path}/logs"), ("GET", f"{path}/nodes/{node}/logs")]
    calls += [(method, f"/job-templates/{template}") for method in ("GET", "PUT", "DELETE")]
    for method, where in calls:
        eve.call(method, where).refused(403, "FORBIDDEN")
        eve.call(method, where, public=True).refused(401, "UNAUTHORIZED")
        eve.call(
            method, where.replace(one, "wf-inst-none-00000000").replace(template, "wf-tmpl-none-00000000")
        ).refused(404, "NOT_FOUND")
    assert [
        eve.call("GET", kind).ok()["total"]
        for kind in ("/workflow-instances", f"/job-templates?project_id={driver.project}&scope=project")
    ] == [0, 0]
    assert eve.call("GET", "/statistics").ok()["total_instances"] == 0

    assert bob.run(one)["status"] == "succeeded"
    counts = bob.call("GET", f"/statistics?project_id={driver.project}").ok()
    assert (counts["total_instances"], counts["status_distribution"]["succeeded"]) == (1, 1)
    bob.call("PUT", f"/job-templates/{template}", {"name": "mine"}).refused(403, "FORBIDDEN")
    in_use = ann.call("DELETE", f"/job-templates/{template}").refused(409, "CONFLICT")
    assert in_use["details"] == {"instances": [one]}
    bob.remove(one).ok()
    assert ann.call("DELETE", f"/job-templates/{template}").ok() == {
        "message": f"Job template {template} deleted successfully"
    }


def clean_environment() -> dict[str, str]:
    """The environment without what belongs to the test process; the stack's own values are in its folder."""
    own = ("DATABASE_URL", "REDIS_URL", "KUBECONFIG", "SECRET_KEY", "HTTPS")
    return {name: value for name, value in os.environ.items() if name not in own}


def test_a_header_of_ten_kilobytes_is_refused_in_the_words_of_the_api(stack: Stack, driver: Driver) -> None:
    instance = driver.instance([job(driver.job_template("true"), "work")])

    answer = driver.call("POST", f"/workflow-instances/{instance}/start", **{"Idempotency-Key": "k" * 10_000})

    answer.refused(400, "VALIDATION_ERROR")
    assert driver.read(instance)["status"] == "pending"
