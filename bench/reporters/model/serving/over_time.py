"""Gaps over the time of a load: whether a server holds its pace, or slows down as requests pile up."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise

from attnlab.bench.llm.generation.events import RequestLog
from attnlab.bench.reporters.model.plots import Curve, Panel, PlotPoint
from attnlab.bench.reporters.model.serving.results import ServedResult
from attnlab.bench.reporters.model.studies._paired import by_case

STRETCHES = 16  # marks on a line, of equal length in time
LEAST_GAPS = 5  # of a stretch: a median of fewer would be little but noise


def gap_panels(found: Sequence[ServedResult]) -> Iterator[Panel]:
    """A panel for each case, a line for each endpoint; all calls of a result together."""
    for members in by_case(found):
        curves = []
        for r in members:
            points = tuple(PlotPoint(x, y, None, None, r.implementation, r.case_id) for x, y in by_time(r.calls))
            curves += [Curve(r.implementation, points)] if len(points) > 1 else []
        if curves:
            yield Panel(
                "lines",
                members[0].label,
                "time since the load began",
                "ITL",
                "ns",
                tuple(curves),
                x_unit="ns",
                whole=True,
            )


def by_time(calls: Sequence[Sequence[RequestLog]]) -> list[tuple[float, float]]:
    """(middle of a stretch of the load, median inter-token latency of the tokens that came in it), in ns.

    Each call is cut into as many stretches as the others, however long it took: else the last ones would be those of
    the slowest call alone.
    """
    stretches: list[list[float]] = [[] for _ in range(STRETCHES)]
    lengths_ns = []
    for call in calls:
        gaps = [gap for request in call for gap in _gaps(request)]
        if gaps:
            lengths_ns.append(max(end for end, _ in gaps))
        for end, gap in gaps:
            stretches[min(STRETCHES - 1, int(STRETCHES * end / lengths_ns[-1]))].append(gap)
    step = statistics.median(lengths_ns) / STRETCHES if lengths_ns else 0.0
    return [
        ((place + 0.5) * step, statistics.median(members))
        for place, members in enumerate(stretches)
        if len(members) >= LEAST_GAPS
    ]


def _gaps(request: RequestLog) -> Iterator[tuple[float, float]]:
    """(when the chunk came, inter-token latency) of each token after the first chunk."""
    for (time_ns, before), (next_ns, after) in pairwise(request.chunks):
        yield from [(next_ns, (next_ns - time_ns) / (after - before))] * (after - before)
