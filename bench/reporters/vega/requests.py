"""Requests over the time of a run: what each waited for, and when its answer came."""

from __future__ import annotations

from attnlab.bench.reporters.model.plots import FAILED, Panel
from attnlab.bench.reporters.vega.axes import literal, quantity
from attnlab.bench.reporters.vega.look import AXIS, Paint, Spec

REQUEST, LEAST = 7, 90  # pixels: of a request, of all of them


def requests(panel: Panel, paint: Paint) -> Spec:
    """A line a request, the first at the top; where it failed stands a mark."""
    x = quantity("x", panel.x_label, panel.unit, False) | {"field": "low"}
    x["scale"] = {"zero": True, "nice": False}
    axis: Spec = {"labels": False, "grid": False, "domain": False}
    y: Spec = {"field": "row", "type": "nominal", "title": panel.y_label, "axis": axis}
    y |= {"sort": list(panel.rows), "scale": {"domain": list(panel.rows), "paddingInner": 0.15}}
    spans: Spec = {"mark": {"type": "bar"}, "encoding": {"x2": {"field": "high"}, "shape": None}}
    ends: Spec = {
        "transform": [{"filter": f"datum.name == '{literal(FAILED)}'"}],
        "mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
        "encoding": {"x": {"field": "high", "type": "quantitative"}},
    }
    layers = [spans, ends] if any(curve.name == FAILED for curve in panel.curves) else [spans]
    height = max(LEAST, REQUEST * len(panel.rows)) + AXIS
    return {"height": height, "encoding": {"x": x, "y": y}, "layer": layers}
