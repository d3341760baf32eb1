"""HTML: one page that stands alone, with its style, script and pictures inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from attnlab.bench import units
from attnlab.bench.reporters.draw.look import TONES, marks
from attnlab.bench.reporters.model.plots import Plot
from attnlab.bench.reporters.model.report import Report, Section
from attnlab.bench.reporters.model.results import Column, Result
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.store.records import Outcome

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Drawing:
    """One panel as inline SVG, and what it shows in words."""

    svg: Markup
    description: str


@dataclass(frozen=True)
class DrawnPlot:
    title: str
    caption: str
    drawings: tuple[Drawing, ...]


@dataclass(frozen=True)
class View:
    """A section with its drawings; `key` starts its ids, `results` are those that ran, `columns` those with a value.

    studies: each with its drawn plots.
    """

    key: str
    section: Section
    plots: tuple[DrawnPlot, ...]
    results: tuple[Result, ...]
    columns: tuple[Column, ...]
    studies: tuple[tuple[Study, tuple[DrawnPlot, ...]], ...]


@dataclass(frozen=True)
class HtmlPage:
    """Escapes every name and reason; a content security policy lets nothing be loaded or injected."""

    name: str = "html"
    suffix: str = ".html"

    def write(self, report: Report, folder: Path) -> list[Path]:
        path = folder / f"index{self.suffix}"
        path.write_text(render(report), encoding="utf-8")
        return [path]


def render(report: Report) -> str:
    """The whole page."""
    environment = _environment()
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        report=report,
        views=[_view(section, report.columns, f"s{number}") for number, section in enumerate(report.sections)],
        light={tone.variable: tone.light for tone in TONES},
        dark={tone.variable: tone.dark for tone in TONES},
        script=Markup(script),
        script_digest=digest,
        units=units,
        sort_key=_sort_key,
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _view(section: Section, columns: Sequence[Column], key: str) -> View:
    results = tuple(_ranked(section))
    return View(
        key,
        section,
        tuple(_drawn(plot, section.drawn, key) for plot in section.plots),
        results,
        tuple(column for column in columns if any(column.value(result) is not None for result in results)),
        tuple((study, tuple(_drawn(plot, plot.drawn, key) for plot in study.plots)) for study in section.studies),
    )


def _drawn(plot: Plot, names: Sequence[str], key: str) -> DrawnPlot:
    from attnlab.bench.reporters.draw.figures import inline_svg

    look = marks(names)
    drawings = [
        Drawing(Markup(inline_svg(panel, look, f"{key}-{plot.name}-{number}")), panel.description)
        for number, panel in enumerate(plot.panels)
    ]
    return DrawnPlot(plot.title, plot.caption, tuple(drawings))


def _ranked(section: Section) -> list[Result]:
    """What ran, case by case, the fastest first and what has no time last."""
    place = {case.case_id: position for position, case in enumerate(section.cases)}
    ran = [result for result in section.results if result.outcome is not Outcome.UNAVAILABLE]
    return sorted(ran, key=lambda r: (place[r.case.case_id], r.median_ns or float("inf")))


def _sort_key(column: Column, result: Result) -> str:
    """What the page's script sorts by: a plain number or a word; empty sorts last."""
    value = column.value(result)
    return "" if value is None else value if isinstance(value, str) else repr(value)


REPORTER = HtmlPage()
