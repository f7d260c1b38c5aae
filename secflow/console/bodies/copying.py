"""The form of a copy: all it takes is a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.http import QueryDict

from secflow.console.bodies.parts import Text
from secflow.console.bodies.writing import WritingBody
from secflow.http.fields import name_field
from secflow.http.serializers import Input


class NameInput(Input):
    """The name of a copy."""

    name = name_field()


class CopyBody(WritingBody):
    """`copy` is the service: it gets the name and returns the id of the copy."""

    new_input = NameInput

    def __init__(self, copy: Callable[[str], str], *, name: str, help: str, posted: QueryDict | None = None) -> None:
        self.copy = copy
        part = Text(name="name", label="Name of the copy", empty="", is_required=True, help=help)
        super().__init__([part], initial={"name": name}, posted=posted)

    def write(self, values: Mapping[str, Any]) -> str:
        return self.copy(values["name"])
