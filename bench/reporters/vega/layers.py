"""Layers that several kinds of panel have."""

from __future__ import annotations

from attnlab.bench.reporters.draw.look import INK
from attnlab.bench.reporters.model.plots import Panel
from attnlab.bench.reporters.vega.look import Paint, Spec


def intervals(panel: Panel, along: str) -> list[Spec]:
    if not any(point.low is not None for curve in panel.curves for point in curve.points):
        return []
    ends = {along: {"field": "low", "type": "quantitative"}, f"{along}2": {"field": "high"}}
    return [{"mark": {"type": "rule", "strokeWidth": 1.2}, "encoding": {**ends, "shape": None}}]


def reference(panel: Panel) -> list[Spec]:
    """A dashed line across, at the value to mark."""
    if panel.reference is None:
        return []
    at = {"field": "y", "type": "quantitative"}
    own: Spec = {"x": None, "y": at, "color": None, "shape": None, "tooltip": None}
    one: Spec = {"values": [{"y": panel.reference}]}
    return [{"data": one, "mark": {"type": "rule", "strokeDash": [4, 3]}, "encoding": own}]


def named_rows(panel: Panel, paint: Paint) -> tuple[Spec, Spec]:
    """The axis of rows one under the other, and each one's name above its line."""
    y: Spec = {
        "field": "row",
        "type": "nominal",
        "sort": list(panel.rows),
        "scale": {"domain": list(panel.rows)},
        "axis": {"labels": False, "grid": True, "domain": False, "title": None},
    }
    names: Spec = {
        "data": {"values": [{"row": name} for name in panel.rows]},
        "mark": {
            "type": "text",
            "align": "left",
            "baseline": "bottom",
            "dy": -5,
            "color": paint(INK.light),
            "limit": {"expr": "width"},
        },
        "encoding": {
            "x": {"value": 0},
            "text": {"field": "row"},
            "color": None,
            "shape": None,
            "tooltip": {"field": "row", "title": "row"},
        },
    }
    return y, names
