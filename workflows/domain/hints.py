"""What somebody may have meant who misspelt a name. Pure."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

MOST_HINTS: Final = 20
MOST_KNOWN: Final = 500  # words that one word is compared with
LONGEST: Final = 128  # characters


class Hints:
    """Hints for one text: for its first twenty misspelt words only, because comparing takes time and a hostile text
    could ask for a great deal of it.
    """

    def __init__(self) -> None:
        self._left = MOST_HINTS

    def did_you_mean(self, word: str, known: Collection[str]) -> str:
        """A hint for a word that is close to a known one, else an empty text."""
        if not self._left or len(known) > MOST_KNOWN or len(word) > LONGEST:
            return ""
        self._left -= 1
        words = sorted(known)
        close = get_close_matches(word, words, n=1, cutoff=0.6)
        close += [other for other in words if len(word) > 3 and other.startswith(word)]
        return f"; did you mean {close[0]}?" if close else ""
