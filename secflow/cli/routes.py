"""Every path of the API that the command line calls, with its method: a test holds it against the OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

_WORKFLOW = "/api/workflow"
_INSTANCE = f"{_WORKFLOW}/workflow-instances/{{instance_id}}"


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `path` is written as the OpenAPI document writes it."""

    method: str
    path: str

    def at(self, **ids: str) -> str:
        """The path with the ids put in, quoted."""
        return self.path.format(**{name: quote(value, safe="") for name, value in ids.items()})


CREATE_TOKEN = Route("POST", "/api/token/")
REFRESH_TOKEN = Route("POST", "/api/token/refresh/")
BLACKLIST_TOKEN = Route("POST", "/api/token/blacklist/")

READ_HEALTH = Route("GET", f"{_WORKFLOW}/health")
LIST_INSTANCES = Route("GET", f"{_WORKFLOW}/workflow-instances")
READ_INSTANCE = Route("GET", _INSTANCE)
DELETE_INSTANCE = Route("DELETE", _INSTANCE)
READ_LOG_RECORDS = Route("GET", f"{_INSTANCE}/logs")
READ_NODE_LOGS = Route("GET", f"{_INSTANCE}/nodes/{{node_id}}/logs")
LIST_APP_TEMPLATES = Route("GET", f"{_WORKFLOW}/app-templates")
LIST_JOB_TEMPLATES = Route("GET", f"{_WORKFLOW}/job-templates")
READ_APP_TEMPLATE = Route("GET", f"{_WORKFLOW}/app-templates/{{template_id}}")
READ_JOB_TEMPLATE = Route("GET", f"{_WORKFLOW}/job-templates/{{template_id}}")
READ_EVENTS = Route("GET", f"{_WORKFLOW}/events")
APPLY_DOCUMENT = Route("POST", f"{_WORKFLOW}/documents")
READ_DOCUMENT = Route("GET", f"{_INSTANCE}/document")

START = Route("POST", f"{_INSTANCE}/start")
STOP = Route("POST", f"{_INSTANCE}/stop")
INITIALIZE = Route("POST", f"{_INSTANCE}/initialize")
UNINITIALIZE = Route("POST", f"{_INSTANCE}/uninitialize")
TRIGGER = Route("POST", f"{_INSTANCE}/trigger")
ACTIVATE = Route("POST", f"{_INSTANCE}/activate")
DEACTIVATE = Route("POST", f"{_INSTANCE}/deactivate")
SYNC = Route("POST", f"{_INSTANCE}/sync-status")


def every_route() -> list[Route]:
    """All of them."""
    return [value for value in globals().values() if isinstance(value, Route)]
