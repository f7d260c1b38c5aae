"""Text that programs wrote, made harmless for terminals and readable for people."""

from __future__ import annotations

import re

# Colours, cursor moves, titles and all else that a terminal would obey (ECMA-48): two bytes, CSI, and strings with an end.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
_PICTURES = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A)}
_PICTURES |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def plain(text: str) -> str:
    """The text without escape sequences. Other control characters become visible; tabs and line ends stay."""
    return _SEQUENCES.sub("", text.replace("\r\n", "\n")).translate(_PICTURES)
