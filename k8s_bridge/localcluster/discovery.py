"""What the server says it serves: /version, the group and resource lists in both forms."""

from __future__ import annotations

import platform
import sys
from typing import Any, Final

from k8s_bridge.localcluster.resources import GROUPS, READ_WRITE, Resource, of_group

Object = dict[str, Any]

VERSION: Final = "v1.37.0+secflow-local"
AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
NAMED_GROUPS: Final = tuple(group for group in GROUPS if group)


def verbs(resource: Resource, subresource: str | None = None) -> tuple[str, ...]:
    """The verbs served on a kind or on a part of it. Namespaces cannot be deleted as a collection, as in Kubernetes."""
    if subresource == "log":
        return ("get",)
    if subresource:
        return ("get", "patch", "update")
    return tuple(verb for verb in READ_WRITE if verb != "deletecollection" or resource.kind != "Namespace")


def version() -> Object:
    return {
        "major": "1",
        "minor": "37",
        "gitVersion": VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "platform": f"{platform.system().lower()}/{platform.machine().lower()}",
    }


def api_versions(server: str) -> Object:
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def group(name: str) -> Object:
    entry = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": [entry], "preferredVersion": entry}


def group_list() -> Object:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(name) for name in NAMED_GROUPS]}


def resource_list(group_name: str) -> Object:
    """The classic list of one group: an entry per kind and one per subresource."""
    entries: list[Object] = []
    for resource in of_group(group_name):
        entry: Object = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(verbs(resource)),
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        entries.append(entry)
        for part in resource.subresources:
            kind, group_version = _subresource_kind(resource, part)
            below: Object = {
                "name": f"{resource.plural}/{part}",
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": kind,
                "verbs": list(verbs(resource, part)),
            }
            if part == "scale":
                below["group"], below["version"] = group_version
            entries.append(below)
    group_version_text = f"{group_name}/v1" if group_name else "v1"
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version_text, "resources": entries}


def _subresource_kind(resource: Resource, part: str) -> tuple[str, tuple[str, str]]:
    if part == "scale":
        return "Scale", ("autoscaling", "v1")
    return resource.kind, (resource.group, resource.version)


def aggregated(*, core: bool) -> Object:
    """Everything in one answer, as clients of today ask for it: `core` for /api, the named groups for /apis."""
    names = ("",) if core else NAMED_GROUPS
    items = [
        {
            "metadata": {"name": name, "creationTimestamp": None},
            "versions": [
                {
                    "version": "v1",
                    "freshness": "Current",
                    "resources": [_discovered(resource) for resource in of_group(name)],
                }
            ],
        }
        for name in names
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _discovered(resource: Resource) -> Object:
    entry: Object = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(verbs(resource)),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    below: list[Object] = []
    for part in resource.subresources:
        kind, (group_name, group_version) = _subresource_kind(resource, part)
        answer = {"group": group_name, "version": group_version, "kind": kind}
        below.append({"subresource": part, "responseKind": answer, "verbs": list(verbs(resource, part))})
    if below:
        entry["subresources"] = below
    return entry


def group_paths() -> list[str]:
    """The groups as OpenAPI v3 names them: `api/v1`, `apis/batch/v1`."""
    return ["api/v1", *(f"apis/{name}/v1" for name in NAMED_GROUPS)]
