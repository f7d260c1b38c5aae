"""The base of every body that the API reads (contract A.1, A.4, A.8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.fields import empty
from rest_framework.request import Request

from secflow.http.errors import WHOLE_BODY, field_error

_OBJECT_MESSAGES: dict[str, Any] = {
    "invalid": "must be an object",
    "required": "is required",
    "null": "must not be null",
}
_LIST_MESSAGES: dict[str, Any] = {
    "not_a_list": "must be an array",
    "required": "is required",
    "null": "must not be null",
    "empty": "must not be empty",
    "min_length": "must have at least {min_length} items",
    "max_length": "must have at most {max_length} items",
}


class InputList(serializers.ListSerializer[Any]):
    """What `many=True` of an Input makes: a JSON array of objects, errors under `<index>.<field>`."""

    default_error_messages = _LIST_MESSAGES

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            raise serializers.ValidationError([self.error_messages["not_a_list"]])
        self._check_length(data)
        values: list[Any] = []
        errors: dict[str, Any] = {}
        for index, item in enumerate(data):
            try:
                values.append(self.run_child_validation(item))
            except serializers.ValidationError as err:
                errors[str(index)] = err.detail
        if errors:
            raise serializers.ValidationError(errors)
        child: Any = self.child
        child.check_items(values)
        return values

    def _check_length(self, data: list[Any]) -> None:
        if not self.allow_empty and not data:
            raise serializers.ValidationError([self.error_messages["empty"]])
        limit = getattr(self, "max_length", None)
        if limit is not None and len(data) > limit:
            message = str(self.error_messages["max_length"]).format(max_length=limit)
            raise serializers.ValidationError([message])


class Input(serializers.Serializer[Any]):
    """A JSON object. Unknown and read-only fields are ignored; `""` in an optional string or word means "not given".

    Class attributes
    * `all_optional`: a body of changes. Every field may be missing and has no default: what is absent stays as it is,
    what is
      null is cleared. Objects inside lists still demand their own required fields.
    * `refuses_ids`: a create body. `id` and `node_id` belong to the server and get 400 (A.8).
    * `aliases`: other spellings of fields, `{"limit": "limits"}`; the field's own name wins.
    """

    all_optional: ClassVar[bool] = False
    refuses_ids: ClassVar[bool] = False
    aliases: ClassVar[Mapping[str, str]] = {}

    default_error_messages = _OBJECT_MESSAGES

    class Meta:
        list_serializer_class = InputList

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        if self.all_optional:
            # Not `partial`: that would also make the required fields of nested objects optional.
            for field in fields.values():
                field.required = False
                field.default = empty
        return fields

    def check_items(self, items: list[dict[str, Any]]) -> None:
        """Rules between the items of a list of this kind, such as names that must differ. Raises with `{index:
        {field: ..}}`.
        """

    def _means_absent(self, name: str, value: Any) -> bool:
        field = self.fields[name]
        if value != "" or not isinstance(field, serializers.CharField | serializers.ChoiceField):
            return False
        # What must be given on create is no optional string of a change either.
        optional = not self._declared_fields[name].required
        return optional and not getattr(field, "allow_blank", False)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError(self.error_messages["invalid"])
        if self.refuses_ids:
            _refuse_ids(data)
        given = {
            self.aliases[key] if key in self.aliases and self.aliases[key] not in data else key: value
            for key, value in data.items()
        }
        kept = {
            key: value for key, value in given.items() if key not in self.fields or not self._means_absent(key, value)
        }
        return dict(super().to_internal_value(kept))


def refuse_repeated(items: list[dict[str, Any]], field: str, key: Callable[[dict[str, Any]], Any]) -> None:
    """Raises at `field` of every item whose `key` an earlier item has already."""
    seen: set[Any] = set()
    errors: dict[str, Any] = {}
    for index, item in enumerate(items):
        value = key(item)
        if value in seen:
            errors[str(index)] = {field: [f"{item[field]} is used twice in this list"]}
        seen.add(value)
    if errors:
        raise serializers.ValidationError(errors)


def _refuse_ids(data: dict[str, Any]) -> None:
    refused: dict[str, Any] = {
        key: ["is given by the server; leave it out"] for key in ("id", "node_id") if key in data
    }
    if refused:
        raise serializers.ValidationError(refused)


def read_body(request: Request, kind: type[Input], **context: Any) -> dict[str, Any]:
    """The validated body of a request. Raises a ValidationError with dotted paths. `context` reaches the serializer."""
    if not isinstance(request.data, dict):
        raise field_error(WHOLE_BODY, "must be a JSON object")
    serializer = kind(data=request.data, context={"request": request} | context)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
