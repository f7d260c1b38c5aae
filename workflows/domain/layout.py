"""Where the nodes and edges of a graph are drawn. Pure, and the same for the same input.

Nodes in layers, edges forward. Two things keep large graphs readable: boxes are smaller above a number of nodes, and a
wide fan (nodes, or chains of nodes, with the same neighbours on both sides) becomes a grid in one frame, to which one
line leads and from which one line goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from math import ceil, sqrt
from typing import Final

from workflows.domain.layers import build_mesh, cross_places, layer_numbers, reduce_crossings

LARGE: Final = 60  # nodes above which boxes are small
FAN: Final = 12  # nodes with the same neighbours above which they are put into a frame
_TALL_FAN: Final = 40  # above it a drawing goes down, so that what starts the fan is seen first
_WIDE: Final = 2_000.0  # a drawing to the right that is wider goes down instead, if that is the better shape
_SCREEN: Final = (1_200.0, 1_800.0)  # what is comfortable; scrolling down is
_GRID_SHAPE: Final = 1.7
_PADDING: Final = 14.0
_HEADING: Final = 26.0
_CELL_GAP: Final = 8.0
_LINK: Final = 26.0  # between the boxes of a chain in a frame
_PIECE_GAP: Final = 36.0
_BEND_GAP: Final = 9.0
MARGIN: Final = 16.0


class Direction(StrEnum):
    """Which way edges go."""

    RIGHT = "right"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Box:
    """One node: its upper left corner and its size."""

    node: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Frame:
    """A fan: nodes with the same neighbours on both sides."""

    nodes: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Line:
    """One drawn line; it stands for `edges`. From point to point it is straight where both are of one bend, and curved
    between. Lines of one `origin` may share their first points.
    """

    origin: str
    edges: tuple[tuple[str, str], ...]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """A drawing. Every edge starts at a box, or at the frame around it, and ends at one that lies further on."""

    width: float
    height: float
    direction: Direction
    is_compact: bool
    boxes: tuple[Box, ...]
    frames: tuple[Frame, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class _Style:
    width: float
    height: float
    gap: float  # between boxes of a layer
    layer_gap: dict[Direction, float]


_NORMAL = _Style(208, 50, 18, {Direction.RIGHT: 64, Direction.DOWN: 56})
_COMPACT = _Style(160, 30, 12, {Direction.RIGHT: 60, Direction.DOWN: 52})
_GRID_WIDTH: Final = {Direction.RIGHT: 900.0, Direction.DOWN: 1_300.0}


@dataclass(slots=True)
class _Block:
    """What is placed as one: a node, or a fan of chains of equal length."""

    chains: list[tuple[str, ...]]
    is_fan: bool = False
    width: float = 0.0
    height: float = 0.0
    columns: int = 1


@dataclass(slots=True)
class _Piece:
    """Blocks that hang together, with the edges between them by the blocks' numbers within the piece."""

    blocks: list[_Block]
    between: dict[tuple[int, int], list[tuple[str, str]]]
    children: list[list[int]]
    layers: list[int]


@lru_cache(maxsize=128)
def lay_out(nodes: tuple[str, ...], edges: tuple[tuple[str, str], ...]) -> Layout:
    """The drawing of an acyclic graph. Ends that are no nodes, loops and repetitions are left out.

    It depends on the order of the nodes and edges only where the graph alone decides nothing.
    """
    known = frozenset(nodes)
    wanted = tuple(dict.fromkeys(edge for edge in edges if known.issuperset(edge) and edge[0] != edge[1]))
    style = _COMPACT if len(nodes) > LARGE else _NORMAL
    pieces = _pieces(_blocks(nodes, wanted), wanted)
    direction = _direction(pieces, style)
    for piece in pieces:
        _measure(piece.blocks, style, direction)
    drawings = [_draw(piece, style, direction) for piece in pieces]
    places, width, height = _shelves([(drawing.width, drawing.height) for drawing in drawings])
    moved = [
        _moved(drawing, *place) if any(place) else drawing for drawing, place in zip(drawings, places, strict=True)
    ]
    return Layout(
        width + 2 * MARGIN,
        height + 2 * MARGIN,
        direction,
        style is _COMPACT,
        tuple(box for drawing in moved for box in drawing.boxes),
        tuple(frame for drawing in moved for frame in drawing.frames),
        tuple(line for drawing in moved for line in drawing.lines),
    )


# What is placed


def _blocks(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[_Block]:
    """Fans and single nodes, in the order of their first nodes.

    Members of a fan have all neighbours in common, so a path that leaves a fan and comes back would be a cycle of the
    graph: the blocks are acyclic as well.
    """
    above: dict[str, list[str]] = {node: [] for node in nodes}
    below: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        below[source].append(target)
        above[target].append(source)
    fans: dict[tuple[frozenset[str], frozenset[str], int], list[tuple[str, ...]]] = {}
    for node in above:
        if _is_inside_chain(node, above, below):
            continue
        chain = [node]
        while len(below[chain[-1]]) == 1 and len(above[below[chain[-1]][0]]) == 1:
            chain.append(below[chain[-1]][0])
        fans.setdefault((frozenset(above[node]), frozenset(below[chain[-1]]), len(chain)), []).append(tuple(chain))
    blocks: dict[str, _Block] = {}
    for chains in fans.values():
        if len(chains) > FAN:
            blocks[chains[0][0]] = _Block(chains, is_fan=True)
        else:
            blocks |= {node: _Block([(node,)]) for chain in chains for node in chain}
    return [blocks[node] for node in above if node in blocks]


def _is_inside_chain(node: str, above: dict[str, list[str]], below: dict[str, list[str]]) -> bool:
    return len(above[node]) == 1 and len(below[above[node][0]]) == 1


def _pieces(blocks: list[_Block], edges: Sequence[tuple[str, str]]) -> list[_Piece]:
    """The blocks by what hangs together; blocks without any edge come last."""
    number = {node: index for index, block in enumerate(blocks) for chain in block.chains for node in chain}
    between: dict[tuple[int, int], list[tuple[str, str]]] = {}
    near: list[list[int]] = [[] for _ in blocks]
    for edge in edges:
        source, target = number[edge[0]], number[edge[1]]
        if source != target:
            between.setdefault((source, target), []).append(edge)
            near[source].append(target)
            near[target].append(source)
    home = [-1] * len(blocks)
    members: list[list[int]] = []
    for start in range(len(blocks)):
        if home[start] >= 0:
            continue
        home[start] = len(members)
        found = [start]
        for block in found:
            for other in near[block]:
                if home[other] < 0:
                    home[other] = len(members)
                    found.append(other)
        members.append(sorted(found))
    place = {block: index for found in members for index, block in enumerate(found)}
    inside: list[dict[tuple[int, int], list[tuple[str, str]]]] = [{} for _ in members]
    for (source, target), stood_for in between.items():
        inside[home[source]][place[source], place[target]] = stood_for
    made = [_piece([blocks[block] for block in found], inside[index]) for index, found in enumerate(members)]
    return sorted(made, key=lambda piece: len(piece.blocks) == 1)


def _piece(blocks: list[_Block], between: dict[tuple[int, int], list[tuple[str, str]]]) -> _Piece:
    parents: list[list[int]] = [[] for _ in blocks]
    children: list[list[int]] = [[] for _ in blocks]
    for source, target in between:
        parents[target].append(source)
        children[source].append(target)
    return _Piece(blocks, between, children, layer_numbers(parents, children))


# Shape


def _direction(pieces: list[_Piece], style: _Style) -> Direction:
    """To the right, unless that is very wide and downwards is the better shape."""
    if any(block.is_fan and len(block.chains) > _TALL_FAN for piece in pieces for block in piece.blocks):
        return Direction.DOWN
    shapes = {direction: [_shape(piece, style, direction) for piece in pieces] for direction in Direction}
    if max((width for width, _ in shapes[Direction.RIGHT]), default=0.0) <= _WIDE:
        return Direction.RIGHT
    screens = {
        direction: max(max(width / _SCREEN[0], height / _SCREEN[1]) for width, height in found)
        for direction, found in shapes.items()
    }
    return min(Direction, key=screens.__getitem__)


def _shape(piece: _Piece, style: _Style, direction: Direction) -> tuple[float, float]:
    """Width and height, about."""
    _measure(piece.blocks, style, direction)
    flow: dict[int, float] = {}
    cross: dict[int, float] = {}
    for block, layer in zip(piece.blocks, piece.layers, strict=True):
        along, across = _turned(block.width, block.height, direction)
        flow[layer] = max(flow.get(layer, 0.0), along + style.layer_gap[direction])
        cross[layer] = cross.get(layer, 0.0) + across + style.gap
    return _turned(sum(flow.values()), max(cross.values(), default=0.0), direction)


def _turned(x: float, y: float, direction: Direction) -> tuple[float, float]:
    """From x and y to flow and cross, and back."""
    return (x, y) if direction is Direction.RIGHT else (y, x)


def _measure(blocks: list[_Block], style: _Style, direction: Direction) -> None:
    for block in blocks:
        block.width, block.height = style.width, style.height
        if block.is_fan:
            cell_width, cell_height = _cell(block, direction)
            count = len(block.chains)
            columns = min(sqrt(_GRID_SHAPE * count * cell_height / cell_width), _GRID_WIDTH[direction] / cell_width)
            rows = ceil(count / max(1, round(columns)))
            block.columns = ceil(count / rows)
            block.width = block.columns * cell_width - _CELL_GAP + 2 * _PADDING
            block.height = rows * cell_height - _CELL_GAP + _PADDING + _HEADING


def _cell(block: _Block, direction: Direction) -> tuple[float, float]:
    """Width and height of one chain in a frame, with the gap after it."""
    length = len(block.chains[0])
    width, height = _COMPACT.width, _COMPACT.height
    if direction is Direction.RIGHT:
        width = length * width + (length - 1) * _LINK
    else:
        height = length * height + (length - 1) * _LINK
    gap = _CELL_GAP if length == 1 else 2 * _CELL_GAP
    return width + gap, height + gap


# Places


def _draw(piece: _Piece, style: _Style, direction: Direction) -> Layout:
    """One piece, in the upper left corner within the margin. Its size is without the margin."""
    blocks, number = piece.blocks, piece.layers
    mesh = build_mesh(number, piece.children)
    reduce_crossings(mesh)
    sizes = [_turned(block.width, block.height, direction) for block in blocks]
    middle = cross_places(mesh, [across for _, across in sizes], style.gap, _BEND_GAP)
    edges = [middle[vertex] - across / 2 for vertex, (_, across) in enumerate(sizes)]
    lowest = min([*edges, *middle[len(blocks) :]])
    middle = [round(place - lowest + MARGIN) for place in middle]
    # Layers: each as long as its longest box, and gaps that grow with the lines in them.
    starts: list[float] = []
    ends: list[float] = []
    at = MARGIN
    for layer in mesh.layers:
        starts.append(at)
        ends.append(at + max((sizes[vertex][0] for vertex in layer if vertex < len(blocks)), default=0.0))
        lines = sum(len(mesh.down[vertex]) for vertex in layer)
        at = ends[-1] + style.layer_gap[direction] + min(80, max(0, lines - 4))
    boxes: list[Box] = []
    frames: list[Frame] = []
    drawn: list[Line] = []
    corners: list[tuple[float, float]] = []  # flow and cross
    for index, block in enumerate(blocks):
        along, across = sizes[index]
        # In the middle of its layer, so that boxes beside a frame stand where its arrows do not have to turn.
        start = round((starts[number[index]] + ends[number[index]] - along) / 2)
        corners.append((start, middle[index] - across / 2))
        x, y = _turned(*corners[-1], direction)
        if block.is_fan:
            frames.append(
                Frame(tuple(node for chain in block.chains for node in chain), x, y, block.width, block.height)
            )
            _fill(block, x, y, direction, boxes, drawn)
        else:
            boxes.append(Box(block.chains[0][0], x, y, block.width, block.height))
    for source, below in enumerate(piece.children):
        out = corners[source][0] + sizes[source][0]
        for target in below:
            points = [(out, middle[source]), (ends[number[source]], middle[source])]
            for bend, step in zip(mesh.chains[source], range(number[source] + 1, number[target]), strict=False):
                points += [(starts[step], middle[bend]), (ends[step], middle[bend])]
            points += [(starts[number[target]], middle[target]), (corners[target][0], middle[target])]
            way = tuple(_turned(*point, direction) for point in dict.fromkeys(points))
            drawn.append(Line(blocks[source].chains[0][0], tuple(piece.between[source, target]), way))
    ways = max([place + across / 2 for place, (_, across) in zip(middle, sizes, strict=False)] + middle)
    width, height = _turned(round(ends[-1] - MARGIN), round(ways - MARGIN), direction)
    return Layout(width, height, direction, style is _COMPACT, tuple(boxes), tuple(frames), tuple(drawn))


def _fill(block: _Block, x: float, y: float, direction: Direction, boxes: list[Box], drawn: list[Line]) -> None:
    """The chains of a frame, row by row."""
    cell_width, cell_height = _cell(block, direction)
    width, height = _COMPACT.width, _COMPACT.height
    along = _turned(width, height, direction)[0]
    for position, chain in enumerate(block.chains):
        row, column = divmod(position, block.columns)
        flow, cross = _turned(x + _PADDING + column * cell_width, y + _HEADING + row * cell_height, direction)
        middle = cross + _turned(width, height, direction)[1] / 2
        for node, after in zip(chain, (*chain[1:], None), strict=True):
            boxes.append(Box(node, *_turned(flow, cross, direction), width, height))
            end = flow + along
            flow = end + _LINK
            if after is not None:
                ends = _turned(end, middle, direction), _turned(flow, middle, direction)
                drawn.append(Line(node, ((node, after),), ends))


def _shelves(sizes: Sequence[tuple[float, float]]) -> tuple[list[tuple[float, float]], float, float]:
    """Places for pieces in rows, and the size of it all."""
    limit = max([_SCREEN[0], *(width for width, _ in sizes)])
    places: list[tuple[float, float]] = []
    x = y = row = whole = 0.0
    for width, height in sizes:
        if x and x + width > limit:
            x, y, row = 0.0, y + row + _PIECE_GAP, 0.0
        places.append((x, y))
        whole, row = max(whole, x + width), max(row, height)
        x += width + _PIECE_GAP
    return places, whole, y + row


def _moved(drawing: Layout, x: float, y: float) -> Layout:
    return replace(
        drawing,
        boxes=tuple(replace(box, x=box.x + x, y=box.y + y) for box in drawing.boxes),
        frames=tuple(replace(frame, x=frame.x + x, y=frame.y + y) for frame in drawing.frames),
        lines=tuple(
            replace(line, points=tuple((to_x + x, to_y + y) for to_x, to_y in line.points)) for line in drawing.lines
        ),
    )
