"""Panels over runs in their order, with changes marked and told below."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.ticker import FixedFormatter, FixedLocator

from attnlab.bench.reporters.draw.canvas import SIDE_IN, Canvas, legend_in
from attnlab.bench.reporters.draw.look import INK, MUTED
from attnlab.bench.reporters.model.plots import Panel

HEIGHT_IN, ROW_IN = 2.6, 0.17
CHARACTERS, MOST_TICKS = 74, 4
TOP_IN, BOTTOM_IN = 0.6, 0.4


def runs_in(panel: Panel) -> float:
    """Height of the panel, in inches."""
    return HEIGHT_IN + ROW_IN * len(_notes(panel)) + legend_in(panel)


def draw_runs(canvas: Canvas) -> None:
    """One place a run, not to scale in time; a change is a numbered line between two runs."""
    panel, notes = canvas.panel, _notes(canvas.panel)
    below = ROW_IN * len(notes)
    ax = canvas.axes(left=0.66, right=0.25, bottom=BOTTOM_IN + below, top=TOP_IN)
    canvas.scale(ax, "y", canvas.values(0.1))
    ax.set_xlim(-0.5, len(panel.columns) - 0.5)
    shown = range(0, len(panel.columns), -(-len(panel.columns) // MOST_TICKS))
    ax.xaxis.set_major_locator(FixedLocator(list(shown)))
    ax.xaxis.set_major_formatter(FixedFormatter([panel.columns[place] for place in shown]))
    for curve in panel.curves:
        mark = canvas.marks[curve.name]
        x, y = [p.x for p in curve.points], [p.y for p in curve.points]
        ax.plot(x, y, color=mark.colour, marker=mark.marker, markersize=3.5, linewidth=1.1, dashes=mark.dashes)
        for p in curve.points:
            if p.low is not None and p.high is not None:
                ax.plot([p.x, p.x], [p.low, p.high], color=mark.colour, linewidth=0.8, alpha=0.7)
    for callout in panel.callouts:
        ax.axvline(callout.x, color=MUTED.light, linewidth=1, dashes=(4, 2))
        above = ax.get_xaxis_transform()
        style: dict[str, Any] = {"ha": "center", "va": "bottom", "color": INK.light, "fontsize": 8.2}
        ax.text(callout.x, 1.02, callout.text, transform=above, **style)
    top = canvas.height_in - legend_in(panel) - 0.08 - below
    for place, note in enumerate(notes):
        place_in = top + ROW_IN * (place + 0.5)
        at = (SIDE_IN / canvas.width_in, 1 - place_in / canvas.height_in)
        canvas.figure.text(*at, note, va="center", fontsize=7.6, color=INK.light)


def _notes(panel: Panel) -> list[str]:
    return [line for note in panel.notes for line in textwrap.wrap(note, CHARACTERS, subsequent_indent="   ")]
