"""Names and labels of everything SecFlow makes in a cluster (contract H.1 to H.4). Pure.

Guarantees
* A workload name is a DNS label made only of the two id suffixes: the same node always gets the same name, two nodes of
  one project never share one.
* An object is SecFlow's only when it carries the whole set of owner labels; `owner_of(labels(owner))` gives the owner
  back.
* Container and port names that are valid already are kept; others become valid ones; names of one list never collide.
* Objects are found again by label, never by a prefix of their name.
* All objects of one instance are in one shard, the same one in every process and release.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from k8s_bridge.specs import Owner

APP = "app"
MANAGED_BY = "managed-by"
MANAGER = "secflow-workflow"
INSTALLATION = "secflow.io/installation"
INSTANCE_ID = "secflow.io/instance-id"
NODE_ID = "secflow.io/node-id"
PROJECT_ID = "secflow.io/project-id"
RUN = "secflow.io/run"
ATTEMPT = "secflow.io/attempt"
SHARD = "secflow.io/shard"  # says who follows the object, not whose it is
SPEC_HASH = "secflow.io/spec-hash"  # an annotation

SHARDS = 16
LABEL_LIMIT = 63
PORT_NAME_LIMIT = 15
PROJECT_ID_LIMIT = 55  # so that "secflow-" and the id fit into one DNS label

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # Service names
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_NUMBER = re.compile(r"[0-9]+")


def is_dns_label(text: str) -> bool:
    return len(text) <= LABEL_LIMIT and _DNS_LABEL.fullmatch(text) is not None


def is_service_name(text: str) -> bool:
    return len(text) <= LABEL_LIMIT and _DNS_LABEL_1035.fullmatch(text) is not None


def is_label_value(text: str) -> bool:
    return len(text) <= LABEL_LIMIT and _LABEL_VALUE.fullmatch(text) is not None


def namespace_of(project_id: str) -> str:
    """`secflow-{project_id}` (H.1). Two projects never share a namespace. Raises ValueError for an id that does not
    fit.
    """
    if len(project_id) > PROJECT_ID_LIMIT or not is_dns_label(project_id):
        raise ValueError(
            f"Project id {project_id!r} cannot name a namespace: use at most {PROJECT_ID_LIMIT} "
            "characters, lower case letters, digits and '-', with a letter or digit at both ends."
        )
    return f"secflow-{project_id}"


def workload_name(instance_suffix: str, node_suffix: str) -> str:
    """`wf-{i}-{n}`, the name of a Deployment or Job (H.2). Raises ValueError when the suffixes make no DNS label."""
    return _dns_label_or_error(f"wf-{instance_suffix}-{node_suffix}")


def service_name(instance_suffix: str, node_suffix: str) -> str:
    """`svc-wf-{i}-{n}`, the name of a Service that nobody named (H.2). Raises ValueError like `workload_name`."""
    return _dns_label_or_error(f"svc-wf-{instance_suffix}-{node_suffix}")


def labels(owner: Owner) -> dict[str, str]:
    """The owner labels of every object (H.3). Raises ValueError when an id cannot be a label value."""
    made = {
        MANAGED_BY: MANAGER,
        INSTALLATION: owner.installation,
        PROJECT_ID: owner.project_id,
        INSTANCE_ID: owner.instance_id,
        NODE_ID: owner.node_id,
        RUN: str(owner.run),
        ATTEMPT: str(owner.attempt),
        SHARD: str(shard_of(owner.instance_id)),
    }
    for key, value in made.items():
        if not is_label_value(value):
            raise ValueError(f"{value!r} cannot be the label {key}: use at most 63 letters, digits, '-', '_' and '.'.")
    return made


def shard_of(instance_id: str) -> int:
    """The shard of an instance's objects, from 0 to SHARDS - 1. It never changes for an id."""
    return zlib.crc32(instance_id.encode()) % SHARDS


def owner_of(obj: Mapping[str, Any]) -> Owner | None:
    """The owner that the object's labels name, of whatever installation; None when the object is not SecFlow's."""
    found = obj.get("metadata", {}).get("labels") or {}
    run, attempt = found.get(RUN, ""), found.get(ATTEMPT, "")
    texts = [found.get(key) for key in (INSTALLATION, PROJECT_ID, INSTANCE_ID, NODE_ID)]
    if found.get(MANAGED_BY) != MANAGER or not all(texts):
        return None
    if not (_NUMBER.fullmatch(run) and _NUMBER.fullmatch(attempt)):
        return None
    installation, project_id, instance_id, node_id = map(str, texts)
    return Owner(installation, project_id, instance_id, node_id, run=int(run), attempt=int(attempt))


def installation_selector(installation: str) -> str:
    """Finds everything of this installation, and nothing else."""
    return selector({MANAGED_BY: MANAGER, INSTALLATION: installation})


def shard_selector(installation: str, shards: Collection[int]) -> str:
    """Finds what is in these shards of this installation. An object with no shard, or with one that this release does not
    know, is in shard 0: an older or newer release made it.
    """
    found = installation_selector(installation)
    others = [str(shard) for shard in range(SHARDS) if shard not in shards]
    if not others:
        return found
    if 0 in shards:
        return f"{found},{SHARD} notin ({','.join(others)})"  # which also finds objects without the label
    return f"{found},{SHARD} in ({','.join(str(shard) for shard in sorted(shards))})"


def instance_selector(installation: str, instance_id: str) -> str:
    """Finds everything of one workflow instance."""
    return selector({MANAGED_BY: MANAGER, INSTALLATION: installation, INSTANCE_ID: instance_id})


def workload_selector(installation: str, name: str, *, attempt: int | None = None) -> str:
    """Finds the pods of the Deployment or Job `name`, or only those of one attempt."""
    of_attempt = {} if attempt is None else {ATTEMPT: str(attempt)}
    return selector({APP: name, MANAGED_BY: MANAGER, INSTALLATION: installation, **of_attempt})


def selector(wanted: Mapping[str, str]) -> str:
    """A label selector that asks for every pair. Raises ValueError for a value that is no label value."""
    for key, value in wanted.items():
        if not is_label_value(value):
            raise ValueError(f"{value!r} cannot be looked up as label {key}: it is not a valid label value.")
    return ",".join(f"{key}={value}" for key, value in wanted.items())


def container_name(name: str) -> str:
    """The DNS label for a container name that stands alone (H.4). A valid name is kept."""
    return name if is_dns_label(name) else _slug(name, LABEL_LIMIT) or "container"


def container_names(names: Sequence[str]) -> tuple[str, ...]:
    """A DNS label for each container of one pod, all different, in order (H.4). A valid name is kept."""
    return _unique(names, [container_name(name) for name in names], LABEL_LIMIT)


def container_port_names(names: Sequence[str]) -> tuple[str, ...]:
    """A name of at most 15 characters for each port of one pod, all different, in order (H.4)."""
    return _unique(names, [_port_name(name) for name in names], PORT_NAME_LIMIT)


def service_port_names(names: Sequence[str]) -> tuple[str, ...]:
    """A DNS label for each port of one Service, all different, in order. A valid name is kept."""
    made = [name if is_dns_label(name) else _slug(name, LABEL_LIMIT) or "port" for name in names]
    return _unique(names, made, LABEL_LIMIT)


def _dns_label_or_error(name: str) -> str:
    if not is_dns_label(name):
        raise ValueError(
            f"{name!r} is not a valid object name: use lower case letters, digits and '-', at most 63 in all."
        )
    return name


def _slug(text: str, limit: int) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:limit].strip("-")


def _port_name(name: str) -> str:
    # A port name needs a letter and no "--": https://www.rfc-editor.org/rfc/rfc6335 section 5.1.
    slug = _slug(name, PORT_NAME_LIMIT)
    return slug if re.search("[a-z]", slug) else _slug(f"port-{slug}", PORT_NAME_LIMIT)


def _unique(names: Iterable[str], wanted: Sequence[str], limit: int) -> tuple[str, ...]:
    """`wanted` with a number added where it clashes. Names that needed no change are placed first: they keep their
    form.
    """
    made: dict[int, str] = {}
    taken: set[str] = set()
    for position, name in enumerate(names):
        if wanted[position] == name and name not in taken:
            taken.add(name)
            made[position] = name
    for position, base in enumerate(wanted):
        if position in made:
            continue
        candidate, number = base, 2
        while candidate in taken:
            tail = f"-{number}"
            candidate, number = base[: limit - len(tail)].rstrip("-") + tail, number + 1
        taken.add(candidate)
        made[position] = candidate
    return tuple(made[position] for position in range(len(wanted)))
