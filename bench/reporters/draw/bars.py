"""Panels of bars in named rows, each made of parts."""

from __future__ import annotations

from matplotlib.ticker import NullLocator

from attnlab.bench import units
from attnlab.bench.reporters.draw.canvas import Canvas, legend_in
from attnlab.bench.reporters.draw.look import INK
from attnlab.bench.reporters.model.plots import Panel

ROW_IN, HEAD_IN = 0.5, 0.88
BOTTOM_IN, TOP_IN, END_IN = 0.47, 0.4, 0.75
BAR = 0.34  # of a row's height


def bars_in(panel: Panel) -> float:
    """Height of the panel, in inches."""
    return HEAD_IN + ROW_IN * len(panel.rows) + legend_in(panel)


def draw_bars(canvas: Canvas) -> None:
    """Parts side by side from 0 on, in the order of the curves, with their sum at the end."""
    panel = canvas.panel
    ax = canvas.axes(left=0.2, right=END_IN, bottom=BOTTOM_IN, top=TOP_IN)
    canvas.scale(ax, "x", canvas.values(0.0))
    ax.set_ylim(len(panel.rows) - 0.5, -0.75)
    ax.yaxis.set_major_locator(NullLocator())
    ends = [0.0] * len(panel.rows)
    for curve in panel.curves:
        for p in curve.points:
            row = round(p.y)
            colour = canvas.marks[curve.name].colour
            ax.barh(row + 0.1, p.x, BAR, ends[row], color=colour, edgecolor="white", linewidth=0.5)
            ends[row] += p.x
    for row, name in enumerate(panel.rows):
        beside = ax.get_yaxis_transform()
        ax.text(0, row - 0.24, name, va="center", color=INK.light, fontsize=8.2, transform=beside)
        told = f" {units.format_value(ends[row], panel.unit)}"
        ax.text(ends[row], row + 0.1, told, va="center", color=INK.light, fontsize=8.2)
