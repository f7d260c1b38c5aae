"""Strict serializer fields: a JSON value has the type it claims, or the answer is 400. Nothing is converted."""

from __future__ import annotations

import math
import re
import unicodedata
from enum import StrEnum
from typing import Any

from rest_framework import serializers

MAX_INT32 = 2_147_483_647

# Line breaks and tabs are text in descriptions and values; the rest of the C0 and C1 range is refused everywhere.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_CONTROL_OR_BREAK = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class TextField(serializers.CharField):
    """A JSON string, normalised to NFC and, unless `trim_whitespace` is off, trimmed. Not blank unless `allow_blank`.

    Control characters are refused; line breaks and tabs pass with `multiline`. With `verbatim` the text is kept
    exactly as it
    is: values for programs, such as passwords, must not be changed.
    """

    default_error_messages = {
        "invalid": "must be a string",
        "blank": "must not be empty",
        "control": "must not contain control characters",
        "required": "is required",
        "null": "must not be null",
        "max_length": "must have at most {max_length} characters",
    }

    def __init__(self, *, multiline: bool = False, verbatim: bool = False, **kwargs: Any) -> None:
        self.multiline = multiline
        self.verbatim = verbatim
        if verbatim:
            kwargs["trim_whitespace"] = False
        super().__init__(**kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data is not serializers.empty and data is not None and not isinstance(data, str):
            self.fail("invalid")
        return super().run_validation(data)

    def to_internal_value(self, data: str) -> str:
        if self.verbatim:
            return data
        if (_CONTROL if self.multiline else _CONTROL_OR_BREAK).search(data):
            self.fail("control")
        text = unicodedata.normalize("NFC", data)
        return text.strip() if self.trim_whitespace else text


def name_field(**kwargs: Any) -> TextField:
    """A display name: 1 to 128 characters, not blank, one line (contract C.1, C.6, C.7)."""
    return TextField(min_length=1, max_length=128, **kwargs)


class WholeNumberField(serializers.IntegerField):
    """A JSON integer. `5.0`, `"5"` and `true` are none. At most 2147483647 unless `max_value` says otherwise."""

    default_error_messages = {
        "invalid": "must be an integer",
        "required": "is required",
        "null": "must not be null",
        "max_value": "must be at most {max_value}",
        "min_value": "must be at least {min_value}",
    }

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_value", MAX_INT32)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return data


class FloatingField(serializers.FloatField):
    """A JSON number as a finite float."""

    default_error_messages = {
        "invalid": "must be a number",
        "required": "is required",
        "null": "must not be null",
    }

    def to_internal_value(self, data: Any) -> float:
        if not isinstance(data, int | float) or isinstance(data, bool):
            self.fail("invalid")
        try:
            number = float(data)
        except OverflowError:
            self.fail("invalid")
        if not math.isfinite(number):
            self.fail("invalid")
        return number


class FlagField(serializers.BooleanField):
    """`true` or `false`, nothing that looks like it."""

    default_error_messages = {
        "invalid": "must be true or false",
        "required": "is required",
        "null": "must not be null",
    }

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data

    def run_validation(self, data: Any = serializers.empty) -> Any:
        # The base class reads the text "null" as null.
        if isinstance(data, str):
            self.fail("invalid")
        return super().run_validation(data)


class WordField(serializers.ChoiceField):
    """One word of an enumeration."""

    default_error_messages = {
        "invalid_choice": "{input} is not allowed; use one of {words}",
        "required": "is required",
        "null": "must not be null",
    }

    def __init__(self, words: type[StrEnum] | tuple[str, ...], **kwargs: Any) -> None:
        self.words = tuple(str(word) for word in words)
        super().__init__(choices=self.words, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data not in self.words:
            self.fail("invalid_choice", input=repr(data)[:60], words=", ".join(self.words))
        return data


class ItemsField(serializers.ListField):
    """A JSON array of one kind of field."""

    default_error_messages = {
        "not_a_list": "must be an array",
        "required": "is required",
        "null": "must not be null",
        "empty": "must not be empty",
        "min_length": "must have at least {min_length} items",
        "max_length": "must have at most {max_length} items",
    }
