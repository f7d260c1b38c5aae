"""Forms of templates. The body that they make is read by the serializers of the API, so there is one set of rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.db import transaction
from django.forms.utils import ErrorList
from django.http import QueryDict

from secflow.console.bodies.writing import WritingBody
from secflow.console.projects import usable_projects
from secflow.http.serializers import Input
from templates_app import services
from templates_app.admin_parts import template_parts
from templates_app.api.serializers import (
    AppTemplateChangesInput,
    AppTemplateInput,
    JobTemplateChangesInput,
    JobTemplateInput,
)
from templates_app.kinds import APP, JOB, AnyTemplate, TemplateKind
from templates_app.models import AppTemplate, JobTemplate
from workflows.domain.actors import Actor

_INPUTS: dict[str, tuple[type[Input], type[Input]]] = {
    APP.word: (AppTemplateInput, AppTemplateChangesInput),
    JOB.word: (JobTemplateInput, JobTemplateChangesInput),
}
ANY_ROW = [{"name": "main"}]


class TemplateBody(WritingBody):
    """The inputs of one template, new or existing."""

    def __init__(
        self,
        kind: TemplateKind,
        *,
        actor: Actor,
        row: AnyTemplate | None = None,
        posted: QueryDict | None = None,
        is_disabled: bool = False,
    ) -> None:
        self.kind, self.actor, self.row = kind, actor, row
        self.new_input, self.change_input = _INPUTS[kind.word]
        parts, folds = template_parts(kind, usable_projects(actor))
        stored = {part.name: getattr(row, part.name) for part in parts} if row is not None else None
        super().__init__(
            parts,
            stored=stored,
            initial={"containers": ANY_ROW},
            posted=posted,
            folds=folds,
            is_disabled=is_disabled,
        )

    def write(self, values: Mapping[str, Any]) -> AnyTemplate:
        """The row as the service of its kind has written it."""
        if self.row is None:
            return services.create_template(self.kind, actor=self.actor, values=values)
        if not values:
            return self.row
        return services.update_template(self.kind, actor=self.actor, template_id=self.row.pk, changes=values)


class TemplateForm(forms.ModelForm):
    """What Django's page asks of a form, over a `TemplateBody`.

    A valid form is already written when `is_valid` says so: the service has the last word, and what it refuses is shown
    beside the input. Nothing is written when an input is wrong, or when somebody else was faster.
    """

    kind: ClassVar[TemplateKind]
    actor: ClassVar[Actor]
    may_write: ClassVar[bool]
    body: TemplateBody
    stale: TemplateBody | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        row = None if self.instance._state.adding else self.instance
        posted = self.data if self.is_bound and isinstance(self.data, QueryDict) else None
        self.body = TemplateBody(self.kind, actor=self.actor, row=row, posted=posted, is_disabled=not self.may_write)

    def full_clean(self) -> None:
        super().full_clean()
        if not self.is_bound or self.errors:
            return
        if self.body.only_edits_rows:
            # Not an error that anybody reads: it keeps Django from saving.
            self.errors["_rows"] = self.error_class(["a row was added or removed"])
            return
        with transaction.atomic():
            if self.body.row is not None:
                self._lock()
            written = None if self.stale else self.body.apply()
        if written is not None:
            self.instance = written
        for name, texts in self.body.errors.items():
            self.errors[name or "__all__"] = self.error_class(texts)

    def _lock(self) -> None:
        """Reads the row again, under a lock, so that nobody else's change is lost between looking and writing."""
        row = self.kind.model.objects.select_for_update().get(pk=self.instance.pk)
        body = TemplateBody(self.kind, actor=self.actor, row=row, posted=self.body.posted)
        if body.is_stale:
            self.stale = body
            self.errors["__all__"] = self.error_class(["somebody else changed this template after you had opened it"])
            self.body = TemplateBody(self.kind, actor=self.actor, row=row)
        else:
            self.body = body

    def non_field_errors(self) -> ErrorList:
        """None that the frame of the page has to show: the body's own part says them, and a script keeps that up to date."""
        return self.error_class()

    def _post_clean(self) -> None:
        """The rules of the API stand in for those of the model, which know less and word it differently."""

    def has_changed(self) -> bool:
        return bool(self.body.changes)

    @property
    def changed_data(self) -> list[str]:
        return list(self.body.changes)

    def save(self, commit: bool = True) -> Any:
        """The row as the service has written it."""
        return self.instance

    def _save_m2m(self) -> None:
        """Templates have no many-to-many fields."""

    save_m2m = _save_m2m


class AppTemplateForm(TemplateForm):
    """An app template (contract C.1)."""

    class Meta:
        model = AppTemplate
        fields = ()


class JobTemplateForm(TemplateForm):
    """A job template (contract C.2)."""

    class Meta:
        model = JobTemplate
        fields = ()
