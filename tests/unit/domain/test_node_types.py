"""The registry of node kinds, and what an observed phase decides for each."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from workflows.domain import node_types as package
from workflows.domain.errors import Invalid
from workflows.domain.node_types import registry
from workflows.domain.node_types.registry import get_node_type, node_types
from workflows.domain.transitions import NodeEvent

PHASES = ["waiting", "pulling", "running", "ready", "succeeded", "failed", "gone", "something new"]
DECIDED = {
    ("app", "ready"): NodeEvent.SUCCEED,
    ("app", "gone"): NodeEvent.VANISH,
    ("job", "succeeded"): NodeEvent.SUCCEED,
    ("job", "failed"): NodeEvent.FAIL,
    ("job", "gone"): NodeEvent.VANISH,
}


def test_app_and_job_are_the_node_types() -> None:
    assert [node_type.name for node_type in node_types()] == ["app", "job"]


@pytest.mark.parametrize(("name", "phase"), list(product(["app", "job"], PHASES)))
def test_phase_decides_as_in_the_contract(name: str, phase: str) -> None:
    assert get_node_type(name).settle(phase) == DECIDED.get((name, phase))


@pytest.mark.parametrize(
    ("name", "kind", "of_an_app", "timeout"),
    [("app", "Deployment", True, "app_timeout_seconds"), ("job", "Job", False, "job_timeout_seconds")],
)
def test_facts_of_a_node_type(name: str, kind: str, of_an_app: bool, timeout: str) -> None:
    node_type = get_node_type(name)

    assert (node_type.resource_kind, node_type.default_timeout) == (kind, timeout)
    assert node_type.launch_task == "workflows.launch_workloads"
    assert (node_type.is_set_up, node_type.keeps_workload) == (of_an_app, of_an_app)
    assert (node_type.has_service, node_type.has_probes) == (of_an_app, of_an_app)


@pytest.mark.parametrize("name", ["", "App", "registry", "deployment"])
def test_unknown_node_type_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        get_node_type(name)

    message = f"{name!r} is not a node type: use one of app, job"
    assert caught.value.details == {"fields": [{"field": "node_type", "message": message}]}


@pytest.fixture
def more_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "_by_name", registry._by_name.__wrapped__)
    return tmp_path


def write_module(folder: Path, module: str, name: str) -> None:
    (folder / f"{module}.py").write_text(
        "from dataclasses import replace\n"
        "from workflows.domain.node_types.job import NODE_TYPE as JOB\n"
        f"NODE_TYPE = replace(JOB, name={name!r})\n"
    )


def test_new_module_is_a_new_node_type(more_modules: Path) -> None:
    write_module(more_modules, "a_gate_for_tests", "gate")

    assert [node_type.name for node_type in node_types()] == ["app", "gate", "job"]
    assert get_node_type("gate").resource_kind == "Job"


def test_two_modules_may_not_share_a_name(more_modules: Path) -> None:
    write_module(more_modules, "a_second_job_for_tests", "job")

    with pytest.raises(ValueError, match="define the node type 'job': rename one"):
        node_types()
