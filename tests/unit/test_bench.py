"""The arithmetic of the bench: percentiles, verdicts, tables, the reading of metrics, the edits of nodes."""

from __future__ import annotations

import copy
import json
import signal
from collections import namedtuple
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.bench import __main__ as bench
from tests.bench import figures
from tests.bench.__main__ import arguments, guarded, options_of
from tests.bench.account import count_flow, count_kinds, with_token
from tests.bench.bed import Options
from tests.bench.figures import Row, Skipped, Verdict, percentile
from tests.bench.idle import role_of
from tests.bench.pods import Seen, hand_offs
from tests.bench.scale import busy_share, scale_row
from tests.bench.simulated import TAINT, cordon, is_simulated, open_up, restored
from tests.bench.sync import rows_of


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([1.0, 2.0], 50, 1.5),
        ([7.0], 99, 7.0),
        ([float(number) for number in range(101)], 99, 99.0),
        ([1.0, 2.0, 3.0], 0, 1.0),
        ([1.0, 2.0, 3.0], 100, 3.0),
    ],
)
def test_percentile(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == pytest.approx(expected)


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


@pytest.mark.parametrize(
    ("row", "verdict", "aim"),
    [
        (Row("a", 5.0, "ms"), Verdict.REPORTED, ""),
        (Row("a", 5.0, "ms", most=5.0), Verdict.MET, "<= 5 ms"),
        (Row("a", 5.1, "ms", most=5.0), Verdict.MISSED, "<= 5 ms"),
        (Row("a", 5.0, floor=2.5, most_ratio=2.0), Verdict.MET, "<= 2x"),
        (Row("a", 5.0, floor=2.4, most_ratio=2.0), Verdict.MISSED, "<= 2x"),
        (Row("a", 5.0, most_ratio=2.0), Verdict.MISSED, "<= 2x"),
        (Row("a", 3.0, floor=2.0, least_ratio=1.5), Verdict.MET, ">= 1.5x"),
        (Row("a", 2.9, floor=2.0, least_ratio=1.5), Verdict.MISSED, ">= 1.5x"),
        (Row("a", 5.0, "s", floor=5.0, most=4.0, most_ratio=2.0), Verdict.MISSED, "<= 4 s, <= 2x"),
        (Row("a", outcome=Verdict.SKIPPED, most=1.0), Verdict.SKIPPED, "<= 1"),
    ],
)
def test_a_row_meets_all_its_aims_or_misses(row: Row, verdict: Verdict, aim: str) -> None:
    assert row.verdict == verdict
    assert row.aim == aim


def test_what_was_missed_or_failed_is_bad_and_what_was_skipped_is_not() -> None:
    assert not figures.is_bad([Row("a", 1.0, most=1.0), Row("b", outcome=Verdict.SKIPPED), Row("c", 9.0)])
    assert figures.is_bad([Row("a", 2.0, most=1.0)])
    assert figures.is_bad([Row("a", outcome=Verdict.FAILED)])


def test_the_markdown_table_has_as_many_cells_in_each_line() -> None:
    rows = [Row("hand-off p50", 30.06, "ms", 20.0, most_ratio=2.0, note="chain | of 30"), Row("fan", 1.0, "s")]

    lines = figures.markdown(rows).splitlines()

    assert lines[2] == "| hand-off p50 | 30.1 ms | 20.0 ms | 1.50 | <= 2x | met | chain \\| of 30 |"
    assert {line.replace("\\|", "").count("|") for line in lines} == {len(figures.HEADINGS) + 1}


def test_the_terminal_shows_figures_and_verdicts() -> None:
    output = StringIO()

    Console(file=output, width=120).print(figures.table([Row("fan", 3.0, "s", 2.0, most_ratio=1.15)], "title"))

    assert "3.00 s" in output.getvalue()
    assert "MISSED" in output.getvalue()


def test_a_part_that_cannot_run_or_fails_becomes_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[Row] = []

    with guarded("wide", rows):
        raise Skipped("no nodes")
    with guarded("many", rows):
        raise TimeoutError("too late")

    assert [(row.figure, row.verdict, row.note) for row in rows] == [
        ("wide", Verdict.SKIPPED, "no nodes"),
        ("many", Verdict.FAILED, "TimeoutError: too late"),
    ]
    assert "too late" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (Row("first", 49.5, "ms", most=60.0, note="20 starts"), "first: 49.5 ms, aim <= 60 ms, met"),
        (Row("fan", 3.0, "s", 2.0, most_ratio=1.15), "fan: 3.00 s, 1.50x of 2.00 s, aim <= 1.15x, MISSED"),
        (Row("wide", outcome=Verdict.SKIPPED, note="no nodes [kwok]"), "wide: skipped, no nodes [kwok]"),
    ],
)
def test_a_figure_in_a_line(row: Row, expected: str) -> None:
    assert figures.line(row) == expected


def test_an_interrupted_run_tells_what_it_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> Iterator[list[Row]]:
        yield [Row("first start", 49.5, "ms", most=60.0), Row("wide [kwok]", outcome=Verdict.SKIPPED)]
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "measure_all", interrupted)
    monkeypatch.setattr("sys.argv", ["bench", "--json", str(tmp_path / "speed.json")])
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert bench.main() == 130
    finally:
        signal.signal(signal.SIGTERM, before)

    shown = capsys.readouterr().out
    assert "first start: 49.5 ms, aim <= 60 ms, met" in shown
    assert "wide [kwok]: skipped" in shown
    assert "SecFlow and the floor of the same run" in shown
    assert [row["figure"] for row in json.loads((tmp_path / "speed.json").read_text())] == [
        "first start",
        "wide [kwok]",
    ]


def test_the_command_line_gives_the_sizes() -> None:
    assert options_of(arguments().parse_args([])) == Options()
    given = arguments().parse_args(["--only", "wide", "sync", "--wide", "50", "60", "--sync-nodes", "100"])
    assert given.only == ["wide", "sync"]
    assert options_of(given) == Options(wide=(50, 60), sync_nodes=100)


_METRICS = """
# TYPE apiserver_request_total counter
apiserver_request_total{code="201",resource="jobs",subresource="",verb="POST"} 7
apiserver_request_total{code="200",resource="pods",subresource="log",verb="CONNECT"} 5
apiserver_request_total{code="200",resource="pods",subresource="",verb="WATCH"} 3
apiserver_request_total{code="200",resource="pods",subresource="status",verb="PATCH"} 100
apiserver_request_total{code="200",resource="leases",subresource="",verb="PUT"} 1e+03
apiserver_flowcontrol_dispatched_requests_total{flow_schema="secflow-bench",priority_level="x"} 40
apiserver_flowcontrol_dispatched_requests_total{flow_schema="exempt",priority_level="exempt"} 999
"""


def test_requests_are_those_of_the_account_and_its_log_reads() -> None:
    assert count_flow(_METRICS, "secflow-bench") == 45


def test_without_priority_and_fairness_requests_are_those_for_its_kinds() -> None:
    assert count_kinds(_METRICS) == 12


def test_the_kubeconfig_of_the_account_has_the_cluster_and_no_other_credentials() -> None:
    config = {
        "current-context": "b",
        "contexts": [
            {"name": "a", "context": {"cluster": "one", "user": "u"}},
            {"name": "b", "context": {"cluster": "two", "user": "u"}},
        ],
        "clusters": [{"name": "one", "cluster": {"server": "s1"}}, {"name": "two", "cluster": {"server": "s2"}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
    }

    made = with_token(config, "own")

    assert [item["cluster"] for item in made["clusters"]] == [{"server": "s2"}]
    assert [item["user"] for item in made["users"]] == [{"token": "own"}]


_OTHER = {"key": "other", "effect": "NoExecute"}
_KWOK = {"key": TAINT, "value": "fake", "effect": "NoSchedule"}


@pytest.mark.parametrize("edit", [cordon, open_up])
@pytest.mark.parametrize("before", [{}, {"unschedulable": True}, {"taints": [_OTHER, _KWOK]}, {"taints": [_KWOK]}])
def test_a_node_is_put_back_as_it_was(before: dict[str, Any], edit: Any) -> None:
    spec = copy.deepcopy(before)

    edit(spec)
    restored(before)(spec)

    assert bool(spec["unschedulable"]) == bool(before.get("unschedulable"))
    assert spec["taints"] == before.get("taints", [])


def test_only_the_taint_of_simulated_nodes_is_taken_away() -> None:
    spec = {"taints": [_OTHER, _KWOK]}
    open_up(spec)
    assert spec["taints"] == [_OTHER]


def test_a_simulated_node_has_the_label_and_the_annotation() -> None:
    label, annotation = {"labels": {"type": "kwok"}}, {"annotations": {TAINT: "fake"}}
    assert is_simulated({"metadata": {**label, **annotation}})
    assert not is_simulated({"metadata": label})
    assert not is_simulated({"metadata": annotation})


def test_hand_offs_go_along_the_chain_from_succeeded_to_added() -> None:
    seen = {"a": Seen(1.0, 1.1, 2.0), "b": Seen(2.02, None, 3.0), "c": Seen(3.05)}
    assert hand_offs(seen, ["a", "b", "c"]) == pytest.approx([20.0, 50.0])
    with pytest.raises(ValueError, match="c has not succeeded"):
        hand_offs(seen, ["c", "a"])


def test_of_several_passes_the_slowest_counts() -> None:
    found = {"seconds": [1.0, 12.0, 2.0], "queries": [9, 9, 9], "peak_mb": 200.0, "start_mb": 90.0}
    assert [row.verdict for row in rows_of(found, 10)] == [Verdict.MISSED, Verdict.MET]


def test_processes_are_told_apart_by_their_command_line() -> None:
    assert role_of(["python", "-m", "celery", "--app=secflow", "worker", "--pool=threads"]) == "worker"
    assert role_of(["python", "manage.py", "watch_cluster"]) == "watcher"
    assert role_of(["postgres", "-D", "data"]) is None


@pytest.mark.parametrize(
    ("two", "busy", "limit", "verdict"),
    [
        (15.0, 0.5, 40.0, Verdict.MET),
        (14.0, 0.5, 40.0, Verdict.MISSED),
        (14.0, 0.5, 14.0, Verdict.REPORTED),  # no more to be had from the cluster
        (14.0, 0.9, 40.0, Verdict.REPORTED),  # nor from the machine
    ],
)
def test_two_workers_do_more_unless_something_else_is_the_limit(
    two: float, busy: float, limit: float, verdict: Verdict
) -> None:
    assert scale_row({1: 10.0, 2: two}, {1: busy, 2: busy}, limit).verdict == verdict


def test_the_share_of_busy_processors() -> None:
    times = namedtuple("times", "user system idle iowait guest")
    assert busy_share(times(10, 10, 10, 10, 5), times(15, 11, 13, 11, 9)) == pytest.approx(0.6)
