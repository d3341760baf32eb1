"""Axes: their scales, and ticks in the unit of what they show, written as in other pictures."""

from __future__ import annotations

from typing import Any

from attnlab.bench import units
from attnlab.bench.reporters.model.plots import ACROSS, Panel
from attnlab.bench.reporters.vega.look import Spec

TICKS = 5


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
        return f"format({value}, '.6~r'){f' + {chr(39)} {literal(name)}{chr(39)}' if name else ''}"
    return f"replace(format({value} * {factor:g}, '.3~s'), regexp('([a-zA-Zµ]?)$'), ' $1{name}')"


def literal(text: str) -> str:
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


def axis_of_values(panel: Panel, channel: str, title: str) -> Spec:
    """The axis of values, over the range of all panels that this one is compared with."""
    found = quantity(channel, title, panel.unit, panel.logarithmic)
    if panel.extent is not None and min(panel.extent) > 0:
        found["scale"]["domain"] = list(panel.extent)
    return found


def plain_ticks(panel: Panel) -> dict[str, str]:
    """How ticks are written on an axis that is made linear, by channel."""
    if panel.kind in ACROSS:
        return {"x": label("datum.value", panel.unit)}
    return {"x": label("datum.value", panel.x_unit), "y": label("datum.value", panel.unit)}


def _round_tick(channel: str) -> str:
    """Whether a tick of a logarithmic axis is one of few: 1, 2 and 5 over three decades, 1 over more, any over one."""
    decades = f"log(domain('{channel}')[1] / domain('{channel}')[0]) / LN10"
    digit = "round(100 * datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9)))"
    return f"({decades} < 1 || {digit} == 100 || ({decades} < 3 && ({digit} == 200 || {digit} == 500)))"
