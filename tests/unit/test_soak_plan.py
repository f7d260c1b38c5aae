"""The soak: one seed is one plan, and every check finds what it is there to find."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from tests.soak import checks, plan
from tests.soak.checks import Entry, Sample, Seen

EDGES = [("a", "b")]
WHOLE = ["run.accepted", "node.running a", "node.succeeded a", "node.running b", "node.succeeded b", "run.succeeded"]


def seen(kind: str = "Job", node: str = "a", uid: str = "u1", *, attempt: int = 1, **more: Any) -> Seen:
    return Seen(kind, f"wf-{node}", uid, "i", node, 1, attempt, **{"first_at": 100.0, **more})


def history(*words: str) -> list[Entry]:
    """Entries of one instance: kind and node, one second apart."""
    made = []
    for number, text in enumerate(words, start=1):
        kind, _, node = text.partition(" ")
        made.append(Entry(number, kind, node or None, 100.0 + number))
    return made


def test_the_same_seed_gives_the_same_workflows() -> None:
    first = [plan.workflow("s", number) for number in range(200)]
    assert first == [plan.workflow("s", number) for number in range(200)]
    assert first != [plan.workflow("t", number) for number in range(200)]


def test_the_same_seed_gives_the_same_faults() -> None:
    def faults(seed: str) -> list[plan.Fault]:
        return list(islice(plan.faults(seed, shortest=1, longest=5), 200))

    assert faults("s") == faults("s")
    assert faults("s") != faults("t")


def test_workflows_are_what_the_soak_promises() -> None:
    made = [plan.workflow("s", number) for number in range(500)]
    assert {one.course for one in made} == set(plan.COURSES)
    assert {len(one.nodes) for one in made} == set(range(1, plan.MOST_NODES + 1))
    assert {node.fate for one in made for node in one.nodes} == {"succeed", "fail", "retry"}
    assert {node.probe for one in made for node in one.nodes} == set(plan.PROBES)
    for one in made:
        order = [node.name for node in one.nodes]
        assert all(order.index(source) < order.index(target) for source, target in one.edges)
        assert (one.failing is not None) == (one.course == "fail")
        writers = {node.name for node in one.nodes if node.writes}
        assert all((read, node.name) in one.edges and read in writers for node in one.nodes for read in node.reads)


def test_a_history_without_fault_passes() -> None:
    objects = [seen(gone_at=110.0), seen(uid="u2", attempt=2, first_at=111.0), seen("Pod", uid="p")]
    assert checks.doubles(objects) == []
    assert checks.repeated_pods(objects, ["a"]) == []
    assert checks.journal("i", history(*WHOLE), EDGES) == []
    assert checks.early_objects([seen(node="b", first_at=104.5)], history(*WHOLE), EDGES) == []


def test_an_attempt_that_was_made_twice_is_found() -> None:
    objects = [seen(gone_at=110.0), seen(uid="u2", first_at=111.0)]
    assert len(checks.doubles(objects)) == 1
    assert checks.doubles(objects, touched={"i"}) == []


def test_two_live_objects_of_a_node_are_found_also_when_somebody_deletes_things() -> None:
    objects = [seen(), seen(uid="u2", attempt=2, first_at=101.0)]
    assert len(checks.doubles(objects, touched={"i"})) == 1


def test_a_second_pod_of_a_job_without_retries_is_found() -> None:
    pods = [seen("Pod", uid="p1", gone_at=101.0), seen("Pod", uid="p2")]
    assert len(checks.repeated_pods(pods, ["a"])) == 1
    assert checks.repeated_pods(pods, []) == []


def test_what_stays_in_the_cluster_is_found() -> None:
    assert len(checks.leftovers([seen()], {"i": 100.0}, now=221.0)) == 1
    assert checks.leftovers([seen()], {"i": 100.0}, now=219.0) == []
    assert checks.leftovers([seen()], {}, now=999.0) == []
    assert checks.leftovers([seen(gone_at=130.0)], {"i": 100.0}, now=221.0) == []


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["run.accepted", "node.running b"], "begins before a succeeded"),
        (["run.accepted", "node.running a", "node.failed a", "node.running b"], "begins before a succeeded"),
        ([*WHOLE[:3], "node.failed a"], "which was succeeded"),
        ([*WHOLE[:3], "node.running a"], "was succeeded already"),
        ([*WHOLE[:2], "node.running a"], "was running already"),
        (["run.accepted", "node.succeeded a"], "not started"),
        ([*WHOLE, "node.failed b"], "after the end of the run"),
        ([*WHOLE[:2], "instance.stopped", "node.succeeded a"], "after the end of the run"),
        ([*WHOLE, "run.failed"], "without an open run"),
        ([*WHOLE[:2], "run.accepted"], "while another one was open"),
    ],
)
def test_a_journal_that_cannot_be_is_found(words: list[str], what: str) -> None:
    found = checks.journal("i", history(*words), EDGES)
    assert len(found) == 1
    assert what in found[0]


def test_gaps_and_doubles_of_the_journal_are_found() -> None:
    whole = history(*WHOLE)
    assert len(checks.journal("i", [*whole[:1], *whole[2:]], [])) >= 1
    assert "is not 1 to" in checks.journal("i", [*whole[:2], whole[1]], [])[0]


def test_apps_that_are_set_up_may_become_ready_again_and_again() -> None:
    words = ["instance.initializing", "node.succeeded a", "node.running a", "instance.initialized", "node.succeeded a"]
    assert checks.journal("i", history(*words, *WHOLE), EDGES) == []


def test_a_child_whose_job_came_before_the_success_of_its_parent_is_found() -> None:
    assert len(checks.early_objects([seen(node="b", first_at=102.0)], history(*WHOLE), EDGES)) == 1


def test_a_success_that_no_pod_had_is_found() -> None:
    entries = [Entry(1, "node.succeeded", "a", 101.0, run=1), Entry(2, "node.succeeded", "a", 201.0, run=2)]
    assert len(checks.false_successes([seen("Pod", succeeded=True)], entries, {"a"})) == 1
    assert len(checks.false_successes([seen("Pod")], entries, {"a"})) == 2
    assert checks.false_successes([], entries, {"b"}) == []


def test_an_object_that_runs_what_another_node_asks_for_is_found() -> None:
    assert len(checks.mistaken_identities([seen(key="w1-b")], {"a": "w1-a"})) == 1
    assert checks.mistaken_identities([seen(key="w1-a"), seen(key=None)], {"a": "w1-a"}) == []


def test_an_ended_record_that_moves_is_found() -> None:
    assert len(checks.moved_after_end({1: "succeeded", 2: "running"}, {1: "failed", 2: "failed"})) == 1
    assert checks.moved_after_end({1: "succeeded"}, {}) == []


@pytest.mark.parametrize(("memory", "files", "count"), [(100, 20, 0), (150, 45, 0), (500, 20, 1), (100, 400, 1)])
def test_a_process_that_grows_is_found(memory: int, files: int, count: int) -> None:
    young = Sample("worker", 1, age=5.0, memory=10 << 20, files=5)
    warm = Sample("worker", 1, age=40.0, memory=100 << 20, files=20)
    assert len(checks.growth([young, warm, Sample("worker", 1, 300.0, memory << 20, files)])) == count


def test_only_what_lasts_is_told_and_only_once() -> None:
    lasting = checks.Lasting()
    lasting.take(["x", "y"], now=0.0)
    lasting.take(["x"], now=5.0)
    lasting.take(["x", "y"], now=11.0)
    assert lasting.late(now=11.0, limit=lambda line: 10.0) == ["x"]
    assert lasting.late(now=12.0, limit=lambda line: 10.0) == []


def test_recovery_is_the_time_to_the_next_progress() -> None:
    assert checks.recoveries([10.0, 20.0, 30.0], [25.0, 11.0]) == [1.0, 5.0]
