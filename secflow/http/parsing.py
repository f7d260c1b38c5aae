"""Reading JSON bodies: what the database and the cluster cannot hold is refused at the door (contract A.1, A.4)."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from secflow.http.errors import PayloadTooLarge

MAX_BODY_BYTES = 2 * 1024 * 1024

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class StrictJSONParser(BaseParser):
    """RFC 8259 JSON in UTF-8, at most MAX_BODY_BYTES. An empty body reads as `{}`.

    Refused with 400: NaN and Infinity, numbers beyond a double, a key given twice, NUL and lone surrogates in texts,
    nesting
    beyond what the decoder can hold. A larger body is refused with 413 before it is read.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        length = _declared_length(parser_context)
        if length > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"The body has {length} bytes; at most {MAX_BODY_BYTES} are allowed.")
        return parse_json(stream.read(MAX_BODY_BYTES + 1))


def parse_json(raw: bytes) -> Any:
    """The value of a JSON document. Raises ParseError for anything that is not strict JSON, PayloadTooLarge for too
    much.
    """
    if len(raw) > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes.")
    if not raw.strip():
        return {}
    try:
        value = json.loads(
            raw.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=unique_keys
        )
    except UnicodeDecodeError as err:
        raise ParseError("the body is not UTF-8 text") from err
    except RecursionError as err:
        raise ParseError("the body is nested too deeply") from err
    except ValueError as err:
        raise ParseError(f"the body is not valid JSON: {err}") from err
    # Only an escape can bring a NUL or a lone surrogate in: UTF-8 and the JSON grammar keep them out otherwise.
    if b"\\u" in raw:
        _refuse_unstorable(value)
    return value


def _declared_length(context: Mapping[str, Any] | None) -> int:
    request = (context or {}).get("request")
    text = request.META.get("CONTENT_LENGTH") if request is not None else None
    return int(text) if text and text.isdecimal() else 0


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is out of range")
    return number


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """One JSON object from its pairs. Raises ValueError for a key that is given twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice[:40]!r} is given twice in one object")
    return found


def _refuse_unstorable(value: Any) -> None:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if _UNSTORABLE.search(item):
                raise ParseError("texts must not contain NUL or lone surrogate characters")
        elif isinstance(item, dict):
            waiting.extend(item.keys())
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
