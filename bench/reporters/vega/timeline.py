"""Runs in their order, with changes between them."""

from __future__ import annotations

from attnlab.bench.reporters.model.plots import Panel
from attnlab.bench.reporters.vega.axes import axis_of_values, literal, quantity
from attnlab.bench.reporters.vega.layers import intervals
from attnlab.bench.reporters.vega.look import Paint, Spec


def timeline(panel: Panel, paint: Paint) -> Spec:
    """Runs in their order; a change is a dashed line between two of them, which says what it is."""
    runs = ", ".join(f"'{literal(name)}'" for name in panel.columns)
    x = quantity(
        "x", panel.x_label, "", False, grid=False, domain=True, tickMinStep=1, labelExpr=f"[{runs}][datum.value]"
    )
    x["scale"]["domain"] = [0, max(1, len(panel.columns) - 1)]
    line: Spec = {"mark": {"type": "line", "strokeWidth": 1.4}, "encoding": {"shape": None}}
    points: Spec = {"mark": {"type": "point", "filled": True, "size": 40, "opacity": 1}}
    layers = [line, *intervals(panel, "y"), points]
    for callout, note in zip(panel.callouts, panel.notes, strict=False):
        at: Spec = {"values": [{"x": callout.x, "told": note, "number": callout.text}]}
        own: Spec = {"y": None, "color": None, "shape": None, "tooltip": {"field": "told", "title": "change"}}
        layers.append({"data": at, "mark": {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 2}, "encoding": own})
        above = {**own, "y": {"value": -14}, "text": {"field": "number"}}
        layers.append({"data": at, "mark": {"type": "text"}, "encoding": above})
    return {"encoding": {"x": x, "y": axis_of_values(panel, "y", panel.y_label)}, "layer": layers}
