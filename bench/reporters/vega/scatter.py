"""Two quantities: marks, or curves with their knees."""

from __future__ import annotations

from attnlab.bench.reporters.draw.look import INK, MUTED
from attnlab.bench.reporters.model.plots import Callout, Panel
from attnlab.bench.reporters.vega.axes import quantity
from attnlab.bench.reporters.vega.layers import reference
from attnlab.bench.reporters.vega.look import Paint, Spec


def scatter(panel: Panel, paint: Paint) -> Spec:
    x = quantity("x", panel.x_label, panel.x_unit, panel.x_logarithmic and panel.x_unit != "share", grid=False)
    y = quantity("y", panel.y_label, panel.unit, panel.scale == "log")
    if panel.scale != "log":
        y["scale"]["zero"] = True
    points: Spec = {"mark": {"type": "point", "filled": True, "size": 60, "opacity": 0.9}}
    return {"encoding": {"x": x, "y": y}, "layer": [*reference(panel), *_front(panel, paint), points]}


def _front(panel: Panel, paint: Paint) -> list[Spec]:
    """Steps from point to point, and their labels, each on the side where there is room."""
    if not panel.front:
        return []
    plain: Spec = {"color": None, "shape": None, "tooltip": None}
    steps: Spec = {
        "data": {"values": [{"x": p.x, "y": p.y} for p in panel.front]},
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1, "color": paint(MUTED.light)},
        "encoding": plain,
    }
    labels = []
    for side, left in (("left", False), ("right", True)):
        values = [{"x": p.x, "y": p.y, "label": p.label} for p in panel.front if panel.right_of_middle(p) == left]
        away = -6 if left else 6
        mark = {"type": "text", "align": side, "dx": away, "dy": -7, "color": paint(INK.light)}
        labels.append({"data": {"values": values}, "mark": mark, "encoding": {**plain, "text": {"field": "label"}}})
    return [steps, *labels]


def curve(panel: Panel, paint: Paint) -> Spec:
    """Points joined load by load, each with its load; a ring about a knee."""
    body = scatter(panel, paint)
    joined: Spec = {
        "mark": {"type": "line", "strokeWidth": 1.4},
        "encoding": {"order": {"field": "place", "type": "quantitative"}, "shape": None},
    }
    loads: Spec = {
        "mark": {"type": "text", "dy": -10},
        "encoding": {"text": {"field": "label"}, "color": None, "shape": None},
    }
    rings = [_ring(callout, paint) for callout in panel.callouts if callout.y is not None]
    return {**body, "layer": [joined, *body["layer"], loads, *rings]}


def _ring(callout: Callout, paint: Paint) -> Spec:
    mark = {"type": "point", "size": 200, "filled": False, "color": paint(INK.light)}
    own: Spec = {"color": None, "shape": None, "tooltip": {"field": "told", "title": "here"}}
    return {"data": {"values": [{"x": callout.x, "y": callout.y, "told": callout.text}]}, "mark": mark, "encoding": own}
