"""The plot beside the first table: that of a study that leads, or the first headline, where most can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint
from attnlab.bench.reporters.model.report import Section
from attnlab.bench.reporters.model.results import Column, Result

KINDS = ("lines", "dots")
MOST_ROWS = 7  # cases in a plot of one headline


def lead(section: Section, columns: Sequence[Column]) -> Plot | None:
    """One panel; None where nothing was measured of the headline.

    It is the first panel of a study that leads; else the section's panel of that metric with most points, over lengths
    where there are any, or one of its own.
    """
    for study in section.studies:
        if study.leads and study.plots:
            return replace(study.plots[0], panels=study.plots[0].panels[:1])
    headline = section.headlines[0]
    found = [(plot, p) for plot in section.plots for p in plot.panels if p.metric == headline and p.kind in KINDS]
    if found:
        plot, fullest = max(found, key=lambda pair: (pair[1].kind == "lines", _points(pair[1])))
        return replace(plot, panels=(fullest,))
    column = next((column for column in columns if column.name == headline), None)
    panel = _by_case(section, column) if column is not None else None
    if column is None or panel is None:
        return None
    better = column.definition.partition(". ")[0]
    return Plot("lead", column.label, f"{better}.", (panel,))


def _points(panel: Panel) -> int:
    return sum(len(curve.points) for curve in panel.curves)


def _by_case(section: Section, column: Column) -> Panel | None:
    """The cases with most implementations, a row each."""
    by_case: dict[str, list[Result]] = {}
    for result in section.results:
        if isinstance(column.value(result), float):
            by_case.setdefault(result.case.case_id, []).append(result)
    labels = {result.case.case_id: result.case.label for result in section.results}
    rows = sorted(by_case, key=lambda case_id: -len(by_case[case_id]))[:MOST_ROWS]
    if not rows:
        return None
    curves = []
    for name in section.implementations:
        points = tuple(
            PlotPoint(float(value), float(place), None, None, name, case_id)
            for place, case_id in enumerate(rows)
            for result in by_case[case_id]
            if result.implementation == name and isinstance(value := column.value(result), float) and value > 0
        )
        if points:
            curves.append(Curve(name, points))
    if not curves:
        return None
    title = "by case" if len(rows) == len(by_case) else f"the {len(rows)} cases that most ran"
    return Panel(
        "dots",
        title,
        column.label,
        "",
        column.unit,
        tuple(curves),
        tuple(labels[case_id] for case_id in rows),
        metric=column.name,
    )
