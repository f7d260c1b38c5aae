"""The local cluster as a process of the stand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from secflow.runtime.errors import StandError
from secflow.runtime.layout import Layout
from secflow.runtime.service import Service

_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def is_given(environ: Mapping[str, str]) -> bool:
    """Whether a real cluster is named: by KUBECONFIG, or because SecFlow itself runs as a pod."""
    return bool(environ.get("KUBECONFIG") or (environ.get("KUBERNETES_SERVICE_HOST") and _TOKEN.is_file()))


def demand_file(environ: Mapping[str, str]) -> None:
    """Raise StandError when KUBECONFIG names no file that can be read (kubectl allows several, divided by colons)."""
    named = [Path(item).expanduser() for item in environ.get("KUBECONFIG", "").split(":") if item]
    if named and not any(os.access(path, os.R_OK) and path.is_file() for path in named):
        raise StandError(
            f"KUBECONFIG={environ['KUBECONFIG']} is no file that can be read: correct it, or unset it to use the local"
            " cluster."
        )


def service(layout: Layout, *, python: str, sandbox: str) -> Service:
    """The local cluster; it writes the kubeconfig as soon as it answers."""
    # The one of the last start names a port that may be somebody else's now.
    layout.kubeconfig.unlink(missing_ok=True)
    return Service(
        name="cluster",
        command=(
            python,
            "-m",
            "k8s_bridge.localcluster",
            f"--data={layout.cluster}",
            f"--kubeconfig={layout.kubeconfig}",
            f"--sandbox={sandbox}",
            "--port=0",
            "--die-with-parent",
        ),
        ready=lambda: layout.kubeconfig.exists() and layout.kubeconfig.stat().st_size > 0,
        stop_seconds=15,
    )
