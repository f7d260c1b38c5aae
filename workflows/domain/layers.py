"""The steps of a layered drawing of an acyclic graph: layers, routes of long edges, order, places. Pure.

Vertices are numbers. An edge that spans several layers gets a bend in each layer that it crosses; all edges of one
source share their bends, so a source with many far targets costs one line and not one for each of them.
Coordinates are `flow` (the way edges go) and `cross` (the way a layer extends); which of them is x is the caller's
choice.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass

BENDS = 6_000  # beyond it the longest edges are drawn straight, behind the boxes
_SWEEPS = 12
_COUNTED = 1_500  # vertices up to which crossings are counted to keep the best order of all sweeps
_PULLS = 4
_KINK = 14.0


@dataclass(slots=True)
class Mesh:
    """Vertices and bends in layers; `up` and `down` join neighbouring layers only. Bends begin at number `reals`.

    `chains[source]` are the bends of a source, one a layer from the one after its own.
    """

    reals: int
    layers: list[list[int]]
    up: list[list[int]]
    down: list[list[int]]
    chains: list[list[int]]


def layer_numbers(parents: Sequence[Sequence[int]], children: Sequence[Sequence[int]]) -> list[int]:
    """A layer for each vertex, greater than those of all its parents. The graph has to be acyclic.

    The longest path decides; then vertices with more edges out than in move as near to their children as they can.
    """
    order = [vertex for vertex, above in enumerate(parents) if not above]
    missing = [len(above) for above in parents]
    number = [0] * len(parents)
    for vertex in order:
        after = number[vertex] + 1
        for child in children[vertex]:
            number[child] = max(number[child], after)
            missing[child] -= 1
            if not missing[child]:
                order.append(child)
    for vertex in reversed(order):
        if len(children[vertex]) > len(parents[vertex]):
            number[vertex] = min(number[child] for child in children[vertex]) - 1
    return number


def build_mesh(number: Sequence[int], children: Sequence[Sequence[int]]) -> Mesh:
    """The layers with their bends. Every vertex comes where a walk from the first sources finds it."""
    count = len(number)
    reach = [
        max((number[child] for child in below), default=0) - number[vertex] for vertex, below in enumerate(children)
    ]
    longest = _longest_with_bends(reach)
    mesh = Mesh(
        reals=count,
        layers=[[] for _ in range(max(number, default=-1) + 1)],
        up=[[] for _ in range(count)],
        down=[[] for _ in range(count)],
        chains=[[] for _ in range(count)],
    )
    for vertex, below in enumerate(children):
        far = max((span for child in below if (span := number[child] - number[vertex]) <= longest), default=0)
        chain = mesh.chains[vertex]
        for _ in range(far - 1):
            bend = len(mesh.up)
            mesh.up.append([])
            mesh.down.append([])
            _join(mesh, chain[-1] if chain else vertex, bend)
            chain.append(bend)
        for child in below:
            span = number[child] - number[vertex]
            if span <= longest:
                _join(mesh, chain[span - 2] if span > 1 else vertex, child)
    place = [*number, *([0] * (len(mesh.up) - count))]
    for vertex, chain in enumerate(mesh.chains):
        for step, bend in enumerate(chain, 1):
            place[bend] = number[vertex] + step
    for vertex in _walk(mesh):
        mesh.layers[place[vertex]].append(vertex)
    return mesh


def _longest_with_bends(reach: Sequence[int]) -> int:
    """The span up to which edges get bends, so that there are at most BENDS."""
    longest = max(reach, default=0)
    while longest > 2 and sum(max(0, min(span, longest) - 1) for span in reach) > BENDS:
        longest -= 1
    return longest


def _join(mesh: Mesh, upper: int, lower: int) -> None:
    mesh.down[upper].append(lower)
    mesh.up[lower].append(upper)


def _walk(mesh: Mesh) -> list[int]:
    """All vertices, each branch to its end before the next one."""
    seen = bytearray(len(mesh.up))
    found: list[int] = []
    for start in range(len(mesh.up)):
        stack = [] if mesh.up[start] else [start]
        while stack:
            vertex = stack.pop()
            if not seen[vertex]:
                seen[vertex] = 1
                found.append(vertex)
                stack.extend(reversed(mesh.down[vertex]))
    return found


def reduce_crossings(mesh: Mesh) -> None:
    """Orders each layer by the mean place of its neighbours, down and up again, and keeps the best order it meets."""
    is_counted = len(mesh.up) <= _COUNTED
    best = [list(layer) for layer in mesh.layers]
    fewest = count_crossings(mesh) if is_counted else 1
    place = [0] * len(mesh.up)
    for layer in mesh.layers:
        _number(layer, place)
    stale = 0
    for sweep in range(_SWEEPS if is_counted else _SWEEPS // 3):
        if not fewest or stale == 4:
            break
        near, layers = (mesh.up, mesh.layers[1:]) if sweep % 2 == 0 else (mesh.down, mesh.layers[-2::-1])
        for layer in layers:
            _sort(layer, near, place)
        if not is_counted:
            continue
        crossings = count_crossings(mesh)
        stale += 1
        if crossings < fewest:
            fewest, stale = crossings, 0
            best = [list(layer) for layer in mesh.layers]
    if is_counted:
        mesh.layers = best


def _sort(layer: list[int], near: list[list[int]], place: list[int]) -> None:
    keys = {}
    for vertex in layer:
        others = near[vertex]
        keys[vertex] = sum([place[other] for other in others]) / len(others) if others else place[vertex]
    layer.sort(key=keys.__getitem__)
    _number(layer, place)


def _number(layer: list[int], place: list[int]) -> None:
    for position, vertex in enumerate(layer):
        place[vertex] = position


def count_crossings(mesh: Mesh) -> int:
    """How many pairs of lines between neighbouring layers cross."""
    place = [0] * len(mesh.up)
    for layer in mesh.layers:
        _number(layer, place)
    crossings = 0
    for layer in mesh.layers:
        before: list[int] = []
        for vertex in layer:
            ends = sorted([place[other] for other in mesh.down[vertex]])
            crossings += sum(len(before) - bisect_right(before, end) for end in ends)
            for end in ends:
                insort(before, end)
    return crossings


def cross_places(mesh: Mesh, sizes: Sequence[float], gap: float, bend_gap: float) -> list[float]:
    """The middle of each vertex and bend across the flow: boxes of a layer are `gap` apart, lines stay as straight as
    they can.

    Every layer in turn is put where its neighbours pull it, as near as the order and the gaps allow.
    """
    reals, total = mesh.reals, len(mesh.up)
    middle = [0.0] * total
    offsets: list[list[float]] = []
    for layer in mesh.layers:
        at, offset = 0.0, []
        for position, vertex in enumerate(layer):
            half = sizes[vertex] / 2 if vertex < reals else 0.0
            if position:
                is_bend = vertex >= reals or layer[position - 1] >= reals
                at += half + (bend_gap if is_bend else gap)
            offset.append(at)
            at += half
        shift = (offset[0] + offset[-1]) / 2 if offset else 0.0
        offsets.append([place - shift for place in offset])
        for vertex, place in zip(layer, offsets[-1], strict=True):
            middle[vertex] = place
    both = [above + below for above, below in zip(mesh.up, mesh.down, strict=True)]
    last = len(mesh.layers) - 1
    for _ in range(_PULLS if total <= _COUNTED else _PULLS // 2):
        for index in range(1, last + 1):
            _pull(mesh.layers[index], offsets[index], mesh.up, middle, reals)
        for index in range(last - 1, -1, -1):
            _pull(mesh.layers[index], offsets[index], mesh.down, middle, reals)
    for index in range(last + 1):
        _pull(mesh.layers[index], offsets[index], both, middle, reals)
    for layer, offset in zip(mesh.layers[1:], offsets[1:], strict=True):
        _straighten(layer, offset, mesh.up, middle)
    return middle


def _straighten(layer: list[int], offset: list[float], near: list[list[int]], middle: list[float]) -> None:
    """Takes small kinks out of lines, wherever there is room."""
    last = len(layer) - 1
    for index, vertex in enumerate(layer):
        at = middle[vertex]
        kinks = [middle[other] for other in near[vertex] if abs(middle[other] - at) <= _KINK]
        if not kinks or at in kinks:
            continue
        wanted = min(kinks, key=lambda place: abs(place - at))
        after = index == 0 or wanted - middle[layer[index - 1]] >= offset[index] - offset[index - 1]
        before = index == last or middle[layer[index + 1]] - wanted >= offset[index + 1] - offset[index]
        if after and before:
            middle[vertex] = wanted


def _pull(layer: list[int], offset: list[float], near: list[list[int]], middle: list[float], reals: int) -> None:
    """Least squares under the order: runs of vertices that would overlap move together (pool adjacent violators)."""
    runs: list[tuple[float, float, int]] = []  # mean, weight, length
    for vertex, place in zip(layer, offset, strict=True):
        others = near[vertex]
        if others:
            pulled = middle[others[0]] if len(others) == 1 else _median([middle[other] for other in others])
            mean, weight = pulled - place, 6.0 if vertex >= reals else 1.0
        else:
            mean, weight = middle[vertex] - place, 0.1
        length = 1
        while runs and runs[-1][0] > mean:
            other_mean, other_weight, other_length = runs.pop()
            mean = (mean * weight + other_mean * other_weight) / (weight + other_weight)
            weight += other_weight
            length += other_length
        runs.append((mean, weight, length))
    position = 0
    for mean, _, length in runs:
        for index in range(position, position + length):
            middle[layer[index]] = mean + offset[index]
        position += length


def _median(values: list[float]) -> float:
    values.sort()
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2
