"""What SecFlow needs of any cluster: the text that containers write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from k8s_bridge.errors import NotFound, Rejected
from k8s_bridge.specs import Container, WorkloadSpec

if TYPE_CHECKING:
    from tests.contract.conftest import Stage

pytestmark = [pytest.mark.cluster]

BUSYBOX = "busybox:latest"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def test_the_text_of_a_finished_job_is_complete(stage: Stage) -> None:
    spec = stage.job("echo one", "echo zwölf 数据", "printf end")
    stage.run(spec)

    logs = stage.gateway.pod_logs(stage.namespace, spec.name)

    assert logs.text.splitlines() == ["one", "zwölf 数据", "end"]
    assert logs.container == "main"
    assert logs.pod_name.startswith(f"{spec.name}-")


def test_both_streams_are_in_the_text(stage: Stage) -> None:
    spec = stage.job("echo out", "echo err >&2")
    stage.run(spec)

    text = stage.gateway.pod_logs(stage.namespace, spec.name).text

    # The runtime reads the two streams on their own: which of two lines comes first is not told.
    assert sorted(text.splitlines()) == ["err", "out"]


def test_the_end_of_the_text_is_enough_when_asked_for(stage: Stage) -> None:
    spec = stage.job("for i in $(seq 1 50); do echo line $i; done")
    stage.run(spec)

    tail = stage.gateway.pod_logs(stage.namespace, spec.name, tail_lines=3)
    short = stage.gateway.pod_logs(stage.namespace, spec.name, limit_bytes=20)
    both = stage.gateway.pod_logs(stage.namespace, spec.name, tail_lines=40, limit_bytes=20)

    assert tail.text == "line 48\nline 49\nline 50\n"
    assert short.text == both.text == "line 49\nline 50\n"


def test_each_line_has_its_time_when_asked_for(stage: Stage) -> None:
    spec = stage.job("echo one", "echo two")
    stage.run(spec)

    lines = stage.gateway.pod_logs(stage.namespace, spec.name, timestamps=True).text.splitlines()

    assert [STAMP.sub("", line) for line in lines] == [" one", " two"]
    assert all(STAMP.match(line) for line in lines)


def test_each_container_has_its_own_text(stage: Stage) -> None:
    containers = tuple(
        Container(name, BUSYBOX, command=("sh", "-c", f"echo {text}")) for name, text in (("Main", "m"), ("side", "s"))
    )
    spec = WorkloadSpec("Job", stage.namespace, "wf-a", containers, backoff_limit=0)
    stage.run(spec)

    first = stage.gateway.pod_logs(stage.namespace, spec.name)
    same = stage.gateway.pod_logs(stage.namespace, spec.name, container="Main")
    other = stage.gateway.pod_logs(stage.namespace, spec.name, container="side")

    assert (first.container, first.text) == ("main", "m\n")
    assert same == first
    assert (other.container, other.text) == ("side", "s\n")
    with pytest.raises(NotFound, match="it has main, side"):
        stage.gateway.pod_logs(stage.namespace, spec.name, container="none")


def test_the_text_before_a_restart_is_kept(stage: Stage) -> None:
    container = Container("web", BUSYBOX, command=("sh", "-c", "echo tried; exit 1"))
    app = WorkloadSpec("Deployment", stage.namespace, "wf-app", (container,))
    stage.gateway.ensure_workload(app, stage.owner())

    def earlier() -> str | None:
        try:
            # A node answers with nothing for a moment when it has just taken the older text away.
            return stage.gateway.pod_logs(stage.namespace, app.name, previous=True).text or None
        except (NotFound, Rejected):
            return None  # no pod yet, no restart yet

    assert stage.wait_for(earlier, "the text before the restart") == "tried\n"


def test_no_earlier_text_is_said_so(stage: Stage) -> None:
    spec = stage.job("echo once")
    stage.run(spec)

    with pytest.raises(Rejected, match="previous terminated container"):
        stage.gateway.pod_logs(stage.namespace, spec.name, previous=True)


def test_a_container_that_has_not_started_has_no_text_yet(stage: Stage) -> None:
    spec = stage.job("true", image="registry.invalid/none:v9")
    stage.gateway.ensure_workload(spec, stage.owner())
    stage.wait_for(lambda: stage.phase("Pod", spec.name, "pulling"), "the pod")

    with pytest.raises(Rejected, match="is waiting to start"):
        stage.gateway.pod_logs(stage.namespace, spec.name)


def test_warnings_about_a_pod_are_read(stage: Stage) -> None:
    spec = stage.job("true", image="registry.invalid/none:v9")
    stage.gateway.ensure_workload(spec, stage.owner())
    pod = stage.wait_for(lambda: stage.phase("Pod", spec.name, "pulling"), "the pod")

    def warnings() -> object:
        return [
            event for event in stage.gateway.warning_events(stage.namespace, pod.name) if "none:v9" in event.message
        ] or None

    found = stage.wait_for(warnings, "a warning")

    assert found
