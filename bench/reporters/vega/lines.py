"""Lines over sizes, each point with its interval."""

from __future__ import annotations

from attnlab.bench.reporters.model.plots import Panel
from attnlab.bench.reporters.vega.axes import axis_of_values, label, quantity
from attnlab.bench.reporters.vega.layers import intervals, reference
from attnlab.bench.reporters.vega.look import Paint, Spec


def lines(panel: Panel, paint: Paint) -> Spec:
    lengths = sorted({point.x for curve in panel.curves for point in curve.points})
    x = quantity("x", panel.x_label, panel.x_unit, panel.x_logarithmic, grid=False, domain=True)
    ticks: Spec = {"tickMinStep": 1} if panel.whole else {"values": lengths}
    told = label("datum.value", panel.x_unit)
    if panel.whole:
        told = f"datum.value < 0 ? '' : {told}"  # the room before the first mark may hold a tick
    x["axis"] = {**x["axis"], **ticks, "labelExpr": told}
    y = axis_of_values(panel, "y", panel.y_label)
    marks: list[Spec] = [
        {"mark": {"type": "line", "strokeWidth": 1.6}, "encoding": {"shape": None}},
        *intervals(panel, "y"),
        {"mark": {"type": "point", "filled": True, "size": 45, "opacity": 1}},
    ]
    return {"encoding": {"x": x, "y": y}, "layer": [*reference(panel), *marks]}
