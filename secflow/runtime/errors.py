"""What can go wrong around the processes of a stand."""

from __future__ import annotations


class StandError(Exception):
    """One sentence for the person at the terminal: what is wrong, what to do. Commands print it and end with code 2."""
