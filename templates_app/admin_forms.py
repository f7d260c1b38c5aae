"""Forms of templates. The body that they make is read by the serializers of the API, so there is one set of rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms
from django.db import transaction
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from secflow.http.serializers import Input
from templates_app import services
from templates_app.api.serializers import (
    AppTemplateChangesInput,
    AppTemplateInput,
    JobTemplateChangesInput,
    JobTemplateInput,
)
from templates_app.kinds import TemplateKind
from templates_app.models import AppTemplate, JobTemplate
from workflows.domain.actors import Actor
from workflows.domain.errors import DomainError

_FIRST_CONTAINER = [{"name": "main", "image": ""}]


class JsonTextField(forms.JSONField):
    """JSON in a text area, indented, in the order in which it is stored."""

    def __init__(self, *, rows: int, **kwargs: Any) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"class": "console-json", "rows": rows, "spellcheck": "false"})
        super().__init__(**{"widget": widget} | kwargs)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str | forms.fields.InvalidJSONInput):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False)


class TemplateForm(forms.ModelForm):
    """A form whose valid input is already written when `is_valid` says so: the service has the last word, and what it
    refuses is shown beside the input. Nothing is written when a field is wrong.
    """

    kind: ClassVar[TemplateKind]
    actor: ClassVar[Actor]
    create_body: ClassVar[type[Input]]
    change_body: ClassVar[type[Input]]

    containers = JsonTextField(
        rows=24,
        initial=_FIRST_CONTAINER,
        help_text="A JSON array of containers with the fields and rules of the API.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "description" in self.fields:
            self.fields["description"].widget.attrs["rows"] = 3
        if "service_type" in self.fields:
            # As Kubernetes writes them.
            choices = [(word, word) for word in AppTemplate.ServiceType.values]
            self.fields["service_type"] = forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget)

    def _post_clean(self) -> None:
        """The rules of the API stand in for those of the model, which know less and word it differently."""

    def full_clean(self) -> None:
        super().full_clean()
        if not self.is_bound or self.errors:
            return
        is_new = self.instance._state.adding
        names = list(self.fields) if is_new else self.changed_data
        body = {name: self.cleaned_data[name] for name in names}
        serializer = (self.create_body if is_new else self.change_body)(data=body)
        if not serializer.is_valid():
            self._refuse(serializer.errors)
            return
        try:
            # A savepoint: what the service did before it refused must not stay in the page's transaction.
            with transaction.atomic():
                self._write(is_new, dict(serializer.validated_data))
        except DomainError as err:
            self.add_error(None, err.message)

    def _write(self, is_new: bool, values: dict[str, Any]) -> None:
        if is_new:
            self.instance = services.create_template(self.kind, actor=self.actor, values=values)
        elif values:
            self.instance = services.update_template(
                self.kind, actor=self.actor, template_id=self.instance.pk, changes=values
            )

    def _refuse(self, errors: Any) -> None:
        for path, sentence in _flat(errors):
            field, _, place = path.partition(".")
            if field in self.fields:
                self.add_error(field, f"{place}: {sentence}" if place else sentence)
            else:
                self.add_error(None, f"{path}: {sentence}" if path else sentence)

    def save(self, commit: bool = True) -> Any:
        """The row as the service has written it."""
        return self.instance

    def _save_m2m(self) -> None:
        """Templates have no many-to-many fields."""

    save_m2m = _save_m2m


def _flat(errors: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Nested errors as pairs of a dotted path and a sentence."""
    if isinstance(errors, dict):
        for key, value in errors.items():
            place = "" if key == "non_field_errors" else str(key)
            yield from _flat(value, ".".join(part for part in (path, place) if part))
    elif isinstance(errors, list | tuple):
        for value in errors:
            yield from _flat(value, path)
    else:
        yield path, str(errors)


class AppTemplateForm(TemplateForm):
    """An app template (contract C.1)."""

    create_body = AppTemplateInput
    change_body = AppTemplateChangesInput

    service_ports = JsonTextField(
        rows=8,
        initial=list,
        required=False,
        empty_value=[],
        help_text="A JSON array of ports: name, port, target_port, protocol.",
    )

    class Meta:
        model = AppTemplate
        fields = (
            "name",
            "description",
            "scope",
            "project_id",
            "containers",
            "replicas",
            "create_service",
            "service_name",
            "service_type",
            "service_ports",
        )


class JobTemplateForm(TemplateForm):
    """A job template (contract C.2)."""

    create_body = JobTemplateInput
    change_body = JobTemplateChangesInput

    class Meta:
        model = JobTemplate
        fields = (
            "name",
            "description",
            "scope",
            "project_id",
            "containers",
            "backoff_limit",
            "ttl_seconds_after_finished",
        )
