"""Counts of what the actor may read (contract D.10)."""

from __future__ import annotations

from dataclasses import dataclass

from templates_app.kinds import APP, JOB
from templates_app.selectors import count_templates
from workflows.domain.actors import Actor
from workflows.selectors.instances import count_by_word, visible_instances


@dataclass(frozen=True, slots=True)
class Statistics:
    """`by_status` has every word of the vocabulary; its numbers add up to the number of instances."""

    by_status: dict[str, int]
    app_templates: int
    job_templates: int


def read_statistics(*, actor: Actor, project_id: str | None, readiness: bool) -> Statistics:
    """Counts for one project or for all. `readiness` counts instances by readiness. Three queries."""
    instances = visible_instances(actor)
    if project_id is not None:
        instances = instances.filter(project_id=project_id)
    return Statistics(
        by_status=count_by_word(instances, readiness=readiness),
        app_templates=count_templates(APP, actor=actor, project_id=project_id),
        job_templates=count_templates(JOB, actor=actor, project_id=project_id),
    )
