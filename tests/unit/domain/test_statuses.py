"""The readiness mapping of section B, and that the domain stands alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workflows.domain.statuses import InstanceStatus, readiness_of


@pytest.mark.parametrize(
    ("status", "with_ready_apps", "without"),
    [
        ("pending", "pending", "pending"),
        ("initializing", "unready", "unready"),
        ("initialized", "ready", "unready"),
        ("running", "unready", "unready"),
        ("succeeded", "ready", "ready"),
        ("failed", "unready", "unready"),
        ("stopped", "unready", "unready"),
    ],
)
def test_readiness_follows_status_and_apps(status: str, with_ready_apps: str, without: str) -> None:
    assert readiness_of(InstanceStatus(status), apps_ready=True) == with_ready_apps
    assert readiness_of(InstanceStatus(status), apps_ready=False) == without
    assert readiness_of(status, apps_ready=False) == without  # the text of a database row means the same


def test_domain_imports_no_framework() -> None:
    program = """
import pkgutil, sys
from importlib import import_module
import workflows.domain as domain
for module in pkgutil.walk_packages(domain.__path__, "workflows.domain."):
    import_module(module.name)
loaded = {name.split(".")[0] for name in sys.modules}
heavy = loaded & {"django", "rest_framework", "celery", "kubernetes", "k8s_bridge"}
sys.exit(f"the domain imports {sorted(heavy)}" if heavy else 0)
"""

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
