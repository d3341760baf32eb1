"""Panels of cells in named rows and columns, the darker the larger the value."""

from __future__ import annotations

from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from attnlab.bench.reporters.draw.canvas import CHARACTER_IN, Canvas, short
from attnlab.bench.reporters.draw.look import INK, MAP_ENDS, MUTED
from attnlab.bench.reporters.model.plots import Panel

ROW_IN, HEAD_IN = 0.36, 0.95
LONGEST_NAME = 30  # characters of a row or a column
BOTTOM_IN, TOP_IN = 0.5, 0.42
DARK = 0.55  # of the way to the largest value: from there on what a cell says is white


def map_in(panel: Panel) -> float:
    """Height of the panel, in inches."""
    return HEAD_IN + ROW_IN * len(panel.rows)


def draw_map(canvas: Canvas) -> None:
    """One cell a point, with what it says; what was not measured is left empty."""
    panel = canvas.panel
    rows, columns = ([short(name, LONGEST_NAME) for name in names] for names in (panel.rows, panel.columns))
    left = 0.3 + CHARACTER_IN * max(map(len, rows)) + 0.2
    ax = canvas.axes(left=left, right=0.25, bottom=BOTTOM_IN, top=TOP_IN)
    low, high = panel.extent or (min(panel.values), max(panel.values))
    norm = LogNorm(low, high) if panel.logarithmic and low < high else Normalize(low, high)
    colours = LinearSegmentedColormap.from_list("map", MAP_ENDS)
    for p in (p for curve in panel.curves for p in curve.points):
        share = float(norm(p.value if p.value is not None else low)) if high > low else 0.0
        ax.add_patch(Rectangle((p.x - 0.48, p.y - 0.47), 0.96, 0.94, color=colours(share), linewidth=0))
        ink = "white" if share > DARK else "#1c1f23"
        ax.text(p.x, p.y, p.label, ha="center", va="center", fontsize=7.8, color=ink)
    ax.set_xlim(-0.5, len(panel.columns) - 0.5)
    ax.set_ylim(len(panel.rows) - 0.5, -0.5)
    for axis, names in ((ax.xaxis, columns), (ax.yaxis, rows)):
        axis.set_major_locator(FixedLocator(range(len(names))))
        axis.set_major_formatter(FixedFormatter(names))
        axis.set_minor_locator(NullLocator())
    ax.set_ylabel(panel.y_label, color=MUTED.light)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(colors=INK.light, length=0)
