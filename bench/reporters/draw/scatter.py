"""Panels of two quantities: marks of one name each, or curves with their knees."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from attnlab.bench import units
from attnlab.bench.reporters.draw.canvas import MOST_STEPS, Canvas, Span
from attnlab.bench.reporters.draw.look import INK, MUTED, RULE
from attnlab.bench.reporters.draw.ticks import binary_ticks
from attnlab.bench.reporters.model.plots import Curve, Panel

HEIGHT_IN = 3.0


def draw_scatter(canvas: Canvas) -> None:
    """Marks with a legend; 0 is on the y axis, for a format may lose nothing, unless the scale is to be logarithmic."""
    panel = canvas.panel
    ax = canvas.axes(left=0.66, right=0.25, bottom=0.62, top=0.42)
    points = [p for curve in panel.curves for p in curve.points]
    x = [p.x for p in points]
    canvas.scale(ax, "x", Span(x, panel.x_unit, panel.x_logarithmic, 0.08))
    if panel.scale == "log":
        canvas.scale(ax, "y", canvas.values(0.1))
    else:
        _from_zero(ax, panel, max(panel.extent or [p.y for p in points]) or 1e-3)
    for value in canvas.reference:
        ax.axhline(value, color=MUTED.light, linewidth=1, dashes=(3, 2))
    _front(ax, panel)
    for curve in panel.curves:
        if panel.kind == "curve":
            _join(canvas, ax, curve)
        canvas.scatter(ax, curve)
    for callout in panel.callouts:
        if callout.y is not None:
            ax.plot(callout.x, callout.y, marker="o", markersize=11, fillstyle="none", color=INK.light, clip_on=False)
            ax.annotate(callout.text, (callout.x, callout.y), (7, -11), textcoords="offset points", color=INK.light)


def _from_zero(ax: Axes, panel: Panel, top: float) -> None:
    """The y axis up to a value."""
    ax.set_ylim(-0.06 * top, 1.16 * top)
    if panel.unit == "B":
        ax.yaxis.set_major_locator(FixedLocator(binary_ticks(0.0, 1.16 * top, MOST_STEPS)))
    else:
        ax.yaxis.set_major_locator(MaxNLocator(MOST_STEPS))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: units.format_tick(value, panel.unit)))
    ax.grid(axis="y", color=RULE.light, linewidth=0.7)


def _front(ax: Axes, panel: Panel) -> None:
    """Steps from point to point, each with its label on the side where there is room."""
    ax.step(
        [p.x for p in panel.front], [p.y for p in panel.front], color=MUTED.light, linewidth=1, where="post", zorder=1
    )
    for p in panel.front:
        left = panel.right_of_middle(p)
        style: dict[str, Any] = {"ha": "right" if left else "left", "color": INK.light, "fontsize": 7.5}
        ax.annotate(p.label, (p.x, p.y), (-5 if left else 5, 5), textcoords="offset points", **style)


def _join(canvas: Canvas, ax: Axes, curve: Curve) -> None:
    """A line in the order of the points, each with its label."""
    mark = canvas.marks[curve.name]
    x, y = [p.x for p in curve.points], [p.y for p in curve.points]
    ax.plot(x, y, color=mark.colour, linewidth=1.3, dashes=mark.dashes)
    for p in curve.points:
        style: dict[str, Any] = {"textcoords": "offset points", "color": MUTED.light, "fontsize": 7.5, "ha": "center"}
        ax.annotate(p.label, (p.x, p.y), (0, 6), **style)
