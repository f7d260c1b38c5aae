"""Pages of docs/ as what a reader does with them: files to write, commands to type, output to see."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"

RUN = ("console", "sh")
_FENCE = re.compile(r"( *)```(.*)")
_PROMPT, _MORE = "$ ", "> "


@dataclass(frozen=True)
class File:
    """A fenced block that is a file: its info string says `file=NAME`."""

    line: int
    name: str
    text: str


@dataclass
class Command:
    """One command and the lines that the page shows below it."""

    line: int
    text: str
    output: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Block:
    """One fenced block. `words` are those of its info string after the language."""

    line: int
    language: str
    words: dict[str, str]
    lines: list[str]


def blocks_of(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order, without what they are indented by."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        opening = _FENCE.fullmatch(lines[at])
        at += 1
        if opening is None:
            continue
        begin, indent = at, len(opening[1])
        while at < len(lines) and not _FENCE.fullmatch(lines[at]):
            at += 1
        language, *words = shlex.split(opening[2]) or [""]
        pairs = dict(word.split("=", 1) if "=" in word else (word, "") for word in words)
        yield Block(begin + 1, language, pairs, [line[indent:] for line in lines[begin:at]])
        at += 1


def steps_of(text: str) -> list[File | Command]:
    """What a reader does with the page, in order."""
    steps: list[File | Command] = []
    for block in blocks_of(text):
        if "file" in block.words:
            steps.append(File(block.line, block.words["file"], "\n".join(block.lines) + "\n"))
        elif block.language in RUN and "not-run" not in block.words:
            steps += _commands(block)
    return steps


def _commands(block: Block) -> Iterator[Command]:
    """A command goes on in the next line after a backslash, and in lines that begin with `> `."""
    command: Command | None = None
    goes_on = False
    for place, line in enumerate(block.lines):
        if command is not None and goes_on:
            command.text += "\n" + line.removeprefix(_MORE)
        elif line.startswith(_PROMPT):
            if command is not None:
                yield command
            command = Command(block.line + place, line.removeprefix(_PROMPT))
        elif command is not None and line.startswith(_MORE) and not command.output:
            command.text += "\n" + line.removeprefix(_MORE)
        elif command is not None:
            command.output.append(line)
        elif line.strip():
            raise ValueError(f"line {block.line + place}: a block of commands begins with `$ `, not with {line!r}")
        goes_on = line.endswith("\\") and command is not None and not command.output
    if command is not None:
        yield command
