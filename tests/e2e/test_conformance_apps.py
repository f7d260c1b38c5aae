"""Apps: probes of every kind with their five numbers, readiness as the end of a node, replicas (contract C.5, E.6, H.4)."""

from __future__ import annotations

import pytest

from tests.e2e.driver import Json, app, job, nodes_by_name
from tests.e2e.project import STAY, Project, mount, probe, web_app
from tests.stack import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

PORT = [{"name": "http", "port": 80, "target_port": 8080}]
READINESS = {
    "initial_delay_seconds": 1,
    "period_seconds": 2,
    "timeout_seconds": 7,
    "failure_threshold": 9,
    "success_threshold": 2,
}
LIVENESS = {
    "initial_delay_seconds": 3,
    "period_seconds": 4,
    "timeout_seconds": 8,
    "failure_threshold": 6,
    "success_threshold": 1,
}
KEYS = ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold", "successThreshold")
ACTIONS: dict[str, tuple[Json, Json]] = {
    "http": ({"port": 8080, "path": "/"}, {"httpGet": {"path": "/", "port": 8080}}),
    "tcp": ({"port": 8080}, {"tcpSocket": {"port": 8080}}),
    "exec": ({"command": ["sh", "-c", "test -d /"]}, {"exec": {"command": ["sh", "-c", "test -d /"]}}),
}
DEFAULTS = (10, 10, 5, 3, 1)
PROBED = [f"{kind} {name}" for kind in ACTIONS for name in ("numbers", "defaults")]


@pytest.fixture(scope="module")
def runs(project: Project) -> dict[str, str]:
    """One workflow for each question, started at once."""
    claim = project.claim("signs")
    made = {}
    for kind, (action, _) in ACTIONS.items():
        full = {
            "readiness_probe": {"type": kind, **action, **READINESS},
            "liveness_probe": {"type": kind, **action, **LIVENESS},
        }
        bare = {"readiness_probe": {"type": kind, **action}, "liveness_probe": {"type": kind, **action}}
        for name, probes in (("numbers", full), ("defaults", bare)):
            template = project.app_template(container=web_app(**probes), service_ports=PORT)
            made[f"{kind} {name}"] = project.instance([app(template, "site")], name=f"{kind} {name}")
    signed = {
        "readiness_probe": probe("exec", command=["test", "-e", "/data/sign"]),
        "volume_mounts": [mount(claim, sub_path="order")],
    }
    sign = project.job_template(
        "sleep 2; touch /data/sign", container={"volume_mounts": [mount(claim, sub_path="order")]}
    )
    made["waiting"] = project.instance(
        [app(project.app_template(STAY, container=signed), "site"), job(sign, "sign"), job(sign, "after")],
        [("site", "after")],
    )
    made["three"] = project.instance(
        [
            app(
                project.app_template(STAY, replicas=3, container={"readiness_probe": probe("exec", command=["true"])}),
                "x",
            )
        ]
    )
    made["chain"] = project.instance(
        [app(project.app_template(STAY), name) for name in ("a", "b", "c")], [("a", "b"), ("b", "c")]
    )
    return project.launch(made)


def container_of(project: Project, node: Json) -> Json:
    return dict(project.object(node)["spec"]["template"]["spec"]["containers"][0])


@pytest.mark.parametrize("name", PROBED)
def test_each_kind_of_probe_with_its_five_numbers(project: Project, runs: dict[str, str], name: str) -> None:
    found = project.ended(runs[name])
    kind, _, numbers = name.partition(" ")

    assert found["status"] == "succeeded", found
    made = container_of(project, found["nodes"][0])
    for key, given in (("readinessProbe", READINESS), ("livenessProbe", LIVENESS)):
        action = ACTIONS[kind][1]
        for part, values in action.items():
            assert values.items() <= made[key][part].items(), made[key]
        wanted = tuple(given.values()) if numbers == "numbers" else DEFAULTS
        assert tuple(made[key][word] for word in KEYS) == wanted


def test_an_app_without_a_probe_has_none(project: Project, runs: dict[str, str]) -> None:
    found = project.ended(runs["chain"])

    assert not {"readinessProbe", "livenessProbe"} & set(container_of(project, found["nodes"][0]))


def test_what_follows_an_app_begins_when_it_is_ready(project: Project, runs: dict[str, str]) -> None:
    found = project.ended(runs["waiting"])

    nodes = nodes_by_name(found)
    assert found["status"] == "succeeded"
    assert nodes["site"]["finished_at"] >= nodes["sign"]["started_at"]
    assert nodes["after"]["started_at"] >= nodes["site"]["finished_at"]


def test_apps_can_follow_each_other_and_stay(project: Project, runs: dict[str, str]) -> None:
    found = project.ended(runs["chain"])

    nodes = nodes_by_name(found)
    assert found["status"] == "succeeded"
    assert nodes["a"]["finished_at"] <= nodes["b"]["started_at"]
    assert nodes["b"]["finished_at"] <= nodes["c"]["started_at"]
    assert [len(project.pods(node)) for node in nodes.values()] == [1, 1, 1]


def test_an_app_is_ready_when_all_its_replicas_are(project: Project, runs: dict[str, str]) -> None:
    found = project.ended(runs["three"])

    (node,) = found["nodes"]
    made = project.object(node)
    assert (found["status"], made["spec"]["replicas"], made["status"]["readyReplicas"]) == ("succeeded", 3, 3)
    assert made["spec"]["selector"] == {"matchLabels": {"app": node["k8s_resource_name"]}}
    assert len(project.pods(node)) == 3


def test_an_app_that_is_lost_later_keeps_its_success_and_sync_warns_until_it_is_back(
    project: Project, runs: dict[str, str]
) -> None:
    one = runs["waiting"]
    (site,) = (node for node in project.ended(one)["nodes"] if node["name"] == "site")

    def signal(script: str) -> None:
        template = project.job_template(script, container={"volume_mounts": [mount("signs", sub_path="order")]})
        assert project.run(project.instance([job(template, "signal")]))["status"] == "succeeded"

    def is_ready() -> bool:
        return project.object(site)["status"].get("readyReplicas") == 1

    signal("rm /data/sign")
    eventually(lambda: not is_ready(), what="the loss of readiness")
    warned = project.act(one, "sync-status").ok()
    signal("touch /data/sign")
    eventually(is_ready, what="readiness")
    agreed = project.act(one, "sync-status").ok()

    assert (warned["status"], warned["has_warning"]) == ("succeeded", True)
    assert "site: the app is no longer ready" in warned["message"]
    assert nodes_by_name(warned)["site"]["status"] == "succeeded"
    assert (agreed["status"], agreed["has_warning"], agreed["message"]) == ("succeeded", False, None)
    assert nodes_by_name(agreed)["site"]["message"] is None


def test_an_app_that_ends_again_and_again_says_so_and_fails_by_its_time(project: Project) -> None:
    never = {"readiness_probe": probe("exec", command=["false"])}
    template = project.app_template("echo last words; exit 5", container=never)
    one = project.instance([app(template, "broken", timeout_seconds=15)])
    project.act(one, "start").ok()

    seen = project.wait(one, lambda found: "exit code 5" in (found["nodes"][0]["message"] or ""))
    ended = project.ended(one)

    assert seen["status"] == "running"
    assert ended["status"] == "failed"
    assert "not ready within 15 s" in ended["nodes"][0]["message"]
    assert "exit code 5" in ended["nodes"][0]["message"]
    assert project.object(ended["nodes"][0])["spec"]["replicas"] == 1  # it stays for inspection


def test_a_container_that_fails_its_liveness_probe_is_started_again(project: Project) -> None:
    # Alive at first; gone sick when the sign is taken away, and well again after the restart.
    dead = probe("exec", command=["test", "-e", "/tmp/alive"], failure_threshold=1, timeout_seconds=5)
    script = f"touch /tmp/alive; echo begun; (sleep 4; rm /tmp/alive) & {STAY}"
    template = project.app_template(script, container={"liveness_probe": dead})
    found = project.run(one := project.instance([app(template, "sick")]))

    (node,) = found["nodes"]
    assert found["status"] == "succeeded"

    def restarts() -> int:
        states = [state for pod in project.pods(node) for state in pod["status"].get("containerStatuses") or ()]
        return max((int(state["restartCount"]) for state in states), default=0)

    eventually(lambda: restarts() >= 1, what="the restart")
    assert project.read(one)["nodes"][0]["status"] == "succeeded"
