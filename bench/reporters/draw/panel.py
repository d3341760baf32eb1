"""One panel of any kind, drawn on a figure of the height that it asks for."""

from __future__ import annotations

from attnlab.bench.reporters.draw import dots, lines, roofline, scatter
from attnlab.bench.reporters.draw.canvas import Canvas, legend_in
from attnlab.bench.reporters.model.plots import Panel

_DRAW = {
    "lines": lines.draw_lines,
    "dots": dots.draw_dots,
    "roofline": roofline.draw_roofline,
    "scatter": scatter.draw_scatter,
}


def height_in(panel: Panel) -> float:
    if panel.kind == "dots":
        return dots.dots_in(panel)
    heights = {"roofline": roofline.HEIGHT_IN, "scatter": scatter.HEIGHT_IN, "lines": lines.HEIGHT_IN}
    return heights[panel.kind] + legend_in(panel)


def draw(canvas: Canvas) -> None:
    _DRAW[canvas.panel.kind](canvas)
