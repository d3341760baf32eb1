"""Marks in named rows."""

from __future__ import annotations

from attnlab.bench.reporters.model.plots import Panel, least_drawn
from attnlab.bench.reporters.vega.axes import axis_of_values
from attnlab.bench.reporters.vega.layers import intervals, named_rows
from attnlab.bench.reporters.vega.look import AXIS, ROW, Paint, Spec

NAME = 18  # pixels above a row's line that its name takes
NEAR = 40  # pixels to an edge, within which a label is on the other side of what it names


def dots(panel: Panel, paint: Paint) -> Spec:
    """Marks in rows."""
    x = axis_of_values(panel, "x", panel.x_label)
    y, names = named_rows(panel, paint)
    marks: Spec = {"mark": {"type": "point", "filled": True, "size": 50, "opacity": 0.9}}
    body: Spec = {
        "height": ROW * len(panel.rows) + AXIS,
        "encoding": {"x": x, "y": y},
        "layer": [*_reference(panel), names, *intervals(panel, "x"), marks],
    }
    if panel.logarithmic:
        body["transform"] = [{"calculate": f"max(datum.x, {least_drawn(panel.values):g})", "as": "x"}]
    return body


def _reference(panel: Panel) -> list[Spec]:
    """A dashed line at the value to mark, which leaves the names of rows free; its label is above all rows."""
    if panel.reference is None:
        return []
    own: Spec = {"color": None, "shape": None, "tooltip": None}
    rule = {"type": "rule", "strokeDash": [4, 3], "yOffset": -3, "y2Offset": ROW - NAME}
    each: Spec = {"values": [{"row": name, "x": panel.reference} for name in panel.rows]}
    layers: list[Spec] = [{"data": each, "mark": rule, "encoding": {**own, "y2": {"field": "row"}}}]
    if panel.reference_label:
        place = f"scale('x', {panel.reference:g})"
        align = f"{place} > width - {NEAR} ? 'right' : {place} < {NEAR} ? 'left' : 'center'"
        text = {"type": "text", "text": panel.reference_label, "align": {"expr": align}}
        one: Spec = {"values": [{"x": panel.reference}]}
        layers.append({"data": one, "mark": text, "encoding": {**own, "y": {"value": -14}}})
    return layers
