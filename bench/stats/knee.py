"""Where a rising curve bends: beyond its knee more of one quantity costs far more of the other."""

from __future__ import annotations

from collections.abc import Sequence

LEAST_BEND = 0.1  # of the unit square, above the line from the first point to the last


def knee(points: Sequence[tuple[float, float]]) -> int | None:
    """The point farthest above the line from the first point to the last, both axes scaled to their ranges.

    The points are by rising x, such as latency, with y, such as throughput, that flattens. None for fewer than three,
    and where none is far enough above that line.
    """
    if len(points) < 3:
        return None
    (first_x, first_y), (last_x, last_y) = points[0], points[-1]
    top = max(y for _, y in points)
    width, height = last_x - first_x, top - first_y
    if width <= 0 or height <= 0:
        return None
    rise = (last_y - first_y) / height
    above = [(y - first_y) / height - rise * (x - first_x) / width for x, y in points]
    found = max(range(len(points)), key=above.__getitem__)
    return found if above[found] >= LEAST_BEND else None
