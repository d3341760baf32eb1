"""Results under the roofs of a device."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench import units
from attnlab.bench.reporters.draw.look import MUTED
from attnlab.bench.reporters.model.plots import Panel, Roof
from attnlab.bench.reporters.vega.axes import quantity
from attnlab.bench.reporters.vega.look import Paint, Spec


def roofline(panel: Panel, paint: Paint) -> Spec:
    points = [point for curve in panel.curves for point in curve.points]
    ridges = [roof.rate / width for roof in panel.roofs for width in (roof.bandwidth, roof.copied or roof.bandwidth)]
    low = min([*(p.x for p in points), *(ridge / 3 for ridge in ridges)])
    high = max([*(p.x for p in points), *(ridge * 2 for ridge in ridges)])
    x = quantity("x", panel.x_label, panel.x_unit, True, grid=False, domain=True)
    x["scale"]["domain"] = [low, high]
    y = quantity("y", panel.y_label, panel.unit, True)
    if panel.extent is not None and min(panel.extent) > 0:
        y["scale"]["domain"] = list(panel.extent)
    roofs = [_roof(roof, low, high, bool(place), paint) for place, roof in enumerate(panel.roofs)]
    marks: Spec = {"mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.9}}
    return {"encoding": {"x": x, "y": y}, "layer": [*(line for roof in roofs for line in roof), marks]}


def _roof(roof: Roof, low: float, high: float, dashed: bool, paint: Paint) -> list[Spec]:
    """The roof, and dotted that of what is read and written alike; hovering over a line says what it is."""
    top = roof.rate / units.TERA
    rate = units.format_tick(top, "TFLOP/s")
    widths = [(roof.bandwidth, [6, 4] if dashed else [1, 0], "read" if roof.copied else "")]
    widths += [(roof.copied, [2, 3], "read and written")] if roof.copied else []
    layers = []
    for bandwidth, dash, how in widths:
        told = f"{roof.name} roof: {rate}, {units.format_tick(bandwidth / units.GB, 'GB/s')} {how}".rstrip()
        corners = [(low, low * bandwidth / units.TERA), (roof.rate / bandwidth, top), (high, top)]
        layers.append(_line(corners, told, dash, paint(MUTED.light)))
    return layers


def _line(corners: Sequence[tuple[float, float]], told: str, dash: Sequence[int], colour: str) -> Spec:
    return {
        "data": {"values": [{"x": x, "y": y, "told": told} for x, y in corners]},
        "mark": {"type": "line", "strokeDash": list(dash), "strokeWidth": 1.4},
        "encoding": {"color": {"value": colour}, "shape": None, "tooltip": {"field": "told", "title": "line"}},
    }
