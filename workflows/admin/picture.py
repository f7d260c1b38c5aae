"""The graph of an instance or of a run as SVG: every name escaped and isolated, every status a colour, a symbol and a word.

No script is needed. Classes are explained by `console/graph.css`; `console/graph.js` adds zooming.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from secflow.console.display import duration
from workflows.domain.layout import Box, Direction, Frame, Layout, Line, lay_out
from workflows.domain.statuses import NodeStatus

_STATUSES = frozenset(NodeStatus)
_KINDS = frozenset({"app", "job"})
_FITTING = 1_900  # a picture up to this width shrinks to its container; a wider one is scrolled
_SCALE = 0.85
_STUB = 9  # the straight end of a line
_RING = 4  # between the outline of a marked node and the one around it


@dataclass(frozen=True, slots=True)
class PictureNode:
    """What is drawn of a node. `note` is added to its tooltip; `has_trouble`: it runs and cannot get on; `is_marked`: it is
    the one that the page is about.
    """

    id: str
    name: str
    kind: str
    status: str
    url: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    note: str = ""
    has_trouble: bool = False
    is_marked: bool = False


@dataclass(frozen=True, slots=True)
class PictureEdge:
    """An edge, and the volume that both ends share if there is one."""

    source: str
    target: str
    shared_pvc: str | None = None


def graph_svg(nodes: Sequence[PictureNode], edges: Sequence[PictureEdge], *, title: str, now: datetime) -> SafeString:
    """The picture in its scrolling container with a legend, or a sentence where there is no node. Safe to show as it is."""
    if not nodes:
        return format_html('<p class="graph-empty">{}</p>', "There are no nodes yet, so there is nothing to draw.")
    layout = lay_out(tuple(node.id for node in nodes), tuple((edge.source, edge.target) for edge in edges))
    shared = {(edge.source, edge.target): edge.shared_pvc for edge in edges if edge.shared_pvc}
    known = {node.id: node for node in nodes}
    scale = 1 if layout.width <= _FITTING else _SCALE
    svg = format_html(
        '<svg xmlns="http://www.w3.org/2000/svg" class="graph-picture{}" role="group" aria-label="{}" width="{}"'
        ' height="{}" viewBox="0 0 {} {}" data-graph-picture>{}{}{}{}</svg>',
        "" if layout.width <= _FITTING else " graph-picture--wide",
        f"{_isolated(title)}: {len(nodes)} nodes, {len(edges)} edges",
        round(layout.width * scale),
        round(layout.height * scale),
        round(layout.width),
        round(layout.height),
        mark_safe(_DEFINITIONS),  # noqa: S308  a constant
        _joined(_frame(frame, known) for frame in layout.frames),
        _joined(_lines(layout, known, shared)),
        _joined(_node(box, known[box.node], now) for box in layout.boxes),
    )
    return format_html(
        '<figure class="graph" data-graph><a class="graph-skip" href="#graph-end">Skip the picture</a>'
        '<figcaption class="graph-legend">{}</figcaption>'
        '<div class="graph-view" id="graph-view" role="region" aria-label="Graph of the nodes" tabindex="0">{}</div>'
        '<span id="graph-end" tabindex="-1"></span></figure>',
        _legend(nodes, has_shared=bool(shared)),
        svg,
    )


def _joined(parts: Iterable[SafeString]) -> SafeString:
    return mark_safe("".join(parts))  # noqa: S308  the parts are safe


# Nodes


def _node(box: Box, node: PictureNode, now: datetime) -> SafeString:
    is_small = box.height < 40
    status = _status(node)
    took = duration(node.started_at, node.finished_at, now=now) if node.started_at else ""
    facts = ", ".join(
        filter(None, (node.kind, status, "cannot get on" if node.has_trouble else "", took.replace("\xa0", " ")))
    )
    label = f"{_isolated(node.name)}: {facts}"
    width, height = round(box.width), round(box.height)
    x, y = round(box.x), round(box.y)
    size, room = (14, width - 36) if is_small else (18, width - 52)
    font = 6.6 if is_small else 7.3
    centre = height // 2
    parts = [
        format_html(
            '<a id="node-{0}" class="graph-node graph-node--{1}{2}" data-status="{3}" data-node="{0}" href="{4}"'
            ' aria-label="{5}"{16} transform="translate({6} {7})"><title>{5}{8}</title>{17}'
            '<rect class="graph-box" width="{9}" height="{10}" rx="{11}"/>'
            '<rect class="graph-stripe" width="4" height="{12}" x="0" y="{11}"/>'
            '<use class="graph-symbol" href="#graph-{1}" x="{13}" y="{14}" width="{15}" height="{15}"/>',
            node.id,
            status,
            " graph-node--small" if is_small else "",
            node.status,
            node.url,
            label,
            x,
            y,
            f"\n{_isolated(node.note)}" if node.note else "",
            width,
            height,
            6,
            height - 12,
            10 if is_small else 12,
            centre - size // 2,
            size,
            mark_safe(' aria-current="true"' if node.is_marked else ""),  # noqa: S308  a constant
            _ring(width, height) if node.is_marked else "",
        )
    ]
    left = 30 if is_small else 38
    parts.append(
        format_html(
            '<text class="graph-name" x="{}" y="{}" direction="ltr" unicode-bidi="isolate">{}</text>',
            left,
            centre + 4 if is_small else 21,
            _fitted(node.name, room, font),
        )
    )
    if not is_small:
        words = " · ".join(filter(None, (status, _short(took))))
        since = (
            format_html(
                ' data-since="{}" data-since-units="2" data-since-before="{} · "', node.started_at.isoformat(), status
            )
            if (node.started_at and not node.finished_at and status == NodeStatus.RUNNING)
            else ""
        )
        parts.append(format_html('<text class="graph-fact" x="{}" y="38"{}>{}</text>', left, since, words))
        if node.kind in _KINDS:
            parts.append(
                format_html(
                    '<use class="graph-kind" href="#graph-{}" x="{}" y="26" width="15" height="15"/>',
                    node.kind,
                    width - 24,
                )
            )
    if node.has_trouble:
        parts.append(
            format_html(
                '<use class="graph-trouble" href="#graph-trouble" x="{}" y="-7" width="16" height="16"/>', width - 12
            )
        )
    return _joined((*parts, mark_safe("</a>")))


def _ring(width: int, height: int) -> SafeString:
    """A second outline, so that the node is told apart by more than a colour."""
    return format_html(
        '<rect class="graph-ring" x="-{0}" y="-{0}" width="{1}" height="{2}" rx="9"/>',
        _RING,
        width + 2 * _RING,
        height + 2 * _RING,
    )


def _status(node: PictureNode) -> str:
    return node.status if node.status in _STATUSES else NodeStatus.PENDING.value


def _isolated(text: str) -> str:
    """The text between marks that end whatever writing direction it begins."""
    return f"\u2068{text}\u2069"


def _short(took: str) -> str:
    """The two largest units of a duration."""
    return "\N{NO-BREAK SPACE}".join(took.split("\N{NO-BREAK SPACE}")[:4])


def _fitted(text: str, room: float, width: float) -> str:
    """The text on one line without invisible marks, cut to the room, as wide letters need twice as much."""
    visible = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    clean = " ".join(visible.split())
    used = 0.0
    for position, letter in enumerate(clean):
        used += (
            0 if unicodedata.combining(letter) else width * (1.9 if unicodedata.east_asian_width(letter) in "WF" else 1)
        )
        if used > room:
            return f"{clean[: max(1, position - 1)].rstrip()}…"
    return clean


# Frames and lines


def _frame(frame: Frame, known: dict[str, PictureNode]) -> SafeString:
    counts = Counter(_status(known[node]) for node in frame.nodes)
    words = ", ".join(f"{counts[status]} {status}" for status in NodeStatus if counts[status])
    return format_html(
        '<g class="graph-frame"><rect x="{}" y="{}" width="{}" height="{}" rx="10"/>'
        '<text x="{}" y="{}">{} nodes: {}</text></g>',
        round(frame.x),
        round(frame.y),
        round(frame.width),
        round(frame.height),
        round(frame.x + 14),
        round(frame.y + 18),
        len(frame.nodes),
        words,
    )


def _lines(layout: Layout, known: dict[str, PictureNode], shared: dict[tuple[str, str], str]) -> Iterable[SafeString]:
    """Each line from where it leaves the other lines of its origin; finished ways come last, so they lie on top."""
    seen: dict[str, set[tuple[tuple[float, float], tuple[float, float]]]] = {}
    drawn: list[tuple[bool, SafeString]] = []
    for line in layout.lines:
        mine = seen.setdefault(line.origin, set())
        start = 0
        steps = list(zip(line.points, line.points[1:], strict=False))
        volumes = sorted({shared[edge] for edge in line.edges if edge in shared})
        if not volumes:  # a line with a volume has its own look from end to end
            while start < len(steps) - 1 and steps[start] in mine:
                start += 1
            mine.update(steps)
        is_done = all(known[source].status == NodeStatus.SUCCEEDED for source, _ in line.edges)
        drawn.append((is_done, _line(line, start, volumes, layout.direction, is_done=is_done)))
    return [svg for _, svg in sorted(drawn, key=lambda item: item[0])]


def _line(line: Line, start: int, volumes: list[str], direction: Direction, *, is_done: bool) -> SafeString:
    points = line.points[start:]
    path = _path(points, direction)
    kinds = f"{' graph-line--done' if is_done else ''}{' graph-line--shared' if volumes else ''}"
    arrow = "graph-arrow-done" if is_done else "graph-arrow"
    if not volumes:
        return format_html('<path class="graph-line{}" marker-end="url(#{})" d="{}"/>', kinds, arrow, path)
    (x, y), (to_x, to_y) = points[-2:]
    return format_html(
        '<g><title>shared volume: {}</title><path class="graph-line{}" marker-end="url(#{})" d="{}"/>'
        '<use class="graph-volume" href="#graph-volume" x="{}" y="{}" width="16" height="16"/></g>',
        _isolated(", ".join(volumes)),
        kinds,
        arrow,
        path,
        round((x + to_x) / 2 - 8),
        round((y + to_y) / 2 - 8),
    )


def _path(points: Sequence[tuple[float, float]], direction: Direction) -> str:
    """Curves between bends, and a short straight end, so that the arrow points the way that the line goes."""
    (x, y), *rest = points
    parts = [f"M{x:.0f} {y:.0f}"]
    end_x, end_y = rest[-1]
    stub = (end_x - _STUB, end_y) if direction is Direction.RIGHT else (end_x, end_y - _STUB)
    for to_x, to_y in (*rest[:-1], stub, rest[-1]):
        if direction is Direction.RIGHT:
            half = (x + to_x) / 2
            curve = f"C{half:.0f} {y:.0f} {half:.0f} {to_y:.0f} {to_x:.0f} {to_y:.0f}"
        else:
            half = (y + to_y) / 2
            curve = f"C{x:.0f} {half:.0f} {to_x:.0f} {half:.0f} {to_x:.0f} {to_y:.0f}"
        is_straight = y == to_y if direction is Direction.RIGHT else x == to_x
        parts.append(f"L{to_x:.0f} {to_y:.0f}" if is_straight else curve)
        x, y = to_x, to_y
    return "".join(parts)


# Legend and symbols


def _legend(nodes: Sequence[PictureNode], *, has_shared: bool) -> SafeString:
    counts = Counter(_status(node) for node in nodes)
    kinds = [kind for kind in ("app", "job") if any(node.kind == kind for node in nodes)]
    entries = [
        format_html(
            '<span class="graph-key graph-node--{0}"><svg width="14" height="14" aria-hidden="true">'
            '<use class="graph-symbol" href="#graph-{0}" width="14" height="14"/></svg>{0} <b>{1}</b></span>',
            status.value,
            counts[status],
        )
        for status in NodeStatus
    ]
    entries += [
        format_html(
            '<span class="graph-key"><svg width="14" height="14" aria-hidden="true">'
            '<use class="graph-kind" href="#graph-{0}" width="14" height="14"/></svg>{0}</span>',
            kind,
        )
        for kind in kinds
    ]
    if any(node.is_marked for node in nodes):
        entries.append(
            format_html(
                '<span class="graph-key"><svg width="14" height="14" aria-hidden="true">'
                '<rect class="graph-ring" x="1" y="1" width="12" height="12" rx="3"/></svg>{}</span>',
                "this node",
            )
        )
    if has_shared:
        entries.append(
            format_html(
                '<span class="graph-key"><svg width="14" height="14" aria-hidden="true">'
                '<use class="graph-volume" href="#graph-volume" width="14" height="14"/></svg>{}</span>',
                "shared volume",
            )
        )
    return _joined(entries)


def _symbol(name: str, *drawing: str) -> str:
    return f'<symbol id="graph-{name}" viewBox="0 0 16 16">{"".join(drawing)}</symbol>'


def _disc(mark: str) -> str:
    return f'<circle cx="8" cy="8" r="7.5" fill="currentColor"/><path class="graph-mark" d="{mark}"/>'


def _outline(path: str) -> str:
    return f'<path fill="none" stroke="currentColor" stroke-width="1.4" d="{path}"/>'


def _arrow(name: str) -> str:
    return (
        f'<marker id="{name}" class="{name}" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="9" markerHeight="9"'
        ' markerUnits="userSpaceOnUse" orient="auto"><path d="M0 .5 8 4 0 7.5Z"/></marker>'
    )


_CYLINDER = "M2.5 4v8c0 1.3 2.5 2.4 5.5 2.4s5.5-1.1 5.5-2.4V4"
_LID = "M2.5 4a5.5 2.4 0 0 1 11 0a5.5 2.4 0 0 1-11 0Z"
_DEFINITIONS = "".join(
    (
        "<defs>",
        _arrow("graph-arrow"),
        _arrow("graph-arrow-done"),
        _symbol(
            "pending",
            '<circle cx="8" cy="8" r="6.5" fill="none" stroke="currentColor" stroke-width="1.8"',
            ' stroke-dasharray="2.6 2.5"/>',
        ),
        _symbol("running", _disc("M6.2 4.6v6.8L11.6 8Z")),
        _symbol("succeeded", _disc("M4.6 8.3 7 10.7l4.6-5")),
        _symbol("failed", _disc("M5.3 5.3l5.4 5.4M10.7 5.3l-5.4 5.4")),
        _symbol("stopped", _disc("M5.6 5.6h4.8v4.8H5.6Z")),
        _symbol(
            "trouble",
            '<path d="M8 1 15.5 14.5H.5Z" fill="currentColor"/>',
            '<path class="graph-mark" d="M8 6v4M8 12v.6"/>',
        ),
        _symbol("app", _outline("M2 2.5h12v4.6H2ZM2 9h12v4.6H2ZM4.5 4.8h.6M4.5 11.3h.6")),
        _symbol("job", _outline("M1.5 2.5h13v11h-13ZM4 6l2.3 2L4 10M8 10.5h3.5")),
        _symbol("volume", f'<path class="graph-paper" d="{_CYLINDER}"/>', _outline(_CYLINDER), _outline(_LID)),
        "</defs>",
    )
)
