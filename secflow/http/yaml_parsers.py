"""Bodies in YAML: bounded, and handed on as the bytes that they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, Final

from rest_framework.parsers import BaseParser

from secflow.http.errors import PayloadTooLarge

MAX_BYTES: Final = 2 * 1024 * 1024


class YamlParser(BaseParser):
    """Takes a YAML body as the bytes that it is: whoever reads it can then say where in it something is wrong.

    Raises PayloadTooLarge for more than MAX_BYTES.
    """

    media_type = "application/yaml"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise PayloadTooLarge(f"The body is larger than {MAX_BYTES} bytes.")
        return raw


class OldYamlParser(YamlParser):
    """The name that YAML had before it was registered."""

    media_type = "application/x-yaml"


class TextYamlParser(YamlParser):
    """What some editors and tools call it."""

    media_type = "text/yaml"
