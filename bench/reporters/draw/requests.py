"""Panels of requests over the time of a run: what each waited for, and when its answer came."""

from __future__ import annotations

from matplotlib.ticker import NullLocator

from attnlab.bench.reporters.draw.canvas import Canvas, Span, legend_in
from attnlab.bench.reporters.draw.look import MUTED
from attnlab.bench.reporters.model.plots import FAILED, Panel

ROW_IN, LEAST_IN, HEAD_IN = 0.075, 0.9, 0.92
BOTTOM_IN, TOP_IN = 0.5, 0.42
BAR = 0.82  # of a row's height


def requests_in(panel: Panel) -> float:
    """Height of the panel, in inches."""
    return HEAD_IN + max(LEAST_IN, ROW_IN * len(panel.rows)) + legend_in(panel)


def draw_requests(canvas: Canvas) -> None:
    """A line a request, the first at the top; where it failed stands a mark."""
    panel = canvas.panel
    ax = canvas.axes(left=0.4, right=0.25, bottom=BOTTOM_IN, top=TOP_IN)
    canvas.scale(ax, "x", Span((0.0, *panel.values), panel.unit, False, 0.02))
    ax.set_ylim(len(panel.rows) - 0.4, -0.6)
    ax.yaxis.set_major_locator(NullLocator())
    ax.set_ylabel(panel.y_label, color=MUTED.light)
    for curve in panel.curves:
        mark = canvas.marks[curve.name]
        spans = [(p.y, p.low, p.high) for p in curve.points if p.low is not None and p.high is not None]
        rows, starts, ends = zip(*spans, strict=True)
        lengths = [end - start for start, end in zip(starts, ends, strict=True)]
        ax.barh(rows, lengths, BAR, starts, color=mark.colour, linewidth=0)
        if curve.name == FAILED:
            ax.plot(ends, rows, color=mark.colour, marker=mark.marker, markersize=5, linestyle="none", clip_on=False)
