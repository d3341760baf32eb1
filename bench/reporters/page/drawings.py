"""Plots of a page: each panel as a picture, which needs no script, and as a specification, which can be touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from attnlab.bench.reporters.draw.look import Mark, marks
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint
from attnlab.bench.reporters.vega import panel_spec
from attnlab.bench.reporters.vega.look import SHAPES, on_page
from attnlab.bench.text import count, printable

MOST_POINTS = 600  # of one panel; a picture takes a millisecond for each

RowNumbers = Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class LegendEntry:
    """A name of a curve with its mark: a path in a box from -1 to 1, and a colour of the page."""

    name: str
    shape: str
    colour: str


@dataclass(frozen=True)
class Drawing:
    """One panel: `key` is its id; `spec` is None where it is a picture alone."""

    key: str
    title: str
    svg: Markup
    description: str
    spec: dict[str, Any] | None


@dataclass(frozen=True)
class DrawnPlot:
    """left_out: what of it is not drawn, in words, or empty."""

    key: str
    title: str
    caption: str
    left_out: str
    legend: tuple[LegendEntry, ...]
    drawings: tuple[Drawing, ...]


def drawn(plot: Plot, names: Sequence[str], key: str, rows: RowNumbers, most: int) -> DrawnPlot:
    """names: of all curves that have a mark, in order. rows: the number of a result's row, by implementation, case.

    most: so many panels are drawn, and no more.
    """
    from attnlab.bench.reporters.draw.figures import inline_svg

    look = marks(names)
    key = f"{key}-{plot.name}"
    thin = [_thinned(panel) for panel in plot.panels[:most]]
    drawings = [
        Drawing(
            f"{key}-{number}",
            panel.title,
            Markup(printable(inline_svg(panel, look, f"{key}-{number}"))),
            panel.description,
            _spec(panel, look, rows),
        )
        for number, panel in enumerate(thin)
    ]
    shown = set(plot.drawn)
    marked = legend({name: mark for name, mark in look.items() if name in shown})
    return DrawnPlot(key, plot.title, plot.caption, _left_out(plot, thin), marked, tuple(drawings))


def legend(look: Mapping[str, Mark]) -> tuple[LegendEntry, ...]:
    return tuple(LegendEntry(name, SHAPES[mark.marker], on_page(mark.colour)) for name, mark in look.items())


def _left_out(plot: Plot, thin: Sequence[Panel]) -> str:
    told = []
    if len(plot.panels) > len(thin):
        told.append(f"{len(thin)} of {count(len(plot.panels), 'panel')} are drawn.")
    if any(_points(before) > _points(after) for before, after in zip(plot.panels, thin, strict=False)):
        told.append(f"Of panels with more than {MOST_POINTS} points some are drawn, evenly chosen.")
    return " ".join(told)


def _points(panel: Panel) -> int:
    return sum(len(curve.points) for curve in panel.curves)


def _thinned(panel: Panel) -> Panel:
    """At most so many points, evenly chosen of every curve."""
    step = -(-_points(panel) // MOST_POINTS)
    if step <= 1:
        return panel
    return replace(panel, curves=tuple(Curve(c.name, c.points[::step], c.wrong) for c in panel.curves))


def _spec(panel: Panel, look: Mapping[str, Mark], rows: RowNumbers) -> dict[str, Any] | None:
    """The panel's specification without what all have in common, and with numbers of rows for results."""
    spec = panel_spec(panel, look, on_page)
    if spec is None:
        return None
    for common in ("$schema", "config", "description"):
        spec.pop(common)
    for value in spec["data"]["values"]:
        result = value.pop("implementation", ""), value.pop("case", "")
        if (number := rows.get(result)) is not None:
            value["r"] = number
    return spec


def template(plot: Plot, names: Sequence[str]) -> dict[str, Any] | None:
    """The specification of lines for another axis than the length, without values; None of plots of no one metric."""
    panel = next((p for p in plot.panels if p.metric and p.kind in ("lines", "dots")), None)
    if panel is None:
        return None
    curves = tuple(Curve(name, (PlotPoint(1.0, 1.0, 1.0, 1.0, name, "any"),)) for name in names)
    lines = Panel(
        "lines",
        "",
        "",
        panel.y_label if panel.kind == "lines" else panel.x_label,
        panel.unit,
        curves,
        reference=panel.reference,
        metric=panel.metric,
        extent=panel.extent or (min(panel.values), max(panel.values)),
    )
    spec = _spec(lines, marks(names), {})
    if spec is not None:
        spec["data"]["values"] = []
        spec["encoding"]["y"]["scale"].pop("domain", None)
    return spec
