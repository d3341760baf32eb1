"""Panels of dots in named rows."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from attnlab.bench.reporters.draw.canvas import Canvas, legend_in, legend_names
from attnlab.bench.reporters.draw.look import INK, MUTED, RULE
from attnlab.bench.reporters.model.plots import Panel

ROW_IN, HEAD_IN = 0.5, 0.88
BOTTOM_IN, TOP_IN = 0.47, 0.4
LABEL_IN = 0.2  # of the reference, between title and rows
NEAR = 0.08  # of the width to an edge, within which a label is on the other side of what it names
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
        _mark(ax, value, panel)
    for row, name in enumerate(panel.rows):
        ax.axhline(row, color=RULE.light, linewidth=0.7)
        beside = ax.get_yaxis_transform()
        ax.text(0, row - 0.24, name, va="bottom", color=INK.light, fontsize=8.2, transform=beside)
    shared = legend_names(panel) and len(panel.curves) > 1
    for place, curve in enumerate(panel.curves):
        shift = ROW_SPREAD * (place / (len(panel.curves) - 1) - 0.5) if shared else 0.0
        canvas.scatter(ax, curve, least=span.least if span.logarithmic else None, shift=shift)


def _mark(ax: Axes, value: float, panel: Panel) -> None:
    """A dashed line that leaves the names of rows free, and its label above all rows."""
    rows = range(len(panel.rows))
    below, above = [row - 0.2 for row in rows], [row + 0.45 for row in rows]
    ax.vlines([value] * len(rows), below, above, color=MUTED.light, linewidth=1, linestyle=(0, (3, 2)))
    place = float((ax.transData + ax.transAxes.inverted()).transform((value, 0))[0])
    side = "right" if place > 1 - NEAR else "left" if place < NEAR else "center"
    style: dict[str, Any] = {"ha": side, "color": MUTED.light, "fontsize": 8.2, "transform": ax.get_xaxis_transform()}
    ax.text(value, 1.02, panel.reference_label, **style)
