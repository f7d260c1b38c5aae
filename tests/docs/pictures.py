"""The pictures of docs/: the state machines, drawn from the tables that the engine obeys.

`python -m tests.docs.pictures` writes the files; a test checks that they are up to date. Only places are chosen here:
what leads where comes from the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from math import hypot
from pathlib import Path
from typing import Any

from workflows.domain.transitions import INSTANCE_MOVES, NODE_MOVES, SETUP_MOVES

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "pictures"
_WIDTH, _HEIGHT = 128, 42  # of a box
_STYLE = """
.paper{fill:#fff}.box{fill:#f6f8fa;stroke:#57606a;stroke-width:1.4}.box--start{stroke-width:2.6}
.box--end{fill:#ecf3ff;stroke:#1d5fd1}.line{fill:none;stroke:#57606a;stroke-width:1.4}.tip{fill:#57606a}
text{fill:#1f2937;font:600 14px ui-sans-serif,system-ui,sans-serif;text-anchor:middle}
.word{fill:#1f2937;font-size:12px;font-weight:400;paint-order:stroke;stroke:#fff;stroke-width:5px}
.tag circle{fill:#1d5fd1}.tag text{fill:#fff;font-size:11px}.key{text-anchor:start;font-size:12px;font-weight:400}
@media (prefers-color-scheme:dark){.paper{fill:#0f141b}.box{fill:#1a212b;stroke:#8b98a9}.box--end{fill:#13233d;stroke:#6ba6ff}
.line{stroke:#8b98a9}.tip{fill:#8b98a9}
text,.word{fill:#e8edf4}.word{stroke:#0f141b}.tag circle{fill:#6ba6ff}.tag text{fill:#0f141b}}
""".replace("\n", "")


@dataclass(frozen=True)
class Machine:
    """One picture. `bends` lets an arrow go in a bow, positive to the left of its way; `places` are middles of boxes.

    `ends` are final statuses; moves in `tags` are letters at their sources instead of arrows.
    """

    name: str
    title: str
    moves: Mapping[Any, tuple[frozenset[Any], Any]]
    places: Mapping[str, tuple[int, int]]
    start: str
    ends: frozenset[str] = frozenset()
    bends: Mapping[tuple[str, str], int] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


MACHINES = (
    Machine(
        name="instance",
        title="Statuses of an instance and what moves it from one to another",
        moves=INSTANCE_MOVES,
        places={
            "pending": (90, 270),
            "initializing": (290, 120),
            "initialized": (560, 120),
            "running": (560, 270),
            "succeeded": (860, 310),
            "failed": (860, 150),
            "stopped": (560, 430),
        },
        start="pending",
        bends={
            ("initialized", "initializing"): 34,
            ("initializing", "failed"): 62,
            ("running", "succeeded"): 20,
            ("succeeded", "running"): 20,
            ("running", "failed"): 20,
            ("failed", "running"): 20,
            ("running", "stopped"): -36,
            ("stopped", "running"): -36,
            ("initialized", "stopped"): -92,
            ("stopped", "initializing"): 34,
        },
        tags={"uninitialize": "U"},
    ),
    Machine(
        name="node",
        title="Statuses of a node in a run",
        moves=NODE_MOVES,
        places={"pending": (90, 120), "running": (330, 120), "succeeded": (600, 60), "failed": (600, 180)},
        start="pending",
        ends=frozenset({"succeeded", "failed"}),
    ),
    Machine(
        name="setup",
        title="Statuses of an app node while its instance is set up",
        moves=SETUP_MOVES,
        places={"pending": (90, 140), "running": (360, 140), "succeeded": (640, 70), "failed": (640, 250)},
        start="pending",
        bends={
            ("pending", "running"): 20,
            ("running", "pending"): 20,
            ("pending", "succeeded"): 80,
            ("succeeded", "pending"): 120,
            ("running", "succeeded"): 22,
            ("succeeded", "running"): 22,
            ("pending", "failed"): -70,
        },
    ),
)


def picture(machine: Machine) -> str:
    """The machine as an SVG document. Every move of its table is in it, but those that leave it where it is."""
    words: dict[tuple[str, str], list[str]] = {}
    tagged: dict[str, list[str]] = {}
    for event, (sources, target) in machine.moves.items():
        for source in sorted(sources):
            if event in machine.tags:
                tagged.setdefault(source, []).append(machine.tags[event])
            elif source != target:
                words.setdefault((str(source), str(target)), []).append(str(event).replace("_", " "))
    keys = [f"{letter}: {event} → {machine.moves[event][1]}" for event, letter in machine.tags.items()]
    width = max(x for x, _ in machine.places.values()) + _WIDTH // 2 + 40
    height = max(y for _, y in machine.places.values()) + _HEIGHT // 2 + 30 + 20 * len(keys)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="t" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}"><title id="t">{escape(machine.title)}</title><style>{_STYLE}</style>',
        '<marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9"'
        ' markerUnits="userSpaceOnUse" orient="auto"><path class="tip" d="M0 .5 8 4 0 7.5Z"/></marker>',
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    arrows = [_arrow(machine, source, target, ", ".join(said)) for (source, target), said in words.items()]
    parts += [line for line, _ in arrows]
    for status, (x, y) in machine.places.items():
        kind = " box--end" if status in machine.ends else " box--start" if status == machine.start else ""
        parts.append(
            f'<rect class="box{kind}" x="{x - _WIDTH // 2}" y="{y - _HEIGHT // 2}" width="{_WIDTH}" height="{_HEIGHT}"'
            f' rx="8"/><text x="{x}" y="{y + 5}">{escape(status)}</text>'
        )
        for place, letter in enumerate(tagged.get(status, ())):
            at = x - _WIDTH // 2 + 4 + 20 * place, y - _HEIGHT // 2 + 2
            parts.append(
                f'<g class="tag"><circle cx="{at[0]}" cy="{at[1]}" r="9"/><text x="{at[0]}" y="{at[1] + 4}">{letter}</text></g>'
            )
    parts += [word for _, word in arrows]
    parts += [
        f'<text class="key" x="26" y="{height - 16 - 20 * place}">{escape(key)}</text>'
        for place, key in enumerate(keys)
    ]
    return "\n".join([*parts, "</svg>", ""])


def _arrow(machine: Machine, source: str, target: str, words: str) -> tuple[str, str]:
    """A bow from border to border, and its words in its middle."""
    (x, y), (to_x, to_y) = machine.places[source], machine.places[target]
    length = hypot(to_x - x, to_y - y)
    bend = machine.bends.get((source, target), 0)
    middle_x = (x + to_x) / 2 + 2 * bend * (to_y - y) / length
    middle_y = (y + to_y) / 2 - 2 * bend * (to_x - x) / length
    start, end = _border(x, y, middle_x, middle_y), _border(to_x, to_y, middle_x, middle_y)
    at_x = start[0] / 4 + middle_x / 2 + end[0] / 4
    at_y = start[1] / 4 + middle_y / 2 + end[1] / 4
    line = (
        f'<path class="line" marker-end="url(#a)" d="M{start[0]:.0f} {start[1]:.0f}Q{middle_x:.0f} {middle_y:.0f}'
        f' {end[0]:.0f} {end[1]:.0f}"/>'
    )
    return line, f'<text class="word" x="{at_x:.0f}" y="{at_y + 4:.0f}">{escape(words)}</text>'


def _border(x: float, y: float, to_x: float, to_y: float) -> tuple[float, float]:
    """Where the way from the middle of a box to a point leaves the box."""
    across, down = to_x - x, to_y - y
    part = min(
        (_WIDTH / 2 + 2) / abs(across) if across else float("inf"),
        (_HEIGHT / 2 + 2) / abs(down) if down else float("inf"),
    )
    return x + across * part, y + down * part


def path_of(machine: Machine) -> Path:
    """Where the picture is kept."""
    return FOLDER / f"{machine.name}.svg"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for each in MACHINES:
        path_of(each).write_text(picture(each), encoding="utf-8")
