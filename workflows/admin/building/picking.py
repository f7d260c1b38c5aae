"""Templates to choose from for a new node: what the project may use, searched by name."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from templates_app.kinds import KINDS
from templates_app.selectors import list_templates
from workflows.admin.building.addresses import page_url
from workflows.admin.building.drafts import Draft
from workflows.admin.building.overview import asked_of, template_url

_MOST = 30


def template_cards(draft: Draft, query: str) -> dict[str, Any]:
    """Two queries, whatever there is. Administrators, too, see only what this project may use."""
    instance = draft.instance
    groups: list[dict[str, Any]] = []
    for kind in KINDS.values():
        rows = list_templates(kind, actor=draft.actor, project_id=instance.project_id)
        if query:
            rows = rows.filter(Q(name__icontains=query) | Q(description__icontains=query) | Q(pk=query))
        found = list(rows[: _MOST + 1])
        cards = [
            {
                "name": row.name,
                "description": row.description or "",
                "scope": row.scope,
                "images": ", ".join(str(item.get("image", "")) for item in row.containers),
                "asked": ", ".join(item["what"] for item in asked_of(row) if not item["default"]),
                "url": page_url("add_node", instance.pk, template=f"{kind.word}:{row.pk}"),
                "template_url": template_url(row),
            }
            for row in found[:_MOST]
        ]
        groups.append({"label": f"{kind.label}s", "kind": kind.word, "cards": cards, "has_more": len(found) > _MOST})
    return {"groups": groups, "is_empty": not any(group["cards"] for group in groups)}
