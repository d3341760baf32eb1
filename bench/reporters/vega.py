"""A panel as a Vega-Lite specification: the same description that matplotlib draws, to be hovered over and filtered.

Names and titles stand beside the plot, in the page, where they wrap and can be selected: the specification has neither
a title nor a legend. `SPECS` has a function for each kind of panel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attnlab.bench import units
from attnlab.bench.reporters.draw.look import INK, MAP_ENDS, MUTED, RULE, TONES, WRONG, Mark
from attnlab.bench.reporters.model.plots import ACROSS, Callout, Curve, Panel, PlotPoint, Roof, least_drawn

Spec = dict[str, Any]
Paint = Callable[[str], str]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
HEIGHT, ROW, CELL, AXIS = 240, 40, 34, 60  # pixels: of a panel, of a named row, of a map's, of an axis
TICKS = 5
CROSS = "M-1-.6-.6-1 0-.4 .6-1 1-.6 .4 0 1 .6 .6 1 0 .4-.6 1-1 .6-.4 0Z"
SHAPES = {  # paths in a box from -1 to 1
    "o": "M1 0A1 1 0 1 1-1 0 1 1 0 1 1 1 0Z",
    "s": "M-.85-.85H.85V.85H-.85Z",
    "^": "M0-1 1 .8H-1Z",
    "D": "M0-1 1 0 0 1-1 0Z",
    "v": "M0 1-1-.8H1Z",
    "P": "M-.35-1H.35V-.35H1V.35H.35V1H-.35V.35H-1V-.35H-.35Z",
    "X": CROSS,
    "<": "M-1 0 .8-1V1Z",
    ">": "M1 0-.8 1V-1Z",
}
VARIABLES = {tone.light: f"var({tone.variable})" for tone in TONES}


def on_page(colour: str) -> str:
    """A colour of the light page as the CSS variable that stands for it on both."""
    return VARIABLES.get(colour, colour)


def panel_spec(panel: Panel, marks: Mapping[str, Mark], paint: Paint = str) -> Spec | None:
    """The specification of a panel, as wide as what holds it; None of a kind that is drawn as a picture alone.

    marks: of each curve's name. paint: what is written for a colour of the light page. Each value has `name` (of its
    curve), `x`, `y`, `shown` (with its unit), and where they are known `low`, `high`, `interval`, `implementation`,
    `case`.
    """
    make = SPECS.get(panel.kind)
    if make is None:
        return None
    body = make(panel, paint)
    return {
        "$schema": SCHEMA,
        "description": panel.description,
        "width": "container",
        "height": HEIGHT,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 20 if panel.kind in ACROSS else 4, "top": 6, "right": 20, "bottom": 4},
        "background": "transparent",
        "config": config(paint),
        "usermeta": {"kind": panel.kind, "metric": panel.metric, "plain": _plain(panel), "row": ROW},
        "data": {"name": "points", "values": [row for c in panel.curves for row in _rows(panel, c)]},
        **body,
        "encoding": {**body["encoding"], **_look(panel, marks, paint)},
    }


def config(paint: Paint) -> Spec:
    """What all specifications have in common: fonts, and the colours of axes."""
    axis = {
        "labelColor": paint(MUTED.light),
        "titleColor": paint(MUTED.light),
        "gridColor": paint(RULE.light),
        "domainColor": paint(MUTED.light),
        "titleFontWeight": "normal",
        "titleFontSize": 12,
        "labelFontSize": 11,
        "ticks": False,
        "labelPadding": 6,
        "labelOverlap": "greedy",
    }
    return {
        "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
        "view": {"stroke": None},
        "axis": axis,
        "text": {"color": paint(MUTED.light), "fontSize": 11},
        "rule": {"color": paint(MUTED.light)},
    }


def _plain(panel: Panel) -> dict[str, str]:
    """How ticks are written on an axis that is made linear, by channel."""
    if panel.kind in ACROSS:
        return {"x": label("datum.value", panel.unit)}
    return {"x": label("datum.value", panel.x_unit), "y": label("datum.value", panel.unit)}


def _rows(panel: Panel, curve: Curve) -> list[Spec]:
    points = curve.points if panel.kind == "curve" else sorted(curve.points, key=lambda p: p.x)
    place = [c.name for c in panel.curves].index(curve.name) if panel.kind == "bars" else None
    return [{**_row(panel, curve, p), "place": n if place is None else place} for n, p in enumerate(points)]


def _row(panel: Panel, curve: Curve, point: PlotPoint) -> Spec:
    value = point.x if panel.kind in ACROSS else point.y
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
        row["interval"] = units.format_interval(point.low, point.high, panel.unit)
    if point.implementation:
        row["implementation"] = point.implementation
    if point.case:
        row["case"] = point.case
    return row


def _look(panel: Panel, marks: Mapping[str, Mark], paint: Paint) -> Spec:
    """Colour and shape of each name, and what hovering shows."""
    names = list(dict.fromkeys(curve.name for curve in panel.curves))
    colours = [paint(marks[name].colour) for name in names]
    shapes = [SHAPES[marks[name].marker] for name in names]
    colour: Spec = {"field": "name", "type": "nominal", "scale": {"domain": names, "range": colours}, "legend": None}
    shape: Spec = {"field": "name", "type": "nominal", "scale": {"domain": names, "range": shapes}, "legend": None}
    if any(curve.wrong for curve in panel.curves):
        colour["condition"] = {"test": "datum.wrong", "value": paint(WRONG.light)}
        shape["condition"] = {"test": "datum.wrong", "value": CROSS}
    return {"color": colour, "shape": shape, "tooltip": _tooltip(panel)}


def _tooltip(panel: Panel) -> list[Spec]:
    """Fields that no point has are left out."""
    points = [point for curve in panel.curves for point in curve.points]
    value = (panel.x_label if panel.kind in ACROSS else panel.y_label) or "value"
    if panel.kind == "map":
        value = "over the fastest"
    shown = [("shown", value)]
    if any(p.low is not None for p in points):
        shown.append(("interval", "95 % interval"))
    if any(p.label for p in points):
        shown.append(("label", {"map": "latency", "curve": "load"}.get(panel.kind, "what")))
    if panel.kind == "timeline":
        shown.append(("column", "run"))
    if any(p.case for p in points):
        shown.append(("case", "case"))
    elif panel.kind == "lines":
        shown.append(("x", panel.x_label))
    return [{"field": "name", "title": "of"}, *({"field": f, "title": title} for f, title in shown)]


def label(value: str, unit: str) -> str:
    """The expression that writes a tick: `1.5 ms`, `64 KiB`, `20 %`, `2×`."""
    if unit == "B":
        steps = [(units.GIB, "GiB"), (units.MIB, "MiB"), (1 << 10, "KiB")]
        parts = "".join(f"{value} >= {size} ? format({value} / {size}, '.3~r') + ' {name}' : " for size, name in steps)
        return f"{parts}format({value}, '.3~r') + ' B'"
    if unit in ("share", "ratio"):
        return f"format(100 * {value}, '.3~g') + ' %'" if unit == "share" else f"format({value}, '.3~g') + '×'"
    scales = {"ns": (1e-9, "s"), "TFLOP/s": (1e12, "FLOP/s"), "GB/s": (1e9, "B/s")}
    factor, name = scales.get(unit, (1.0, unit))
    if unit not in scales:
        return f"format({value}, '.6~r'){f' + {chr(39)} {_literal(name)}{chr(39)}' if name else ''}"
    return f"replace(format({value} * {factor:g}, '.3~s'), regexp('([a-zA-Zµ]?)$'), ' $1{name}')"


def _literal(text: str) -> str:
    """Text inside quotes of an expression; a unit may be a plugin's."""
    return text.replace("\\", "\\\\").replace("'", "\\'")


def quantity(channel: str, title: str, unit: str, logarithmic: bool, **rest: Any) -> Spec:
    """The encoding of a quantity: its scale, and an axis with ticks in its unit; `rest` replaces parts of the axis."""
    binary = unit in ("B", "ratio")
    scale: Spec = {"type": "log", "nice": False, **({"base": 2} if binary else {})} if logarithmic else {"zero": False}
    axis: Spec = {"labelExpr": label("datum.value", unit), "tickCount": TICKS, "domain": False}
    if logarithmic and not binary:
        axis["labelExpr"] = f"{_round_tick(channel)} ? {axis['labelExpr']} : ''"
        axis["gridOpacity"] = {"condition": {"test": _round_tick(channel), "value": 1}, "value": 0}
    return {
        "field": channel,
        "type": "quantitative",
        "title": title or None,
        "scale": {**scale, "padding": 12},
        "axis": {**axis, **rest},
    }


def _values(panel: Panel, channel: str, title: str) -> Spec:
    """The axis of values, over the range of all panels that this one is compared with."""
    found = quantity(channel, title, panel.unit, panel.logarithmic)
    if panel.extent is not None and min(panel.extent) > 0:
        found["scale"]["domain"] = list(panel.extent)
    return found


def _round_tick(channel: str) -> str:
    """Whether a tick of a logarithmic axis is one of few: 1, 2 and 5 over three decades, 1 over more, any over one."""
    decades = f"log(domain('{channel}')[1] / domain('{channel}')[0]) / LN10"
    digit = "round(100 * datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9)))"
    return f"({decades} < 1 || {digit} == 100 || ({decades} < 3 && ({digit} == 200 || {digit} == 500)))"


def _lines(panel: Panel, paint: Paint) -> Spec:
    lengths = sorted({point.x for curve in panel.curves for point in curve.points})
    x = quantity("x", panel.x_label, panel.x_unit, panel.x_logarithmic, grid=False, domain=True)
    ticks: Spec = {"tickMinStep": 1} if panel.whole else {"values": lengths}
    x["axis"] = {**x["axis"], **ticks, "labelExpr": label("datum.value", panel.x_unit)}
    y = _values(panel, "y", panel.y_label)
    marks: list[Spec] = [
        {"mark": {"type": "line", "strokeWidth": 1.6}, "encoding": {"shape": None}},
        *_intervals(panel, "y"),
        {"mark": {"type": "point", "filled": True, "size": 45, "opacity": 1}},
    ]
    return {"encoding": {"x": x, "y": y}, "layer": [*_reference(panel, "y"), *marks]}


def _intervals(panel: Panel, along: str) -> list[Spec]:
    if not any(point.low is not None for curve in panel.curves for point in curve.points):
        return []
    ends = {along: {"field": "low", "type": "quantitative"}, f"{along}2": {"field": "high"}}
    return [{"mark": {"type": "rule", "strokeWidth": 1.2}, "encoding": {**ends, "shape": None}}]


def _reference(panel: Panel, along: str) -> list[Spec]:
    """A dashed line at the value to mark; above rows with its label, which nothing is under there."""
    if panel.reference is None:
        return []
    at = {"field": along, "type": "quantitative"}
    own: Spec = {"x": None, "y": None, "color": None, "shape": None, "tooltip": None, along: at}
    one: Spec = {"values": [{along: panel.reference}]}
    layers: list[Spec] = [{"data": one, "mark": {"type": "rule", "strokeDash": [4, 3]}, "encoding": own}]
    if panel.reference_label and along == "x":
        mark = {"type": "text", "text": panel.reference_label}
        layers.append({"data": one, "mark": mark, "encoding": {**own, "y": {"value": -14}}})
    return layers


def _named_rows(panel: Panel, paint: Paint) -> tuple[Spec, Spec]:
    """The axis of rows one under the other, and each one's name above its line."""
    y: Spec = {
        "field": "row",
        "type": "nominal",
        "sort": list(panel.rows),
        "scale": {"domain": list(panel.rows)},
        "axis": {"labels": False, "grid": True, "domain": False, "title": None},
    }
    names: Spec = {
        "data": {"name": "rows", "values": [{"row": name} for name in panel.rows]},
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


def _dots(panel: Panel, paint: Paint) -> Spec:
    """Marks in rows."""
    x = _values(panel, "x", panel.x_label)
    y, names = _named_rows(panel, paint)
    dots: Spec = {"mark": {"type": "point", "filled": True, "size": 50, "opacity": 0.9}}
    body: Spec = {
        "height": ROW * len(panel.rows) + AXIS,
        "encoding": {"x": x, "y": y},
        "layer": [*_reference(panel, "x"), names, *_intervals(panel, "x"), dots],
    }
    if panel.logarithmic:
        body["transform"] = [{"calculate": f"max(datum.x, {least_drawn(panel.values):g})", "as": "x"}]
    return body


def _scatter(panel: Panel, paint: Paint) -> Spec:
    x = quantity("x", panel.x_label, panel.x_unit, panel.x_logarithmic and panel.x_unit != "share", grid=False)
    y = quantity("y", panel.y_label, panel.unit, False)
    y["scale"]["zero"] = True
    points: Spec = {"mark": {"type": "point", "filled": True, "size": 60, "opacity": 0.9}}
    return {"encoding": {"x": x, "y": y}, "layer": [*_reference(panel, "y"), points]}


def _bars(panel: Panel, paint: Paint) -> Spec:
    """Parts of a whole in rows, stacked in the order of the curves."""
    x = quantity("x", panel.x_label, panel.unit, False)
    x |= {"stack": "zero", "scale": {"zero": True}}
    y, names = _named_rows(panel, paint)
    names["mark"]["dy"] = -8
    bars: Spec = {
        "mark": {"type": "bar", "height": 14, "yOffset": 4},
        "encoding": {"order": {"field": "place", "type": "quantitative"}, "shape": None},
    }
    return {"height": ROW * len(panel.rows) + AXIS, "encoding": {"x": x, "y": y}, "layer": [names, bars]}


def _curve(panel: Panel, paint: Paint) -> Spec:
    """Points joined load by load, each with its load; a ring about a knee."""
    body = _scatter(panel, paint)
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


def _map(panel: Panel, paint: Paint) -> Spec:
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
    cells: Spec = {"mark": {"type": "rect"}, "encoding": {"color": colour, "shape": None}}
    texts: Spec = {"mark": {"type": "text"}, "encoding": {"text": {"field": "label"}, "color": ink, "shape": None}}
    return {"height": CELL * len(panel.rows) + ROW, "encoding": axes, "layer": [cells, texts]}


def _places(field: str, names: Sequence[str], title: str) -> Spec:
    axis = {"labelAngle": 0, "domain": False, "grid": False}
    return {"field": field, "type": "nominal", "sort": list(names), "title": title, "axis": axis}


def _timeline(panel: Panel, paint: Paint) -> Spec:
    """Runs in their order; a change is a dashed line between two of them, which says what it is."""
    runs = ", ".join(f"'{_literal(name)}'" for name in panel.columns)
    x = quantity(
        "x", panel.x_label, "", False, grid=False, domain=True, tickMinStep=1, labelExpr=f"[{runs}][datum.value]"
    )
    x["scale"]["domain"] = [0, max(1, len(panel.columns) - 1)]
    line: Spec = {"mark": {"type": "line", "strokeWidth": 1.4}, "encoding": {"shape": None}}
    points: Spec = {"mark": {"type": "point", "filled": True, "size": 40, "opacity": 1}}
    layers = [line, *_intervals(panel, "y"), points]
    for callout, note in zip(panel.callouts, panel.notes, strict=False):
        at: Spec = {"values": [{"x": callout.x, "told": note, "number": callout.text}]}
        own: Spec = {"y": None, "color": None, "shape": None, "tooltip": {"field": "told", "title": "change"}}
        layers.append({"data": at, "mark": {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 2}, "encoding": own})
        above = {**own, "y": {"value": -14}, "text": {"field": "number"}}
        layers.append({"data": at, "mark": {"type": "text"}, "encoding": above})
    return {"encoding": {"x": x, "y": _values(panel, "y", panel.y_label)}, "layer": layers}


def _roofline(panel: Panel, paint: Paint) -> Spec:
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


SPECS: dict[str, Callable[[Panel, Paint], Spec]] = {
    "lines": _lines,
    "dots": _dots,
    "scatter": _scatter,
    "roofline": _roofline,
    "bars": _bars,
    "curve": _curve,
    "map": _map,
    "timeline": _timeline,
}
