"""Columns and rows of the lists."""

from __future__ import annotations

from typing import Any

from secflow.cli.progress import trouble_of
from secflow.cli.table import Column
from secflow.cli.times import age, duration

Json = dict[str, Any]

INSTANCE_COLUMNS = (
    Column("NAME", least=16),
    Column("PROJECT", least=8),
    Column("STATUS"),
    Column("NODES", right=True),
    Column("RUNS", right=True),
    Column("AGE", right=True),
    Column("ID", wide=True),
    Column("MODE", wide=True),
    Column("LAST RUN", wide=True, right=True),
    Column("TOOK", wide=True, right=True),
    Column("MESSAGE", least=10),
)


def instance_row(item: Json) -> list[object]:
    """A workflow as a row of INSTANCE_COLUMNS. A `!` marks one whose records and cluster differ."""
    nodes = item["nodes"]
    mode = item["run_mode"] if item["is_active"] else f"{item['run_mode']}, inactive"
    return [
        item["name"],
        item["project_id"],
        item["status"] + (" !" if item["has_warning"] else ""),
        f"{sum(node['status'] == 'succeeded' for node in nodes)}/{len(nodes)}",
        item["run_count"],
        age(item["created_at"]),
        item["id"],
        mode,
        age(item["last_run_at"]),
        duration(item),
        item["message"],
    ]


NODE_COLUMNS = (
    Column("NAME", least=12),
    Column("TYPE"),
    Column("STATUS"),
    Column("TIME", right=True),
    Column("ID", wide=True),
    Column("OBJECT", wide=True),
    Column("SERVICE", wide=True),
    Column("MESSAGE", least=10),
)


def node_row(node: Json) -> list[object]:
    """A node as a row of NODE_COLUMNS."""
    kind, name = node["k8s_resource_type"], node["k8s_resource_name"]
    return [
        node["name"],
        node["node_type"],
        node["status"],
        duration(node),
        node["id"],
        f"{kind}/{name}" if name else "",
        node["service_name"],
        trouble_of(node),
    ]


TEMPLATE_COLUMNS = (
    Column("NAME", least=16),
    Column("KIND"),
    Column("SCOPE"),
    Column("PROJECT"),
    Column("IMAGES", least=12),
    Column("AGE", right=True),
    Column("ID", wide=True),
)


def template_row(item: Json) -> list[object]:
    """A template as a row of TEMPLATE_COLUMNS."""
    images = ", ".join(dict.fromkeys(container["image"] for container in item["containers"]))
    return [
        item["name"],
        item["kind"],
        item["scope"],
        item["project_id"],
        images,
        age(item["created_at"]),
        item["id"],
    ]
