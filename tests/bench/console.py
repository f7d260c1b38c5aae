"""The console in a large table: front page, lists and the page of an instance, through a web process, as a browser asks."""

from __future__ import annotations

import http.client
import re
import time
from contextlib import closing
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import psycopg

from secflow.http.roles import Role
from tests.bench.bed import Bed
from tests.bench.figures import Row, percentile
from tests.bench.reads import web_process
from tests.bench.rows import QUERIES, fill, instance_id
from tests.stack import PASSWORD

CALLS = 20
MOST = 300.0  # milliseconds
_WARM_UP = 3
_WORKFLOWS = "/admin/workflows"
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')

# Every second instance has run, once; one run in twenty failed. The journal has ten entries for each instance.
# Somebody belongs to a project in which little happened, long ago, and made the fourth instance, which is of another one.
_MEMBER = "member"
_HISTORY = (
    "UPDATE secflow_platform_workflow_workflow_instance SET project_id = 'bench-quiet' WHERE right(id, 8)::int <= 3",
    f"""
INSERT INTO auth_user
  (username, password, is_superuser, is_staff, is_active, first_name, last_name, email, date_joined)
SELECT '{_MEMBER}', password, false, true, true, '', '', '', now() FROM auth_user WHERE username = 'admin'
""",
    f"""
INSERT INTO auth_user_groups (user_id, group_id)
SELECT auth_user.id, auth_group.id FROM auth_user, auth_group
 WHERE username = '{_MEMBER}' AND auth_group.name = '{Role.MEMBER.value}'
""",
    f"""
INSERT INTO secflow_platform_workflow_project_member (project_id, user_id, role, created_at)
SELECT 'bench-quiet', id::text, 'member', now() FROM auth_user WHERE username = '{_MEMBER}'
""",
    f"""
UPDATE secflow_platform_workflow_workflow_instance
   SET created_by = (SELECT id::text FROM auth_user WHERE username = '{_MEMBER}') WHERE right(id, 8)::int = 4
""",
    """
INSERT INTO secflow_platform_workflow_run (instance_id, number, trigger, actor, status, purpose, started_at, finished_at, edges)
SELECT id, 1, 'start', '1', CASE WHEN right(id, 8)::int % 20 = 1 THEN 'failed' ELSE 'succeeded' END, 'run',
       created_at, created_at, '[]'
  FROM secflow_platform_workflow_workflow_instance WHERE run_count > 0
""",
    """
INSERT INTO secflow_platform_workflow_event (instance_id, sequence, project_id, kind, actor, message, data, created_at)
SELECT id, n, project_id, (ARRAY['run.accepted', 'node.running', 'node.succeeded'])[1 + n % 3], '1', '', '{}', created_at
  FROM secflow_platform_workflow_workflow_instance, generate_series(1, 10) AS n
""",
    "UPDATE secflow_platform_workflow_workflow_instance SET version = 10",
    "VACUUM ANALYZE",
)


class Browser:
    """One kept connection of somebody who is signed in to the console."""

    def __init__(self, port: int, username: str = "admin") -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._cookies = SimpleCookie()
        found = _TOKEN.search(self._send("GET", "/admin/login/")[1])
        assert found is not None
        form = {"username": username, "password": PASSWORD, "csrfmiddlewaretoken": found[1], "next": "/admin/"}
        self._send("POST", "/admin/login/", urlencode(form), expected=302)

    def get(self, path: str) -> tuple[float, int]:
        """Milliseconds until the whole page is there, and the queries that it took."""
        began = time.perf_counter()
        queries, _ = self._send("GET", path)
        return (time.perf_counter() - began) * 1000, queries

    def _send(self, method: str, path: str, body: str | None = None, *, expected: int = 200) -> tuple[int, str]:
        cookies = "; ".join(f"{name}={item.value}" for name, item in self._cookies.items())
        headers = {"Cookie": cookies, "Content-Type": "application/x-www-form-urlencoded"}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read().decode()
        if answer.status != expected:
            raise RuntimeError(f"{method} {path} answered {answer.status}: {text[:300]!r}")
        for line in answer.headers.get_all("Set-Cookie") or []:
            self._cookies.load(line)
        return int(answer.headers[QUERIES]), text

    def close(self) -> None:
        self._connection.close()


def measure_console(bed: Bed) -> list[Row]:
    """How long the server takes for each page; the longest of several calls counts."""
    count = bed.options.instances
    bed.say(f"console: writing {count} instances, their runs and their journal")
    fill(bed.stack.database_url, count)
    with psycopg.connect(bed.stack.database_url, autocommit=True) as connection:
        for statement in _HISTORY:
            connection.execute(statement)
    with web_process(bed, Browser) as browser:
        rows = []
        for name, path in _pages(count).items():
            bed.say(f"console: {CALLS} calls of {name}")
            rows.append(_measure(browser, f"{name}, {count} instances", path))
        with closing(Browser(browser.port, _MEMBER)) as member:
            for name, path in _pages_of_a_member().items():
                bed.say(f"console: {CALLS} calls of {name} by a member")
                rows.append(_measure(member, f"{name} of a member with little in it, {count} instances", path))
        return rows


def _pages_of_a_member() -> dict[str, str]:
    return {
        "front page": "/admin/",
        "list": f"{_WORKFLOWS}/workflowinstance/",
        "list of runs": f"{_WORKFLOWS}/run/",
        "list of nodes": f"{_WORKFLOWS}/workflownode/",
        "journal": f"{_WORKFLOWS}/event/",
    }


def _pages(count: int) -> dict[str, str]:
    middle = instance_id(max(1, count // 2))
    instances = f"{_WORKFLOWS}/workflowinstance/"
    return {
        "front page": "/admin/",
        "list": instances,
        "last page of the list": f"{instances}?p={max(1, count // 50)}",
        "list by name": f"{instances}?o=1",
        "list by status": f"{instances}?o=3",
        "list of one status": f"{instances}?status__exact=succeeded",
        "list of one project": f"{instances}?project_id=bench-bulk",
        "search for words": f"{instances}?q=bulk+77",
        "search in vain": f"{instances}?q=nothing-like-it",
        "search for an id": f"{instances}?q={middle}",
        "instance": f"{instances}{middle}/change/",
        "list of runs": f"{_WORKFLOWS}/run/",
        "list of failed runs": f"{_WORKFLOWS}/run/?status__exact=failed",
        "list of nodes": f"{_WORKFLOWS}/workflownode/",
        "journal": f"{_WORKFLOWS}/event/",
        "journal, words in vain": f"{_WORKFLOWS}/event/?q=nothing-like-it",
        "journal of an instance": f"{_WORKFLOWS}/event/?instance_id={middle}",
    }


def _measure(browser: Browser, name: str, path: str) -> Row:
    taken = [browser.get(path) for _ in range(_WARM_UP + CALLS)][_WARM_UP:]
    times = [milliseconds for milliseconds, _ in taken]
    queries = sorted({number for _, number in taken})
    note = f"p50 {percentile(times, 50):.0f} ms, {' or '.join(map(str, queries))} queries"
    return Row(name, percentile(times, 99), "ms", most=MOST, note=note)
