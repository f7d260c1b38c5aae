"""The example workflow: its file, its scripts with a real site, and how a run is shown."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from secflow.runtime.definition import instance_body, load_definition
from secflow.runtime.errors import StandError
from secflow.runtime.parts import example_folder
from secflow.runtime.progress import PlainProgress, TableProgress, duration_of, progress_for
from secflow.settings.environment import BASE_DIR

FILE = example_folder() / "site_audit.json"


def test_the_file_gives_complete_bodies() -> None:
    definition = load_definition(FILE)
    handles = {*definition.app_templates, *definition.job_templates}

    body = instance_body(definition, {handle: f"id-of-{handle}" for handle in handles})

    commands = [
        container["command"]
        for template in (*definition.app_templates.values(), *definition.job_templates.values())
        for container in template["containers"]
    ]
    assert all(command[:3] == ["python", "-u", "-c"] and "import" in command[3] for command in commands)
    assert {node["template_id"] for node in body["nodes"]} == {f"id-of-{handle}" for handle in handles}
    assert not any("template" in node for node in body["nodes"])
    refs = {node["ref"] for node in body["nodes"]}
    assert {end for edge in body["edges"] for end in (edge["source"], edge["target"])} == refs
    assert definition.report in refs


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not JSON"),
        ("{}", "is no workflow definition: 'project_id' is missing"),
        ('{"project_id": "p", "instance": {"name": "n"}, "app_templates": {"a": {}}}', "'containers' is missing"),
        (
            '{"project_id": "p", "instance": {"name": "n"},'
            ' "job_templates": {"a": {"containers": [{"command": ["@no.py"]}]}}}',
            "no.py cannot be read: No such file or directory",
        ),
    ],
)  # fmt: skip
def test_a_file_with_a_mistake_is_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    file = tmp_path / "workflow.json"
    file.write_text(content)

    with pytest.raises(StandError, match=re.escape(sentence)):
        load_definition(file)


def test_the_scripts_find_every_fault_of_the_site(tmp_path: Path) -> None:
    scripts = {name: script(name, tmp_path) for name in ("site", "crawl", "links", "security", "report")}
    environ = {**os.environ, "PORT": "0", "SITE_HOST": "127.0.0.1"}
    with subprocess.Popen(
        [sys.executable, "-u", "-c", scripts["site"]],
        env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as site:  # fmt: skip
        assert site.stdout is not None
        environ["SITE_PORT"] = site.stdout.readline().split()[-1]

        output = [run(scripts[name], environ) for name in ("crawl", "links", "security", "report")][-1]

        site.terminate()
    assert site.returncode == 0
    assert re.findall(r"^  (HIGH|MEDIUM) +(\S+)", output, re.MULTILINE) == [
        ("HIGH", "/app.js"),
        ("MEDIUM", "/login"),
        ("MEDIUM", "/products"),
    ]
    assert "link to /sale-2019 answers 404" in output
    assert {path.name for path in tmp_path.iterdir()} == {"pages.json", "links.json", "security.json"}


@pytest.mark.parametrize(
    ("password_file", "sentence"),
    [
        ("password", "http://127.0.0.1:9 does not answer"),
        ("absent", "absent cannot be read (No such file or directory): set DJANGO_SUPERUSER_PASSWORD"),
    ],
)
def test_the_example_needs_nothing_but_the_api(tmp_path: Path, password_file: str, sentence: str) -> None:
    definition = {"project_id": "p", "instance": {"name": "n", "nodes": []}}
    (tmp_path / "workflow.json").write_text(json.dumps(definition))
    (tmp_path / "password").write_text("secret\n")
    own = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "KUBECONFIG", "DJANGO_SUPERUSER_PASSWORD")
    environ = {name: value for name, value in os.environ.items() if name not in own} | {"DATA_DIR": str(tmp_path)}
    options = ["--url=http://127.0.0.1:9/", f"--file={tmp_path / 'workflow.json'}"]

    ended = subprocess.run(
        [sys.executable, "-m", "secflow.runtime.example", *options, f"--password-file={tmp_path / password_file}"],
        env=environ, cwd=BASE_DIR, capture_output=True, text=True,
    )  # fmt: skip

    assert (ended.returncode, ended.stderr) == (2, "")
    assert sentence in ended.stdout


def script(name: str, folder: Path) -> str:
    text = (example_folder() / "site_audit" / f"{name}.py").read_text()
    return text.replace('"/tmp/site-audit"', json.dumps(str(folder)))


def run(code: str, environ: dict[str, str]) -> str:
    return subprocess.run([sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True).stdout


def node(**fields: Any) -> dict[str, Any]:
    return {
        "id": "wf-node-a-00000001",
        "name": "crawl",
        "node_type": "job",
        "status": "pending",
        "message": None,
        "started_at": None,
        "finished_at": None,
    } | fields


@pytest.mark.parametrize(
    ("started_at", "finished_at", "shown"),
    [
        (None, None, ""),
        ("2026-03-01T10:00:00", "2026-03-01T10:00:01.500000", "1.5 s"),
        ("2026-03-01T10:00:00", None, "60.0 s"),
        ("2026-03-01T10:02:00", None, "0.0 s"),
    ],
)
def test_a_node_shows_how_long_it_works(started_at: str | None, finished_at: str | None, shown: str) -> None:
    now = datetime(2026, 3, 1, 10, 1, tzinfo=UTC)

    assert duration_of(node(started_at=started_at, finished_at=finished_at), now) == shown


def test_plain_progress_writes_a_line_per_change() -> None:
    stream = io.StringIO()

    with PlainProgress(stream) as progress:
        for status in ("pending", "pending", "running", "running", "succeeded"):
            progress.show({"status": "running", "nodes": [node(status=status)]})

    words = [line.split() for line in stream.getvalue().splitlines()]
    assert [line[2:] for line in words] == [["crawl", "job", status] for status in ("pending", "running", "succeeded")]


def test_a_table_is_for_terminals_that_can_draw_one() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def kind(stream: io.StringIO, *, term: str = "xterm", plain: bool = False) -> type:
        return type(progress_for(stream, title="t", environ={"TERM": term}, plain=plain))

    assert kind(Terminal()) is TableProgress
    assert kind(Terminal(), plain=True) is PlainProgress
    assert kind(Terminal(), term="dumb") is PlainProgress
    assert kind(io.StringIO()) is PlainProgress
