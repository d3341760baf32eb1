"""One panel of any kind, drawn on a figure of the height that it asks for."""

from __future__ import annotations

from attnlab.bench.reporters.draw import dots, lines, roofline
from attnlab.bench.reporters.draw.canvas import Canvas, legend_in
from attnlab.bench.reporters.model.plots import Panel

_DRAW = {"lines": lines.draw_lines, "dots": dots.draw_dots, "roofline": roofline.draw_roofline}


def height_in(panel: Panel) -> float:
    if panel.kind == "dots":
        return dots.dots_in(panel)
    return (roofline.HEIGHT_IN if panel.kind == "roofline" else lines.HEIGHT_IN) + legend_in(panel)


def draw(canvas: Canvas) -> None:
    _DRAW[canvas.panel.kind](canvas)
