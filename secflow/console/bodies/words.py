"""Words of a command line in one text, and back: what a shell does with quotation marks, and nothing else of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

_BARE = re.compile(r"[^\s'\"\\]+")


def joined_words(words: Sequence[str]) -> str:
    """One text that `split_words` reads as the same words, with as few marks as that allows."""
    return " ".join(_quoted(word) for word in words)


def split_words(text: str) -> list[str]:
    """The words of a text. Raises ValueError for a mark without its partner."""
    return shlex.split(text, comments=False, posix=True)


def _quoted(word: str) -> str:
    if _BARE.fullmatch(word):
        return word
    if "'" not in word:
        return f"'{word}'"
    # Between double marks only these two mean something else than themselves.
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
