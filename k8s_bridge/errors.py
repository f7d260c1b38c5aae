"""What can go wrong between SecFlow and a cluster, as one family of errors (contract H.5).

Every error of the cluster, of the network and of the client library is raised as one of these classes, with the cause
chained. `retryable` says whether the same call may succeed later without a human; `retry_after` is the server's own
wish in seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

BODY_LIMIT = 2048  # characters of a server's answer that an error carries on


class ClusterError(Exception):
    """A call to the cluster failed. The message is for people; the class says what kind of failure it was."""

    retryable_by_default: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(clip(message))
        self.status = status
        self.retryable = self.retryable_by_default if retryable is None else retryable
        self.retry_after = retry_after

    @property
    def message(self) -> str:
        return str(self)


class Unreachable(ClusterError):
    """No answer came: connection refused or reset, a timeout, or a TLS failure."""

    retryable_by_default = True


class NotConfigured(Unreachable):
    """There is no usable kubeconfig. Retryable, because the file is read again at the next call."""


class Throttled(ClusterError):
    """429: the server asks for fewer calls."""

    retryable_by_default = True


class ServerTrouble(ClusterError):
    """5xx, or an answer that is not what a Kubernetes API server sends."""

    retryable_by_default = True


class QuotaExceeded(ClusterError):
    """A resource quota of the namespace is used up, or was being changed by someone else at this moment."""

    retryable_by_default = True


class NotAllowed(ClusterError):
    """401 or 403: the account may not do this. The message names the verb and the resource."""


class NamespaceTerminating(ClusterError):
    """The namespace is being deleted: nothing can be made in it any more."""


class NotFound(ClusterError):
    """404: the object, or the namespace it should go into, does not exist."""


class AlreadyExists(ClusterError):
    """409 on create: the name is in use. The gateway turns this into adoption, replacement or NameConflict."""


class NameConflict(ClusterError):
    """The name is in use by an object that belongs to somebody else. That object was not touched."""


class Rejected(ClusterError):
    """The server or an admission rule refuses the object or the call: it must be changed. The message is the server's
    own.
    """


class StaleVersion(ClusterError):
    """The object changed, or was replaced by another of the same name, since it was read. Read again, then decide
    again.
    """

    retryable_by_default = True


class Superseded(StaleVersion):
    """A newer attempt of the same node holds the name: the caller works on old facts and must stop."""

    retryable_by_default = False


class Expired(ClusterError):
    """410: the resource version or the continue token is too old. List again."""

    retryable_by_default = True


def clip(text: str) -> str:
    """At most BODY_LIMIT characters of `text`; a cut is shown."""
    return text if len(text) <= BODY_LIMIT else text[: BODY_LIMIT - 3] + "..."


def error_from_answer(
    status: int, body: bytes | str | Mapping[str, Any], *, verb: str, resource: str, retry_after: str | None = None
) -> ClusterError:
    """The error for an answer that is not 2xx. Pure.

    `body` is what the server sent, best a Status object; `verb` and `resource` are the Kubernetes words for the call
    ("create", "jobs.batch"); `retry_after` is the header of that name.
    """
    answer = _status_object(body)
    message = str(answer.get("message") or "").strip()
    error_class = _class_of(status, answer, message)
    if error_class is NotAllowed:
        text = f"Not allowed to {verb} {resource}: {message or 'the server gave no reason'}"
    elif error_class in (ServerTrouble, Throttled):
        text = f"The cluster answered {status} to {verb} {resource}: {message or 'no reason given'}"
    else:
        text = message or f"The cluster answered {status} to {verb} {resource} without a reason."
    return error_class(text, status=status, retry_after=_seconds(retry_after, answer))


def _status_object(body: bytes | str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(body, Mapping):
        return body
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        found = json.loads(text)
    except ValueError:
        return {"message": text}
    return found if isinstance(found, dict) and "message" in found else {"message": text}


def _seconds(header: str | None, answer: Mapping[str, Any]) -> float | None:
    """Retry-After in seconds. Kubernetes never sends the date form, so anything but a number counts as absent."""
    wish = header if header is not None else (answer.get("details") or {}).get("retryAfterSeconds")
    try:
        seconds = float(wish) if wish is not None else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < float("inf") else None


def _forbidden(answer: Mapping[str, Any], message: str) -> type[ClusterError]:
    """403 has four meanings; only the cause and the text tell them apart."""
    causes = (answer.get("details") or {}).get("causes") or ()
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes) or "is being terminated" in message:
        return NamespaceTerminating
    if "exceeded quota" in message:
        return QuotaExceeded
    # The authorizer always names the user ("User "x" cannot create ..."); admission plugins and webhooks never do.
    if not message or _AUTHORIZER.search(message) or not _ADMISSION.search(message):
        return NotAllowed
    return Rejected


_AUTHORIZER = re.compile(r"""\bcannot\b.*\b(resource|path|impersonate)\b""")
_ADMISSION = re.compile(r"""denied the request|is forbidden: |violates PodSecurity|denied request""")


def _conflict(answer: Mapping[str, Any], message: str) -> type[ClusterError]:
    if answer.get("reason") == "AlreadyExists":
        return AlreadyExists
    return QuotaExceeded if "resourcequota" in message.lower() else StaleVersion


_BY_STATUS: dict[int, type[ClusterError] | Callable[[Mapping[str, Any], str], type[ClusterError]]] = {
    400: Rejected,
    401: NotAllowed,
    403: _forbidden,
    404: NotFound,
    408: ServerTrouble,
    409: _conflict,
    410: Expired,
    422: Rejected,
    429: Throttled,
}


def _class_of(status: int, answer: Mapping[str, Any], message: str) -> type[ClusterError]:
    found = _BY_STATUS.get(status)
    if found is None:
        return Rejected if 400 <= status < 500 else ServerTrouble
    return found if isinstance(found, type) else found(answer, message)
