"""Invariant check I: what must be true of records and cluster after every fault (reliability, section 4)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any, Protocol

import psycopg

from k8s_bridge.client import ClusterClient
from k8s_bridge.errors import ClusterError
from k8s_bridge.names import INSTALLATION, MANAGED_BY, MANAGER, owner_of

SECONDS = 30.0  # the longest time that tidying up may take
WORKLOADS = ("/apis/apps/v1/deployments", "/apis/batch/v1/jobs")
OTHERS = ("/api/v1/services", "/api/v1/pods")
OUR_NAMES = ("wf-", "svc-wf-")

# Each query finds rows that nothing would ever take on, with the words that tell what is wrong with them.
_ROWS = (
    (
        "the journal of {} has {} entries, the newest is {} and its instance's version is {}",
        """
        SELECT e.instance_id, count(*), max(e.sequence), coalesce(max(i.version), max(e.sequence))
          FROM secflow_platform_workflow_event AS e
          LEFT JOIN secflow_platform_workflow_workflow_instance AS i ON i.id = e.instance_id
         GROUP BY e.instance_id
        HAVING count(*) <> max(e.sequence) OR count(DISTINCT e.sequence) <> count(*)
            OR coalesce(max(i.version), max(e.sequence)) <> max(e.sequence)
        """,
    ),
    (
        "node run {} of {} is running without a due time",
        """
        SELECT n.id, n.instance_id FROM secflow_platform_workflow_node_run AS n
          JOIN secflow_platform_workflow_run AS r ON r.id = n.run_id
         WHERE r.finished_at IS NULL AND r.purpose = 'run' AND n.status = 'running' AND n.due_at IS NULL
        """,
    ),
    (
        "node run {} of {} is running, but its run has ended",
        """
        SELECT n.id, n.instance_id FROM secflow_platform_workflow_node_run AS n
          JOIN secflow_platform_workflow_run AS r ON r.id = n.run_id
         WHERE r.finished_at IS NOT NULL AND r.purpose = 'run' AND n.status = 'running'
        """,
    ),
    (
        "workload {} of {} is {} without a due time",
        "SELECT id, instance_id, state FROM secflow_platform_workflow_workload WHERE state = 'launching' AND due_at IS NULL",
    ),
    (
        "workload {} of {} is to be deleted, but no clean-up is asked for",
        """
        SELECT w.id, w.instance_id FROM secflow_platform_workflow_workload AS w
         WHERE w.state = 'deleting'
           AND NOT EXISTS (SELECT FROM secflow_platform_workflow_cleanup AS c WHERE c.instance_id = w.instance_id)
        """,
    ),
    (
        "the log {} of node run {} is neither fetched nor due, and no error says why",
        """
        SELECT id, node_run_id FROM secflow_platform_workflow_node_log
         WHERE fetched_at IS NULL AND due_at IS NULL AND error IS NULL
        """,
    ),
    (
        "instance {} is {} and has {} open runs for it",
        """
        SELECT i.id, i.status, count(r.id) FROM secflow_platform_workflow_workflow_instance AS i
          LEFT JOIN secflow_platform_workflow_run AS r ON r.instance_id = i.id AND r.finished_at IS NULL
               AND r.purpose = CASE i.status WHEN 'running' THEN 'run' ELSE 'setup' END
         WHERE i.status IN ('running', 'initializing')
           AND NOT EXISTS (SELECT FROM secflow_platform_workflow_cleanup AS c
                            WHERE c.instance_id = i.id AND c.goal <> 'tidy')
         GROUP BY i.id, i.status HAVING count(r.id) <> 1
        """,
    ),
)


class HasAddresses(Protocol):
    """What the check needs to know of a running SecFlow."""

    kubeconfig: str
    database_url: str


def installation_of(database_url: str) -> str:
    """The id that every object of this database's installation carries."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT uid FROM secflow_platform_workflow_installation").fetchone()
    assert row is not None
    return str(row[0])


def check(stack: HasAddresses, *, foreign: Collection[str] = (), seconds: float = SECONDS) -> None:
    """Returns as soon as every invariant holds; fails with all that are violated when they do not within `seconds`.

    `foreign` are names of objects with our kind of name that the test itself put into a namespace of ours.
    """
    installation = installation_of(stack.database_url)
    end = time.monotonic() + seconds
    client = ClusterClient(stack.kubeconfig)
    try:
        while True:
            try:
                found = violations(stack.database_url, client, installation, foreign=foreign)
            except (psycopg.OperationalError, ClusterError) as err:
                found = [f"records or cluster cannot be read: {err}"]
            if not found:
                return
            assert time.monotonic() < end, "invariants are violated:\n" + "\n".join(f"  - {line}" for line in found)
            time.sleep(0.2)
    finally:
        client.close()


def violations(
    database_url: str, client: ClusterClient, installation: str, *, foreign: Collection[str] = ()
) -> list[str]:
    """Every invariant that does not hold now, in words. One read of the cluster, then one snapshot of the database.

    In this order an object that goes while this looks is at worst reported once; who polls sees it no more the next time.
    """
    objects = {path: _items(client, path) for path in (*WORKLOADS, *OTHERS)}
    with psycopg.connect(database_url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        found = [words.format(*row) for words, query in _ROWS for row in connection.execute(query).fetchall()]
        found += _of_objects(connection, objects, installation, foreign)
    return found


def _items(client: ClusterClient, path: str) -> list[dict[str, Any]]:
    items = list(client.request("GET", path).get("items") or ())
    return [item for item in items if not item["metadata"].get("deletionTimestamp")]


def _of_objects(
    connection: psycopg.Connection[Any],
    objects: dict[str, list[dict[str, Any]]],
    installation: str,
    foreign: Collection[str],
) -> Iterator[str]:
    states = dict(connection.execute("SELECT id, state FROM secflow_platform_workflow_workload").fetchall())
    rows = connection.execute("SELECT instance_id FROM secflow_platform_workflow_cleanup").fetchall()
    cleaned = {row[0] for row in rows}
    rows = connection.execute("SELECT DISTINCT project_id FROM secflow_platform_workflow_workflow_instance").fetchall()
    ours = {f"secflow-{row[0]}" for row in rows}
    living: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, items in objects.items():
        kind = path.rpartition("/")[2]
        for item in items:
            meta = item["metadata"]
            shown = f"{kind}/{meta['name']} in {meta['namespace']}"
            labels = meta.get("labels") or {}
            owner = owner_of(item)
            if owner is None:
                is_ours = labels.get(INSTALLATION) == installation and labels.get(MANAGED_BY) == MANAGER
                looks_ours = meta["namespace"] in ours and str(meta["name"]).startswith(OUR_NAMES)
                if is_ours or (looks_ours and meta["name"] not in foreign):
                    yield f"{shown} lacks labels: it has {sorted(labels)}"
                continue
            if owner.installation != installation:
                continue
            if path in WORKLOADS:
                living[kind, owner.node_id].append(f"{meta['name']} (run {owner.run}, attempt {owner.attempt})")
            state = states.get(owner.attempt)
            if state not in ("launching", "live") and owner.instance_id not in cleaned:
                yield f"{shown} of attempt {owner.attempt} is wanted by nobody: its workload is {state or 'not there'}"
    for (kind, node_id), several in living.items():
        if len(several) > 1:
            yield f"node {node_id} has {len(several)} {kind}: {', '.join(sorted(several))}"
