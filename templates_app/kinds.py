"""The two kinds of template and the words for them."""

from __future__ import annotations

from dataclasses import dataclass

from templates_app.models import AppTemplate, JobTemplate


@dataclass(frozen=True, slots=True)
class TemplateKind:
    """`word` is the node type it is for, `resource` stands in error details, `label` in messages (contract A.5)."""

    word: str
    model: type[AppTemplate] | type[JobTemplate]
    resource: str
    label: str


APP = TemplateKind("app", AppTemplate, "app_template", "App template")
JOB = TemplateKind("job", JobTemplate, "job_template", "Job template")
KINDS: dict[str, TemplateKind] = {kind.word: kind for kind in (APP, JOB)}

AnyTemplate = AppTemplate | JobTemplate
