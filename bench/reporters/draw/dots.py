"""Panels of dots in named rows."""

from __future__ import annotations

from matplotlib.ticker import NullLocator

from attnlab.bench.reporters.draw.canvas import Canvas, legend_in, legend_names
from attnlab.bench.reporters.draw.look import INK, MUTED, RULE
from attnlab.bench.reporters.model.plots import Panel

ROW_IN, HEAD_IN = 0.5, 0.88
BOTTOM_IN, TOP_IN = 0.47, 0.4
LABEL_IN = 0.2  # of the reference, between title and rows
ROW_SPREAD = 0.3  # of a row's height, over which dots of several implementations are set apart


def dots_in(panel: Panel) -> float:
    """Height of the panel, in inches."""
    return HEAD_IN + _label_in(panel) + ROW_IN * len(panel.rows) + legend_in(panel)


def _label_in(panel: Panel) -> float:
    return LABEL_IN if panel.reference is not None and panel.reference_label else 0.0


def draw_dots(canvas: Canvas) -> None:
    """One row a name; the reference is a line across all of them."""
    panel = canvas.panel
    ax = canvas.axes(left=0.2, right=0.25, bottom=BOTTOM_IN, top=TOP_IN + _label_in(panel))
    span = canvas.values(0.05)
    canvas.scale(ax, "x", span)
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
        canvas.scatter(ax, curve, least=span.least if span.logarithmic else None, shift=shift)
