"""Panels that place results under the device's rooflines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attnlab.bench import units
from attnlab.bench.reporters.draw.canvas import SIDE_IN, Canvas, Span, legend_in
from attnlab.bench.reporters.draw.look import INK, MUTED
from attnlab.bench.reporters.model.plots import Panel, Roof

HEIGHT_IN, ROW_IN = 3.2, 0.19
NOTE: dict[str, Any] = {"color": INK.light, "fontsize": 8, "fontweight": "bold"}


@dataclass(frozen=True)
class _Line:
    """One line that nothing passes: a bandwidth up to a rate, and how it is drawn and told."""

    told: str
    bandwidth: float
    rate: float
    dashes: str


def roofline_in(panel: Panel) -> float:
    """Height of the panel without its legend, in inches: lines are told in rows below it."""
    return HEIGHT_IN + ROW_IN * (len(_lines(panel.roofs)) + len(panel.notes))


def draw_roofline(canvas: Canvas) -> None:
    """Rate over intensity; the first roof is solid, others are dashed."""
    panel = canvas.panel
    lines = _lines(panel.roofs)
    below = ROW_IN * (len(lines) + len(panel.notes))
    ax = canvas.axes(left=0.94, right=0.2, bottom=0.45 + below, top=0.42)
    points = [p for curve in panel.curves for p in curve.points]
    ridges = [line.rate / line.bandwidth for line in lines]
    x = Span([p.x for p in points] + [r for ridge in ridges for r in (ridge / 3, ridge * 2)], panel.x_unit, True, 0.03)
    low, high = x.limits
    starts = [low * line.bandwidth / units.TERA for line in lines[:1]]
    canvas.scale(ax, "x", x)
    canvas.scale(ax, "y", Span([*(panel.extent or panel.values), *starts], panel.unit, True, 0.08))
    for line in lines:
        top = line.rate / units.TERA
        corners = [(low, low * line.bandwidth / units.TERA), (line.rate / line.bandwidth, top), (high, top)]
        xs, ys = zip(*corners, strict=True)
        ax.plot(xs, ys, color=MUTED.light, linewidth=1.2, linestyle=line.dashes)
    for curve in panel.curves:
        canvas.scatter(ax, curve)
    _tell(canvas, lines, below)


def _tell(canvas: Canvas, lines: Sequence[_Line], height_in: float) -> None:
    """The lines in rows with a piece of each, and what has to be said of the points."""
    panel, rows = canvas.panel, len(lines) + len(canvas.panel.notes)
    bottom = 0.06 + legend_in(panel)
    ax = canvas.figure.add_axes((0, bottom / canvas.height_in, 1, height_in / canvas.height_in))
    ax.set_axis_off()
    ax.set_xlim(0, canvas.width_in)
    ax.set_ylim(rows, 0)
    for row, line in enumerate(lines):
        ax.plot([SIDE_IN, SIDE_IN + 0.4], [row + 0.5] * 2, color=MUTED.light, linewidth=1.2, linestyle=line.dashes)
        ax.text(SIDE_IN + 0.5, row + 0.5, line.told, va="center_baseline", color=MUTED.light, fontsize=8)
    for row, note in enumerate(panel.notes, start=len(lines)):
        ax.text(SIDE_IN, row + 0.5, note, va="center_baseline", **NOTE)


def _lines(roofs: Sequence[Roof]) -> list[_Line]:
    found = []
    for place, roof in enumerate(roofs):
        rate = units.format_tick(roof.rate / units.TERA, "TFLOP/s")
        how = " read" if roof.copied is not None else ""
        told = f"{roof.name}: {rate}, {units.format_tick(roof.bandwidth / units.GB, 'GB/s')}{how}"
        found.append(_Line(told, roof.bandwidth, roof.rate, "--" if place else "-"))
        if roof.copied is not None:
            told = f"{roof.name}: {units.format_tick(roof.copied / units.GB, 'GB/s')} read and written alike"
            found.append(_Line(told, roof.copied, roof.rate, ":"))
    return found
