"""One panel of any kind, drawn on a figure of the height that it asks for."""

from __future__ import annotations

from collections.abc import Callable

from attnlab.bench.reporters.draw import bars, dots, lines, maps, requests, roofline, runs, scatter
from attnlab.bench.reporters.draw.canvas import Canvas, legend_in
from attnlab.bench.reporters.model.plots import Panel

_DRAW: dict[str, Callable[[Canvas], None]] = {
    "lines": lines.draw_lines,
    "dots": dots.draw_dots,
    "bars": bars.draw_bars,
    "roofline": roofline.draw_roofline,
    "scatter": scatter.draw_scatter,
    "curve": scatter.draw_scatter,
    "map": maps.draw_map,
    "timeline": runs.draw_runs,
    "requests": requests.draw_requests,
}
_HEIGHTS: dict[str, Callable[[Panel], float]] = {
    "dots": dots.dots_in,
    "bars": bars.bars_in,
    "map": maps.map_in,
    "timeline": runs.runs_in,
    "requests": requests.requests_in,
    "lines": lambda panel: lines.HEIGHT_IN,
    "roofline": lambda panel: roofline.roofline_in(panel) + legend_in(panel),
    "scatter": lambda panel: scatter.HEIGHT_IN + legend_in(panel),
    "curve": lambda panel: scatter.HEIGHT_IN + legend_in(panel),
}


def height_in(panel: Panel) -> float:
    return _HEIGHTS[panel.kind](panel)


def draw(canvas: Canvas) -> None:
    _DRAW[canvas.panel.kind](canvas)
