"""HTML: one page that stands alone, with its data, style, script, pictures and plotting library inside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from attnlab.bench import units
from attnlab.bench.contract.axes import unique
from attnlab.bench.reporters.draw.look import TONES, marks
from attnlab.bench.reporters.model.plots import Panel, Plot, panels_each
from attnlab.bench.reporters.model.report import Report, Section
from attnlab.bench.reporters.model.results import Column, Result
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.page.bundle import Bundle, bundle, packed
from attnlab.bench.reporters.page.commands import again
from attnlab.bench.reporters.page.data import section_data
from attnlab.bench.reporters.page.drawings import DrawnPlot, LegendEntry, drawn, legend, template
from attnlab.bench.reporters.page.environment import TEMPLATES, template_environment
from attnlab.bench.reporters.page.lead import lead
from attnlab.bench.reporters.page.standings import Standing, headline_columns, standings
from attnlab.bench.reporters.vega.look import config, on_page
from attnlab.bench.store.records import Outcome
from attnlab.bench.text import cleaned

SCRIPTS = ("numbers", "choice", "rows", "standings", "table", "plots", "controls", "main")
ROWS_A_PAGE = 200
LATENCY, WHOLE_CALL = "latency_ns", "whole call"


@dataclass(frozen=True)
class View:
    """A section as the page shows it.

    key: starts its ids. results: those that ran, ranked; columns: those with a value, among them `headlines`, of which
    `standings` has a figure each. legend: the marks of implementations. lead: the plot of the first screen. studies:
    each with its drawn plots. data: for the script.
    """

    key: str
    section: Section
    results: tuple[Result, ...]
    columns: tuple[Column, ...]
    headlines: tuple[Column, ...]
    standings: tuple[Standing, ...]
    legend: tuple[LegendEntry, ...]
    lead: DrawnPlot | None
    plots: tuple[DrawnPlot, ...]
    studies: tuple[tuple[Study, tuple[DrawnPlot, ...]], ...]
    data: dict[str, Any]

    def again(self, result: Result) -> str:
        """The command that takes the result's figures again."""
        return again(result.row.run, self.section.operator, result.implementation, result.case.case_id)


@dataclass(frozen=True)
class HtmlPage:
    """Escapes every name and reason; a content security policy lets nothing be loaded or injected."""

    name: str = "html"
    suffix: str = ".html"

    def write(self, report: Report, folder: Path) -> list[Path]:
        path = folder / f"index{self.suffix}"
        path.write_text(render(report), encoding="utf-8")
        return [path]


def render(report: Report, library: Bundle | None = None, rows_a_page: int = ROWS_A_PAGE) -> str:
    """The whole page; `library` is that of the plots, the installed one where None."""
    library = library or bundle()
    views = [_view(section, report.columns, f"s{number}") for number, section in enumerate(report.sections)]
    script = "\n".join((TEMPLATES / "scripts" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(async () => {{\n{script}}})();\n'
    data = {"rowsPerPage": rows_a_page, "config": config(on_page), "sections": [view.data for view in views]}
    return (
        template_environment()
        .get_template("page.html")
        .render(
            report=report,
            views=views,
            light={tone.variable: tone.light for tone in TONES},
            dark={tone.variable: tone.dark for tone in TONES},
            data=packed(json.dumps(cleaned(data), separators=(",", ":"), ensure_ascii=False)),
            library=library,
            script=Markup(script),
            digests=[_digest(script), *([library.digest] if library else [])],
            units=units,
            rows_a_page=rows_a_page,
            definitions=_definitions(report, views),
        )
    )


def _definitions(report: Report, views: Sequence[View]) -> list[Column]:
    """Every column once by its heading; that of a length may have two."""
    streamed = [column for view in views for column in view.columns if column.name == LATENCY]
    found = {column.heading: column for column in (*streamed, *report.columns)}
    return list(found.values())


def _digest(script: str) -> str:
    """As a content security policy names what may run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _view(section: Section, columns: Sequence[Column], key: str) -> View:
    results = tuple(_ranked(section))
    named = (_named(column, section) for column in columns)
    known = tuple(column for column in named if any(column.value(result) is not None for result in results))
    headlines = headline_columns(section, known, results)
    section = _whole_calls(section) if section.streams else section
    first = lead(section, known)
    places = {(r.implementation, r.case.case_id): number for number, r in enumerate(results)}
    names = unique([*section.drawn, *(first.drawn if first else ())])
    others = _others(section.plots, first)
    most = panels_each([*others, *(plot for study in section.studies for plot in study.plots)])
    plots = tuple(drawn(plot, names, key, places, most) for plot in others)
    studies = tuple(
        (study, tuple(drawn(plot, plot.drawn, f"{key}-study{number}", places, most) for plot in study.plots))
        for number, study in enumerate(section.studies, start=1)
    )
    shown = None if first is None else drawn(first, names, f"{key}-lead", places, most)
    data = section_data(section, key, results, known)
    data["headlines"] = [column.name for column in headlines]
    data["plots"] = _specs([*([shown] if shown else []), *plots, *(plot for _, some in studies for plot in some)])
    data["templates"] = _templates(section, names)
    rows = standings(section, headlines)
    return View(key, section, results, known, headlines, rows, legend(marks(names)), shown, plots, studies, data)


def _named(column: Column, section: Section) -> Column:
    """The length of a call that streams its results is called so."""
    return replace(column, label=WHOLE_CALL) if column.name == LATENCY and section.streams else column


def _whole_calls(section: Section) -> Section:
    """With plots that call the length of a call so, too."""

    def named(panel: Panel) -> Panel:
        x, y = (WHOLE_CALL if label == "latency" else label for label in (panel.x_label, panel.y_label))
        return replace(panel, x_label=x, y_label=y)

    def renamed(plot: Plot) -> Plot:
        if not any(panel.metric == LATENCY for panel in plot.panels):
            return plot
        return replace(plot, title=WHOLE_CALL.capitalize(), panels=tuple(map(named, plot.panels)))

    return replace(section, plots=tuple(map(renamed, section.plots)))


def _others(plots: Sequence[Plot], first: Plot | None) -> list[Plot]:
    """The plots without the panel that leads the section."""
    led = first.panels[0] if first else None
    left = [replace(plot, panels=tuple(p for p in plot.panels if p is not led)) for plot in plots]
    return [plot for plot in left if plot.panels]


def _specs(plots: Sequence[DrawnPlot]) -> dict[str, Any]:
    return {d.key: d.spec for plot in plots for d in plot.drawings if d.spec is not None}


def _templates(section: Section, names: Sequence[str]) -> dict[str, Any]:
    """By metric: the specification for lines over another axis than the length."""
    made = (template(plot, names) for plot in section.plots)
    return {spec["usermeta"]["metric"]: spec for spec in made if spec is not None}


def _ranked(section: Section) -> list[Result]:
    """What ran, case by case, the fastest first and what has no time last."""
    place = {case.case_id: position for position, case in enumerate(section.cases)}
    ran = [result for result in section.results if result.outcome is not Outcome.UNAVAILABLE]
    return sorted(ran, key=lambda r: (place[r.case.case_id], r.median_ns or float("inf")))


REPORTER = HtmlPage()
