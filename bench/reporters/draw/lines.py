"""Panels of lines over lengths, each named at its end."""

from __future__ import annotations

from matplotlib.axes import Axes

from attnlab.bench.reporters.draw.canvas import CHARACTER_IN, Canvas, Span, short
from attnlab.bench.reporters.draw.look import INK, MUTED
from attnlab.bench.reporters.draw.ticks import spread
from attnlab.bench.reporters.model.plots import Curve

HEIGHT_IN = 3.2
BOTTOM_IN, TOP_IN = 0.45, 0.42
LABEL_GAP_IN = 0.16


def draw_lines(canvas: Canvas) -> None:
    """Logarithmic where values span more than a decade; the interval of each point is a stroke through it."""
    panel = canvas.panel
    right = 0.25 + CHARACTER_IN * max(len(short(curve.name)) for curve in panel.curves)
    ax = canvas.axes(left=0.66, right=right, bottom=BOTTOM_IN, top=TOP_IN)
    sizes = sorted({p.x for curve in panel.curves for p in curve.points})
    ticks = () if panel.whole else sizes
    canvas.scale(ax, "x", Span(sizes, panel.x_unit, panel.x_logarithmic, 0.04, ticks, panel.whole))
    canvas.scale(ax, "y", canvas.values())
    ax.grid(visible=False, axis="x")
    for value in canvas.reference:
        ax.axhline(value, color=MUTED.light, linewidth=1, dashes=(3, 2))
    for curve in panel.curves:
        _draw_curve(canvas, ax, curve)
    _label_ends(canvas, ax)


def _draw_curve(canvas: Canvas, ax: Axes, curve: Curve) -> None:
    mark = canvas.marks[curve.name]
    x, y = [p.x for p in curve.points], [p.y for p in curve.points]
    ax.plot(x, y, color=mark.colour, marker=mark.marker, markersize=4, linewidth=1.4, dashes=mark.dashes, clip_on=False)
    if known := [(p.x, p.low, p.high) for p in curve.points if p.low is not None and p.high is not None]:
        places, lows, highs = zip(*known, strict=True)
        ax.vlines(places, lows, highs, color=mark.colour, linewidth=1, clip_on=False)


def _label_ends(canvas: Canvas, ax: Axes) -> None:
    """The name of each curve at the right, joined to its last point."""
    curves = canvas.panel.curves
    ends = [max(curve.points, key=lambda p: p.x) for curve in curves]
    to_axes = ax.transData + ax.transAxes.inverted()
    reached = [(float(x), float(y)) for x, y in (to_axes.transform((p.x, p.y)) for p in ends)]
    gap = LABEL_GAP_IN / (canvas.height_in - BOTTOM_IN - TOP_IN)
    places = spread([y for _, y in reached], gap, 0.0, 1.0)
    for curve, (x, y), place in zip(curves, reached, places, strict=True):
        colour, across = canvas.marks[curve.name].colour, ax.transAxes
        ax.plot([x, 1.05], [y, place], color=colour, linewidth=0.9, alpha=0.8, clip_on=False, transform=across)
        ax.text(1.07, place, short(curve.name), color=INK.light, va="center_baseline", transform=across)
