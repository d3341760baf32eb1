"""Cells in named rows and columns."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench.reporters.draw.look import MAP_ENDS
from attnlab.bench.reporters.model.plots import Panel
from attnlab.bench.reporters.vega.look import CELL, ROW, Paint, Spec


def cells(panel: Panel, paint: Paint) -> Spec:
    """Cells that are darker the larger their value; each says what it is."""
    low, high = panel.extent or (min(panel.values), max(panel.values))
    axes: Spec = {
        "x": _places("column", panel.columns, panel.x_label),
        "y": _places("row", panel.rows, panel.y_label),
    }
    scale = {
        "type": "log" if panel.logarithmic else "linear",
        "domain": [low, max(high, low * 1.01)],
        "range": list(MAP_ENDS),
    }
    colour = {"field": "value", "type": "quantitative", "scale": scale, "legend": None}
    middle = (low * high) ** 0.5 if panel.logarithmic else (low + high) / 2
    ink = {"condition": {"test": f"datum.value > {middle:g}", "value": "white"}, "value": "#1c1f23"}
    boxes: Spec = {"mark": {"type": "rect"}, "encoding": {"color": colour, "shape": None}}
    text = {"type": "text", "limit": {"expr": f"width / {len(panel.columns)} - 2"}}  # the rest is shown by hovering
    texts: Spec = {"mark": text, "encoding": {"text": {"field": "label"}, "color": ink, "shape": None}}
    return {"height": CELL * len(panel.rows) + ROW, "encoding": axes, "layer": [boxes, texts]}


def _places(field: str, names: Sequence[str], title: str) -> Spec:
    axis = {"labelAngle": 0, "domain": False, "grid": False}
    return {"field": field, "type": "nominal", "sort": list(names), "title": title, "axis": axis}
