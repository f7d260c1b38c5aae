"""The engine's one way to the cluster: a shared gateway, and its errors said in the engine's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from uuid import uuid4

from django.conf import settings

from k8s_bridge.errors import ClusterError, NotAllowed
from k8s_bridge.gateway import Gateway
from workflows.domain.errors import Unavailable
from workflows.models import Installation


@cache
def installation_uid() -> str:
    """The id that every object of this installation carries. It is made once per database."""
    row, _ = Installation.objects.get_or_create(pk=1, defaults={"uid": uuid4().hex})
    return row.uid


@cache
def gateway() -> Gateway:
    """The process's gateway to the cluster that the settings name. It connects at the first call."""
    return Gateway.connect(settings.SECFLOW.kubeconfig, installation=installation_uid())


@contextmanager
def translated() -> Iterator[None]:
    """Turns a cluster error that nobody handled into Unavailable with a sentence for the caller (contract D.4)."""
    try:
        yield
    except NotAllowed as err:
        raise Unavailable(
            f"the cluster refuses SecFlow's account: {err}; run `manage.py doctor` for the missing rights"
        ) from err
    except ClusterError as err:
        raise Unavailable(f"the cluster cannot be used now: {err}") from err
