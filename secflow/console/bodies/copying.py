"""The form of a copy: it takes a name, and a project where the copy cannot be where the old one is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.http import QueryDict

from secflow.console.bodies.parts import Text
from secflow.console.bodies.writing import WritingBody
from secflow.http.fields import TextField, name_field
from secflow.http.serializers import Input


class NameInput(Input):
    """The name of a copy."""

    name = name_field()


class NameAndProjectInput(NameInput):
    """The name of a copy, and whose it will be."""

    project_id = TextField(max_length=64)


class CopyBody(WritingBody):
    """`copy` is the service: it gets the name, with `project` the project's id as well, and returns the id of the copy.

    `project`: the input for a project, where one is to be asked for.
    """

    def __init__(
        self,
        copy: Callable[..., str],
        *,
        name: str,
        help: str,
        project: Text | None = None,
        posted: QueryDict | None = None,
    ) -> None:
        self.copy = copy
        self.new_input = NameInput if project is None else NameAndProjectInput
        parts = [Text(name="name", label="Name of the copy", empty="", is_required=True, help=help)]
        initial = {"name": name}
        if project is not None:
            parts.append(project)
            if len(project.choices) == 1:
                initial["project_id"] = project.choices[0]
        super().__init__(parts, initial=initial, posted=posted)

    def write(self, values: Mapping[str, Any]) -> str:
        return self.copy(**values)
