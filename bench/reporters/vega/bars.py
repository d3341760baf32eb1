"""Parts of a whole in named rows."""

from __future__ import annotations

from attnlab.bench.reporters.model.plots import Panel
from attnlab.bench.reporters.vega.axes import quantity
from attnlab.bench.reporters.vega.layers import named_rows
from attnlab.bench.reporters.vega.look import AXIS, ROW, Paint, Spec


def bars(panel: Panel, paint: Paint) -> Spec:
    """Parts of a whole in rows, stacked in the order of the curves."""
    x = quantity("x", panel.x_label, panel.unit, False)
    x |= {"stack": "zero", "scale": {"zero": True}}
    y, names = named_rows(panel, paint)
    names["mark"]["dy"] = -8
    parts: Spec = {
        "mark": {"type": "bar", "height": 14, "yOffset": 4},
        "encoding": {"order": {"field": "place", "type": "quantitative"}, "shape": None},
    }
    return {"height": ROW * len(panel.rows) + AXIS, "encoding": {"x": x, "y": y}, "layer": [names, parts]}
