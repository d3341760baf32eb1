"""Panels that place results under the device's rooflines."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from attnlab.bench import units
from attnlab.bench.reporters.draw.canvas import Canvas, room
from attnlab.bench.reporters.draw.look import INK, MUTED
from attnlab.bench.reporters.model.plots import Roof

HEIGHT_IN = 3.2
NOTE: dict[str, Any] = {"color": INK.light, "fontsize": 8, "fontweight": "bold"}


def draw_roofline(canvas: Canvas) -> None:
    """Rate over intensity; the first roof is solid, others are dashed."""
    panel = canvas.panel
    ax = canvas.axes(left=0.94, right=0.2, bottom=0.45, top=0.42)
    points = [p for curve in panel.curves for p in curve.points]
    ridges = [roof.rate / width for roof in panel.roofs for width in (roof.bandwidth, roof.copied or roof.bandwidth)]
    low, high = room([p.x for p in points] + [r for ridge in ridges for r in (ridge / 3, ridge * 2)], 0.03)
    tops = [roof.rate / units.TERA for roof in panel.roofs]
    starts = [low * roof.bandwidth / units.TERA for roof in panel.roofs[:1]]
    ax.text(0, 1.03, "; ".join(panel.notes), transform=ax.transAxes, ha="left", va="bottom", **NOTE)
    canvas.scale(ax, "x", (low, high), "")
    canvas.scale(ax, "y", room([p.y for p in points] + tops + starts, 0.08), panel.unit)
    for position, roof in enumerate(panel.roofs):
        _draw_roof(ax, roof, low, high, "--" if position else "-")
    for curve in panel.curves:
        canvas.scatter(ax, curve)


def _draw_roof(ax: Axes, roof: Roof, low: float, high: float, linestyle: str) -> None:
    top = roof.rate / units.TERA
    corners = [(low, low * roof.bandwidth / units.TERA), (roof.rate / roof.bandwidth, top), (high, top)]
    x, y = zip(*corners, strict=True)
    ax.plot(x, y, color=MUTED.light, linewidth=1.2, linestyle=linestyle)
    rate = units.format_tick(top, "TFLOP/s")
    bandwidth = units.format_tick(roof.bandwidth / units.GB, "GB/s")
    text = f"{roof.name}: {rate}, {bandwidth}"
    if roof.copied is not None:
        ax.plot(
            (low, roof.rate / roof.copied),
            (low * roof.copied / units.TERA, top),
            color=MUTED.light,
            linewidth=1.0,
            linestyle=":",
        )
        text += f" read, {units.format_tick(roof.copied / units.GB, 'GB/s')} copied"
    ax.text(high, top * 1.06, text, ha="right", va="bottom", color=MUTED.light, fontsize=8)
