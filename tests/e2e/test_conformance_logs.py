"""The text of nodes over the API: of each container, of the life before a restart, of the newest pod (contract C.11, D.5)."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from tests.e2e.driver import Answer, Json, app, job, nodes_by_name
from tests.e2e.project import STAY, Project, probe
from tests.stack import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z ")
LONG = "日" * 126 + "🚀"  # 127 characters


def container(name: str, script: str) -> Json:
    return {"name": name, "image": "busybox:latest", "command": ["sh", "-c", script]}


@pytest.fixture(scope="module")
def runs(project: Project) -> dict[str, str]:
    """One workflow for each question, started at once."""
    parts = [
        container("Haupt_Container", "for i in 1 2 3 4 5; do echo haupt $i; done"),
        container("副", "echo 第二; echo ende"),
        container(f"{LONG}!", "echo lang"),
    ]
    mixed = project.job_template("", containers=parts, name=LONG)
    never = {"readiness_probe": probe("exec", command=["false"])}
    again = project.app_template("", containers=[container("main", "echo this life; exit 1") | never])
    beside = project.app_template(
        "", containers=[container("web", f"echo web; {STAY}"), container("side", f"echo side; {STAY}")]
    )
    big = project.job_template("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; printf end")
    made = {
        "mixed": project.instance([job(mixed, f"{LONG}x")], name=f"{LONG}ä"),
        "again": project.instance([app(again, "again", timeout_seconds=3600)]),
        "beside": project.instance([app(beside, "beside")]),
        "big": project.instance([job(big, "big")]),
        "quiet": project.instance([job(project.job_template("true"), "quiet")]),
    }
    return project.launch(made)


def ask(project: Project, instance: Json, query: str) -> Answer:
    (node,) = instance["nodes"]
    return project.call("GET", f"/workflow-instances/{instance['id']}/nodes/{node['id']}/logs?{query}")


def text(project: Project, instance: Json, query: str) -> str:
    return str(ask(project, instance, f"timestamps=false&{query}").ok()["logs"])


def test_each_container_is_asked_for_by_the_name_in_the_template(project: Project, runs: dict[str, str]) -> None:
    found = project.ended(runs["mixed"])

    assert found["status"] == "succeeded", found
    assert text(project, found, "") == "".join(f"haupt {i}\n" for i in range(1, 6))
    assert text(project, found, "container=Haupt_Container&tail_lines=2") == "haupt 4\nhaupt 5\n"
    assert text(project, found, f"container={quote('副')}") == "第二\nende\n"
    assert text(project, found, f"container={quote(LONG + '!')}") == "lang\n"


def test_containers_are_asked_for_by_their_names_in_the_pod_as_well(project: Project, runs: dict[str, str]) -> None:
    found = project.ended(runs["mixed"])
    names = [item["name"] for item in project.object(found["nodes"][0])["spec"]["template"]["spec"]["containers"]]

    assert names[0] == "haupt-container"
    assert len(set(names)) == 3
    assert text(project, found, f"container={names[1]}&tail_lines=1") == "ende\n"
    answer = ask(project, found, "container=haupt-container").ok()
    assert answer["container"] == "haupt-container"
    assert answer["namespace"] == project.namespace


def test_names_of_128_characters_of_any_alphabet_come_back_as_they_are(project: Project, runs: dict[str, str]) -> None:
    found = project.ended(runs["mixed"])

    assert (found["name"], found["nodes"][0]["name"]) == (f"{LONG}ä", f"{LONG}x")
    record = project.record(runs["mixed"], found["nodes"][0])
    assert record["node_name"] == f"{LONG}x"
    assert record["execution_logs"]["logs"].startswith("haupt 1\n")
    template = found["nodes"][0]["template_id"]
    assert project.call("GET", f"/job-templates/{template}").ok()["name"] == LONG
    long = project.call("POST", "/workflow-instances", {"name": f"{LONG}äö", "project_id": project.project})
    long.refused(400, "VALIDATION_ERROR")


def test_every_line_has_its_time_when_asked_for_and_by_default(project: Project, runs: dict[str, str]) -> None:
    found = project.ended(runs["mixed"])

    for query in ("", "timestamps=true", "timestamp=true"):
        lines = ask(project, found, query).ok()["logs"].splitlines()
        assert [STAMP.sub("", line) for line in lines] == [f"haupt {i}" for i in range(1, 6)]
        assert all(STAMP.match(line) for line in lines)


def test_the_text_before_a_restart(project: Project, runs: dict[str, str]) -> None:
    one = runs["again"]
    found = project.wait(one, lambda found: found["nodes"][0]["k8s_resource_name"] is not None)

    # A node answers with nothing for a moment when it has just taken the older text away.
    def earlier() -> bool:
        answer = ask(project, found, "previous=true&timestamps=false&container=main")
        return answer.status == 200 and answer.body["logs"] == "this life\n" and answer.body["previous"] is True

    eventually(earlier, what="the text before the restart")
    assert project.act(one, "stop").ok()["status"] == "stopped"


def test_without_a_restart_there_is_no_earlier_text(project: Project, runs: dict[str, str]) -> None:
    found = project.ended(runs["quiet"])

    refused = ask(project, found, "previous=true").refused(400, "VALIDATION_ERROR")

    assert "previous terminated container" in refused["message"]
    assert text(project, found, "") == ""


def test_an_app_is_read_while_it_runs(project: Project, runs: dict[str, str]) -> None:
    found = project.ended(runs["beside"])

    eventually(lambda: text(project, found, "container=side") == "side\n", what="the text of the second container")
    eventually(lambda: text(project, found, "") == "web\n", what="the text of the first container")
    absent = ask(project, found, "container=other").refused(404, "NOT_FOUND")
    assert "it has web, side" in absent["message"]


def test_long_texts_are_cut_at_their_beginning(project: Project, runs: dict[str, str]) -> None:
    found = project.ended(runs["big"])

    def shown(query: str) -> list[str]:
        return text(project, found, query).splitlines()

    assert (len(shown("")), shown("")[-1]) == (100, "end")
    assert shown("tail_lines=2") == ["line 2999", "end"]
    assert len(shown("tail_lines=10000")) == 3001
    kept = project.record(runs["big"], found["nodes"][0])["execution_logs"]["logs"].splitlines()
    assert (len(kept), kept[-1]) == (1000, "end")


def test_the_newest_pod_is_read(project: Project) -> None:
    template = project.app_template(f"echo I am $(hostname); {STAY}")
    one = project.instance([app(template, "site")])
    found = project.run(one)
    site = nodes_by_name(found)["site"]
    (first,) = project.pods(site)

    project.delete("Pod", first["metadata"]["name"])

    def is_newest() -> bool:
        pods = [pod["metadata"]["name"] for pod in project.pods(site)]
        answer = ask(project, found, "timestamps=false")
        return answer.status == 200 and [answer.body["pod_name"]] == pods != [first["metadata"]["name"]]

    eventually(is_newest, what="the text of the new pod")
