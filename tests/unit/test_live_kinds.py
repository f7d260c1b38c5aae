"""Browsers hand a named event to a listener of that name only: the console's script has to know every kind."""

from __future__ import annotations

import re
from pathlib import Path

from workflows.domain.statuses import RunStatus
from workflows.domain.transitions import NODE_MOVES, SETUP_MOVES, Verb

ROOT = Path(__file__).resolve().parents[2]
_KNOWN = re.compile(r'"([a-z]+\.[a-z_]+)"')
_WRITTEN = re.compile(r'Entry\(\s*"([a-z]+\.[a-z_]+)"')
_COMPOSED = re.compile(r'Entry\(\s*f"([a-z]+)\.\{(\w+)\.value\}"')


def test_the_script_listens_to_every_kind_of_event() -> None:
    script = (ROOT / "secflow/static/console/live.js").read_text(encoding="utf-8")
    known = set(_KNOWN.findall(script.partition("const KINDS = [")[2].partition("];")[0]))
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "workflows").rglob("*.py")]
    composed = {found for text in sources for found in _COMPOSED.findall(text)}

    assert {kind for text in sources for kind in _WRITTEN.findall(text)} <= known
    # Kinds that are put together: the words that each of them may end with.
    assert composed == {("run", "verdict"), ("node", "target")}
    moved = {target.value for moves in (NODE_MOVES, SETUP_MOVES) for _, target in moves.values()}
    assert {f"run.{word.value}" for word in RunStatus if word is not RunStatus.RUNNING} <= known
    assert {f"node.{word}" for word in moved} <= known
    assert {f"instance.{verb.value}d" for verb in (Verb.ACTIVATE, Verb.DEACTIVATE)} <= known
