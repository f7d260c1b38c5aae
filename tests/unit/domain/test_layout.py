"""What a drawing of any acyclic graph promises."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.domain.layout import FAN, LARGE, Box, Direction, Frame, Layout, lay_out

Edges = tuple[tuple[str, str], ...]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[tuple[str, ...], Edges]:
    """Up to 40 nodes in any order, and edges that go from lower to higher numbers."""
    count = draw(st.integers(0, 40))
    pairs = st.tuples(st.integers(0, max(0, count - 1)), st.integers(0, max(0, count - 1)))
    drawn = draw(st.lists(pairs, max_size=90))
    nodes = draw(st.permutations([str(number) for number in range(count)]))
    return tuple(nodes), tuple((str(low), str(high)) for low, high in map(sorted, drawn) if low != high)


def fan(width: int, length: int = 1) -> tuple[tuple[str, ...], Edges]:
    """One source, `width` chains of `length` nodes, one sink."""
    chains = [[f"{chain}.{place}" for place in range(length)] for chain in range(width)]
    edges = [("start", chain[0]) for chain in chains] + [(chain[-1], "end") for chain in chains]
    edges += [(chain[place], chain[place + 1]) for chain in chains for place in range(length - 1)]
    return ("start", *(node for chain in chains for node in chain), "end"), tuple(edges)


def overlap(one: Box | Frame, other: Box | Frame) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def check(nodes: tuple[str, ...], edges: Edges, layout: Layout) -> None:
    """Every promise of a layout at once."""
    boxes = {box.node: box for box in layout.boxes}
    framed = {node: frame for frame in layout.frames for node in frame.nodes}
    assert sorted(boxes) == sorted(nodes)
    assert len(layout.boxes) == len(nodes)
    for one, other in combinations(layout.boxes, 2):
        assert not overlap(one, other)
    for one, other in combinations(layout.frames, 2):
        assert not overlap(one, other)
    for frame in layout.frames:
        for node, box in boxes.items():
            inside = (
                frame.x < box.x
                and frame.y < box.y
                and box.x + box.width < frame.x + frame.width
                and box.y + box.height < frame.y + frame.height
            )
            assert inside if node in frame.nodes else not overlap(frame, box)
    for box in (*layout.boxes, *layout.frames):
        assert min(box.x, box.y) >= 0
        assert box.x + box.width <= layout.width
        assert box.y + box.height <= layout.height
    for source, target in edges:
        if layout.direction is Direction.RIGHT:
            assert boxes[source].x + boxes[source].width < boxes[target].x
        else:
            assert boxes[source].y + boxes[source].height < boxes[target].y
    stood_for = [edge for line in layout.lines for edge in line.edges]
    assert sorted(stood_for) == sorted(set(edges))
    for line in layout.lines:
        flow = [point[0] if layout.direction is Direction.RIGHT else point[1] for point in line.points]
        assert flow == sorted(flow)
        for source, target in line.edges:
            assert touches(line.points[0], boxes[source]) or touches(line.points[0], framed[source])
            assert touches(line.points[-1], boxes[target]) or touches(line.points[-1], framed[target])
        for x, y in line.points:
            assert 0 <= x <= layout.width
            assert 0 <= y <= layout.height


def touches(point: tuple[float, float], box: Box | Frame) -> bool:
    return box.x <= point[0] <= box.x + box.width and box.y <= point[1] <= box.y + box.height


@given(graphs())
def test_any_acyclic_graph_is_drawn_forward_and_without_overlap(graph: tuple[tuple[str, ...], Edges]) -> None:
    check(*graph, lay_out(*graph))


@given(graphs())
def test_the_same_graph_is_drawn_the_same(graph: tuple[tuple[str, ...], Edges]) -> None:
    first = lay_out(*graph)
    lay_out.cache_clear()

    assert lay_out(*graph) == first


@pytest.mark.parametrize(("width", "length"), [(FAN + 1, 1), (200, 1), (500, 1), (40, 3), (13, 5)])
def test_a_wide_fan_is_a_grid_in_a_frame_with_one_line_in_and_one_out(width: int, length: int) -> None:
    nodes, edges = fan(width, length)

    layout = lay_out(nodes, edges)

    check(nodes, edges, layout)
    assert len(layout.frames) == 1
    assert len(layout.lines) == 2 + width * (length - 1)
    assert layout.width < 2_000


def test_a_narrow_fan_has_a_line_for_each_edge() -> None:
    nodes, edges = fan(FAN)

    layout = lay_out(nodes, edges)

    assert not layout.frames
    assert len(layout.lines) == len(edges)


def test_a_chain_is_one_straight_line() -> None:
    nodes = tuple(str(number) for number in range(6))
    layout = lay_out(nodes, tuple(zip(nodes, nodes[1:], strict=False)))

    assert len({box.y for box in layout.boxes}) == 1
    assert layout.direction is Direction.RIGHT


def test_a_long_chain_goes_down() -> None:
    nodes = tuple(str(number) for number in range(40))
    layout = lay_out(nodes, tuple(zip(nodes, nodes[1:], strict=False)))

    assert layout.direction is Direction.DOWN
    assert len({box.x for box in layout.boxes}) == 1


def test_chains_side_by_side_stay_straight_whatever_the_order_of_their_edges() -> None:
    nodes = ("start", *(f"{side}{number}" for number in range(5) for side in "ab"))
    edges = tuple((f"{side}{number}", f"{side}{number + 1}") for number in range(4) for side in "ba")
    edges += (("start", "b0"), ("start", "a0"))

    layout = lay_out(nodes, edges)

    rows = {side: {box.y for box in layout.boxes if box.node[0] == side} for side in "ab"}
    assert [len(places) for places in rows.values()] == [1, 1]


def test_large_graphs_have_small_boxes() -> None:
    few, many = ([str(number) for number in range(count)] for count in (LARGE, LARGE + 1))

    assert not lay_out(tuple(few), ()).is_compact
    assert lay_out(tuple(many), ()).is_compact


def test_edges_that_lead_nowhere_are_left_out() -> None:
    layout = lay_out(("a", "b"), (("a", "b"), ("a", "b"), ("a", "a"), ("a", "gone"), ("gone", "b")))

    assert [line.edges for line in layout.lines] == [(("a", "b"),)]


def test_a_large_graph_with_far_edges_keeps_its_promises() -> None:
    nodes = tuple(str(number) for number in range(600))
    edges = tuple(
        dict.fromkeys((str(low), str(low + 1 + low * step % 97)) for low in range(480) for step in (1, 7, 31, 53))
    )

    check(nodes, edges, lay_out(nodes, edges))
