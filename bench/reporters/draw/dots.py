"""Panels of dots in named rows."""

from __future__ import annotations

from matplotlib.ticker import NullLocator

from attnlab.bench.reporters.draw.canvas import Canvas, legend_in, legend_names, room
from attnlab.bench.reporters.draw.look import INK, MUTED, RULE
from attnlab.bench.reporters.model.plots import Panel

ROW_IN, HEAD_IN = 0.5, 0.88
BOTTOM_IN, TOP_IN = 0.47, 0.4
LEAST = 1e-3  # where a value of 0 is drawn
ROW_SPREAD = 0.3  # of a row's height, over which dots of several implementations are set apart


def dots_in(panel: Panel) -> float:
    """Height of the panel, in inches."""
    return HEAD_IN + ROW_IN * len(panel.rows) + legend_in(panel)


def draw_dots(canvas: Canvas) -> None:
    """One row a name; the reference is a line across all of them."""
    panel = canvas.panel
    ax = canvas.axes(left=0.2, right=0.25, bottom=BOTTOM_IN, top=TOP_IN)
    points = [p for curve in panel.curves for p in curve.points]
    values = [max(v, LEAST) for p in points for v in (p.x, p.low, p.high) if v is not None]
    canvas.scale(ax, "x", room([*values, *canvas.reference], 0.05), panel.unit)
    ax.set_ylim(len(panel.rows) - 0.5, -0.75)
    ax.yaxis.set_major_locator(NullLocator())
    for value in canvas.reference:
        ax.axvline(value, color=MUTED.light, linewidth=1, dashes=(3, 2))
        above = ax.get_xaxis_transform()
        label = panel.reference_label
        ax.text(value, 1.02, label, ha="center", color=MUTED.light, fontsize=8.2, transform=above)
    for row, name in enumerate(panel.rows):
        ax.axhline(row, color=RULE.light, linewidth=0.7)
        beside = ax.get_yaxis_transform()
        ax.text(0, row - 0.24, name, va="bottom", color=INK.light, fontsize=8.2, transform=beside)
    shared = legend_names(panel) and len(panel.curves) > 1
    for place, curve in enumerate(panel.curves):
        shift = ROW_SPREAD * (place / (len(panel.curves) - 1) - 0.5) if shared else 0.0
        canvas.scatter(ax, curve, least=LEAST, shift=shift)
