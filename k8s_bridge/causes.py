"""What a Diagnosis is, and what the words of a cluster mean: errors and messages turned into diagnoses. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from k8s_bridge import errors


class Category(StrEnum):
    """What kind of trouble it is. The words are stable: other systems may count them."""

    IMAGE_PULL = "image_pull"
    INVALID_IMAGE = "invalid_image"
    CRASH_LOOP = "crash_loop"
    OUT_OF_MEMORY = "out_of_memory"
    EVICTED = "evicted"
    UNSCHEDULABLE = "unschedulable"
    MISSING_CLAIM = "missing_claim"
    QUOTA = "quota"
    ADMISSION = "admission"
    NOT_ALLOWED = "not_allowed"
    NAME_CONFLICT = "name_conflict"
    NAMESPACE = "namespace"
    NODE_LOST = "node_lost"
    DELETED = "deleted"
    EXIT_CODE = "exit_code"
    BACKOFF_LIMIT = "backoff_limit"
    NOT_READY = "not_ready"
    TIMEOUT = "timeout"
    START_ERROR = "start_error"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`summary` says what is wrong, `detail` gives the cluster's own words (may be empty), `resolution` says what to
    do.
    """

    category: Category
    summary: str
    detail: str
    resolution: str


_CLAIM = re.compile(r'persistentvolumeclaims? "([^"]+)" (?:not found|is being deleted)')
_RESOURCE = re.compile(r"Insufficient ([\w./-]*\w)")
_NEW_POD = re.compile(r'\bpods "([^"]+)-[a-z0-9]{5}"')
_TAINT = re.compile(r"taint(?:s|\(s\))? \{([^}]*)\}")


def diagnose_error(error: errors.ClusterError) -> Diagnosis:
    """The error in a person's words; the server's message is kept as the detail."""
    for error_class, category, summary, resolution in _ERRORS:
        if isinstance(error, error_class):
            if claim := absent_claim(error.message):
                return missing_claim(claim, error.message)
            return Diagnosis(category, summary, error.message, resolution)
    raise AssertionError("the last row of _ERRORS fits every ClusterError")


_ERRORS: tuple[tuple[type[errors.ClusterError], Category, str, str], ...] = (
    (
        errors.QuotaExceeded,
        Category.QUOTA,
        "The namespace has used up a resource quota.",
        "Stop other workloads of the project, ask for less, or raise the quota. SecFlow keeps trying.",
    ),
    (
        errors.NamespaceTerminating,
        Category.NAMESPACE,
        "The project's namespace is being deleted.",
        "Wait until it is gone, then start again: SecFlow makes a new one.",
    ),
    (
        errors.NotAllowed,
        Category.NOT_ALLOWED,
        "SecFlow's account lacks a right in the cluster.",
        "Give the account the right that the message names, or renew its credentials.",
    ),
    (
        errors.NameConflict,
        Category.NAME_CONFLICT,
        "An object of that name exists and belongs to somebody else.",
        "Choose another name for the Service, or remove the other object.",
    ),
    (
        errors.Superseded,
        Category.NAME_CONFLICT,
        "A later attempt of this node is there already.",
        "Nothing: the later attempt goes on.",
    ),
    (
        errors.Rejected,
        Category.ADMISSION,
        "The cluster refuses the object.",
        "Correct what the message names in the template or the node.",
    ),
    (
        errors.NotConfigured,
        Category.CLUSTER,
        "SecFlow has no usable kubeconfig.",
        "Put a valid kubeconfig in place. SecFlow keeps trying.",
    ),
    (
        errors.NotFound,
        Category.CLUSTER,
        "Something that is needed does not exist in the cluster.",
        "Make what the message names, then start the node again.",
    ),
    (
        errors.ClusterError,
        Category.CLUSTER,
        "The cluster does not answer as it should.",
        "Check the cluster and the way to it. SecFlow keeps trying.",
    ),
)


def diagnosis_of(category: Category, summary: str, detail: str | None, resolution: str) -> Diagnosis:
    return Diagnosis(category, summary, errors.clip((detail or "").strip()), resolution)


def unschedulable(message: str) -> Diagnosis:
    if claim := absent_claim(message):
        return missing_claim(claim, message)
    if "unbound immediate PersistentVolumeClaims" in message:
        return diagnosis_of(
            Category.MISSING_CLAIM,
            "A claim of the pod has no volume yet.",
            message,
            "Check the claim's storage class and provisioner.",
        )
    resources = ", ".join(dict.fromkeys(_RESOURCE.findall(message)))
    taints = ", ".join(dict.fromkeys(text.rstrip(": ") for text in _TAINT.findall(message)))
    causes = [
        *([f"not enough {resources}"] if resources else []),
        *([f"taint {taints}"] if taints else []),
        *(["the node selector fits no node"] if "node affinity" in message or "node selector" in message else []),
    ]
    return diagnosis_of(
        Category.UNSCHEDULABLE,
        f"No node can take the pod{': ' + '; '.join(causes) if causes else ''}.",
        message,
        "Ask for less, free or add a node."
        if resources
        else "Let the pod run on the cluster's nodes, or add a fitting one.",
    )


def absent_claim(message: str) -> str | None:
    """The claim that the message says is missing or going."""
    found = _CLAIM.search(message)
    return found[1] if found else None


def missing_claim(claim: str, message: str) -> Diagnosis:
    return diagnosis_of(
        Category.MISSING_CLAIM,
        f"The volume claim {claim} does not exist in the project's namespace.",
        message,
        f"Create the claim {claim}, or mount another one.",
    )


def over_time(limit: str, *, doing: str, trouble: Diagnosis | None = None) -> Diagnosis:
    """The time is over. `limit` says which time; a trouble that was seen before is the cause, and without one `doing`,
    what the pod was at, is all that is known.
    """
    if trouble is not None:
        return replace(trouble, summary=f"{limit}. {trouble.summary}")
    return Diagnosis(Category.TIMEOUT, f"{limit}. {doing}", "", "Read its log, or give the node more time.")


def refused_pod(message: str) -> Diagnosis:
    """The words of whatever refused to make a pod, without the name's ending, which is another one at each try."""
    message = _NEW_POD.sub(r'pods "\1-*"', message.removeprefix("Error creating: "))
    if claim := absent_claim(message):
        return missing_claim(claim, message)
    if "exceeded quota" in message:
        return diagnose_error(errors.QuotaExceeded(message))
    return diagnosis_of(
        Category.ADMISSION,
        "The cluster refuses to make the pod.",
        message,
        "Correct what the message names in the template or the node, or ask the cluster's administrator to allow it.",
    )
