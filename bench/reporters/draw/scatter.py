"""Panels of one mark a name over two quantities: latency across on a logarithmic axis, a share up on a plain one."""

from __future__ import annotations

from matplotlib.ticker import FuncFormatter, MaxNLocator

from attnlab.bench import units
from attnlab.bench.reporters.draw.canvas import Canvas, room
from attnlab.bench.reporters.draw.look import RULE

HEIGHT_IN = 3.0


def draw_scatter(canvas: Canvas) -> None:
    """Marks with a legend; 0 is on the y axis, for a format may lose nothing."""
    panel = canvas.panel
    ax = canvas.axes(left=0.66, right=0.25, bottom=0.62, top=0.42)
    points = [p for curve in panel.curves for p in curve.points]
    canvas.scale(ax, "x", room([p.x for p in points], 0.08), panel.x_unit)
    top = max((p.y for p in points), default=0.0) or 1e-3
    ax.set_ylim(-0.06 * top, 1.12 * top)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: units.format_tick(value, panel.unit)))
    ax.grid(axis="y", color=RULE.light, linewidth=0.7)
    for curve in panel.curves:
        canvas.scatter(ax, curve)
