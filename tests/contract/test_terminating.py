"""A namespace that does not go, looked at as docs/operating.md tells it: the commands are taken from there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from k8s_bridge.errors import NotFound
from tests.docs.pages import DOCS, blocks_of

if TYPE_CHECKING:
    from tests.contract.conftest import Stage

TOOLS = Path(__file__).resolve().parents[2] / ".venv/bin"
IS_REAL = bool(os.environ.get("SECFLOW_TEST_KUBECONFIG"))
FINALIZER = "tests.secflow.io/holds"

pytestmark = [pytest.mark.cluster]


def commands() -> list[str]:
    """What the page says about a namespace that is terminating."""
    text = (DOCS / "operating.md").read_text(encoding="utf-8")
    [block] = blocks_of(text.partition("### A namespace is terminating")[2].partition("\n###")[0])
    assert block.language == "bash"
    return block.lines


@pytest.fixture
def held(stage: Stage) -> Iterator[str]:
    """The name of a namespace that is being deleted and holds an object with a finalizer of somebody else."""
    client, space = stage.gateway.client, f"/api/v1/namespaces/{stage.namespace}"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "left", "finalizers": [FINALIZER]}}
    client.request("POST", f"{space}/configmaps", body=body)
    client.request("DELETE", space)
    yield stage.namespace
    left = client.request("GET", f"{space}/configmaps/left")
    left["metadata"]["finalizers"] = []
    client.request("PUT", f"{space}/configmaps/left", body=left)
    stage.wait_for(lambda: _is_gone(stage, space), "the end of the namespace")


def test_the_page_shows_what_holds_a_namespace_up(stage: Stage, kubeconfig: str, held: str, tmp_path: Path) -> None:
    reasons, objects = commands()

    def said(command: str) -> list[str]:
        done = subprocess.run(
            ["bash", "-ec", command.replace("secflow-PROJECT", held)],
            env={"PATH": f"{TOOLS}:{os.environ['PATH']}", "HOME": str(tmp_path), "KUBECONFIG": kubeconfig},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    stage.wait_for(lambda: said(objects) == ["configmap/left"], "the only object that is left")
    if IS_REAL:
        stage.wait_for(lambda: any(FINALIZER in line for line in said(reasons)), "the reasons")
        assert any("configmaps" in line for line in said(reasons))
    else:
        assert said(reasons) == []


def _is_gone(stage: Stage, space: str) -> bool:
    try:
        stage.gateway.client.request("GET", space)
    except NotFound:
        return True
    return False
