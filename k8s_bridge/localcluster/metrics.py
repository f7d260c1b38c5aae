"""`/metrics`: what a Prometheus scraper of a real API server would look for."""

from __future__ import annotations

from collections import Counter
from typing import Final

from k8s_bridge.localcluster.calls import Target
from k8s_bridge.localcluster.resources import RESOURCES
from k8s_bridge.localcluster.store import Store

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_VERBS: Final = {"create": "POST", "update": "PUT"}


class Metrics:
    """Request counts per verb, resource and code, and the open long-running requests."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[tuple[str, str], ...]] = Counter()
        self.streams: Counter[str] = Counter()

    def count(self, method: str, verb: str | None, target: Target | None, code: int) -> None:
        """Note one answered request; `verb` and `target` are None for a path outside the API's objects."""
        resource = target.resource if target else None
        scope = "resource" if target and target.name else "namespace" if target and target.namespace else "cluster"
        labels = {
            "code": str(code),
            "component": "apiserver",
            "dry_run": "",
            "group": resource.group if resource else "",
            "resource": resource.plural if resource else "",
            "scope": scope if resource else "",
            "subresource": (target.subresource or "") if target else "",
            "verb": _VERBS.get(verb, verb.upper()) if verb else method,
            "version": resource.version if resource else "",
        }
        self._requests[tuple(labels.items())] += 1

    def text(self, store: Store) -> str:
        """The metrics in the Prometheus text format."""
        lines = [
            "# HELP apiserver_request_total [STABLE] Counter of apiserver requests broken out for each verb, resource "
            "and HTTP response code.",
            "# TYPE apiserver_request_total counter",
        ]
        for labels, value in sorted(self._requests.items()):
            shown = ",".join(f'{key}="{text}"' for key, text in labels)
            lines.append(f"apiserver_request_total{{{shown}}} {value}")
        lines.append("# HELP apiserver_longrunning_requests [STABLE] Gauge of all active long-running requests.")
        lines.append("# TYPE apiserver_longrunning_requests gauge")
        lines.extend(
            f'apiserver_longrunning_requests{{verb="{verb}"}} {value}' for verb, value in sorted(self.streams.items())
        )
        lines.append("# HELP apiserver_storage_objects [STABLE] Number of stored objects at the time of the scrape.")
        lines.append("# TYPE apiserver_storage_objects gauge")
        for resource in sorted(RESOURCES, key=lambda known: known.qualified):
            count = len(store.list(resource.kind)[0])
            lines.append(f'apiserver_storage_objects{{resource="{resource.qualified}"}} {count}')
        return "\n".join(lines) + "\n"
