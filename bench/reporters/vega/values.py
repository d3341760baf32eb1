"""The values of a plot: what each point has, and what hovering over it shows."""

from __future__ import annotations

from attnlab.bench import units
from attnlab.bench.reporters.model.plots import ACROSS, Curve, Panel, PlotPoint
from attnlab.bench.reporters.vega.look import Spec


def values_of(panel: Panel, curve: Curve) -> list[Spec]:
    points = curve.points if panel.kind == "curve" else sorted(curve.points, key=lambda p: p.x)
    place = [c.name for c in panel.curves].index(curve.name) if panel.kind == "bars" else None
    return [{**_row(panel, curve, p), "place": n if place is None else place} for n, p in enumerate(points)]


def _row(panel: Panel, curve: Curve, point: PlotPoint) -> Spec:
    value = point.x if panel.kind in ACROSS else point.y
    if panel.kind == "requests" and point.low is not None:
        value = point.x - point.low
    row: Spec = {"name": curve.name, "x": point.x, "y": point.y, "shown": units.format_value(value, panel.unit)}
    if panel.rows:
        row["row"] = panel.rows[round(point.y)]
    if panel.columns:
        row["column"] = panel.columns[round(point.x)]
    if panel.kind == "map":
        row |= {"value": point.value, "shown": units.format_value(point.value, panel.unit)}
    if point.label:
        row["label"] = point.label
    if curve.wrong:
        row["wrong"] = True
    if point.low is not None and point.high is not None:
        row |= {"low": point.low, "high": point.high}
    if point.low is not None and point.high is not None and panel.kind != "requests":
        row["interval"] = units.format_interval(point.low, point.high, panel.unit)
    if point.implementation:
        row["implementation"] = point.implementation
    if point.case:
        row["case"] = point.case
    return row


def tooltip(panel: Panel) -> list[Spec]:
    """Fields that no point has are left out."""
    points = [point for curve in panel.curves for point in curve.points]
    value = (panel.x_label if panel.kind in ACROSS else panel.y_label) or "value"
    if panel.kind == "map":
        value = "over the fastest"
    if panel.kind == "requests":
        value = "took"
    shown = [("shown", value)]
    if panel.kind != "requests" and any(p.low is not None for p in points):
        shown.append(("interval", "95 % interval"))
    if any(p.label for p in points):
        shown.append(("label", {"map": "latency", "curve": "load"}.get(panel.kind, "what")))
    if panel.kind == "requests":
        shown.append(("row", "request"))
    if panel.kind == "timeline":
        shown.append(("column", "run"))
    if any(p.case for p in points):
        shown.append(("case", "case"))
    elif panel.kind == "lines":
        shown.append(("x", panel.x_label))
    return [{"field": "name", "title": "of"}, *({"field": f, "title": title} for f, title in shown)]
