"""Two machines side by side: both times and their ratio, and no verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.analysis.compare import Comparison, compare
from attnlab.bench.reporters.model.among import RunAmong, only_of
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, compared
from attnlab.bench.reporters.model.studies import Study, StudyTable
from attnlab.bench.reporters.model.words import name, sentence
from attnlab.bench.store.run_folder import StoredRun
from attnlab.bench.text import count

ROWS_A_PANEL = 12


def beside(among: RunAmong) -> Iterator[Study]:
    """A study for each other machine whose run was given before this one."""
    for number, other in enumerate(among.others(), start=1):
        sides = only_of(other, among.operator), only_of(among.stored, among.operator)
        every = compare([sides[0]], [sides[1]])
        known = [c for c in every if c.ratio is not None]
        if known:
            yield _study(among, other, known, len(every) - len(known), number)


def _study(among: RunAmong, other: StoredRun, known: Sequence[Comparison], without: int, number: int) -> Study:
    there, here = _called(other), _called(among.stored)
    if there == here:
        there, here = (f"{_called(one)} ({one.run.run_id})" for one in (other, among.stored))
    words = sentence(
        "Two machines: ratios are of the machines, and there is no verdict; ",
        name(there),
        " and ",
        name(here),
        f" have {count(len(known), 'figure')} in common.",
    )
    rows = tuple(
        (c.implementation, _case(among, c), *_values(c), units.format_ratio(c.ratio))
        for c in sorted(known, key=lambda c: (list(among.cases).index(c.case_id), c.implementation))
    )
    left = f" {count(without, 'benchmark')} cannot be set side by side." if without else ""
    caption = f"The ratio is the time of {here} over that of {there}.{left}"
    headings = ("implementation", "case", there, here, "ratio")
    title = f"Beside {there}"
    plot = Plot(
        "machines" if number == 1 else f"machines-{number}",
        "Two machines",
        caption,
        compared(list(_panels(among, known))),
    )
    return Study(title, (words,), (StudyTable(title, caption, headings, rows),), (plot,) if plot.says_something else ())


def _called(stored: StoredRun) -> str:
    return stored.run.environment.device.told


def _case(among: RunAmong, c: Comparison) -> str:
    return among.label(c.case_id) if c.figure is None else f"{among.label(c.case_id)}: {c.figure}"


def _values(c: Comparison) -> tuple[str, str]:
    pair = (c.base_ns, c.head_ns) if c.figure is None else (c.base_value, c.head_value)
    return units.format_value(pair[0], c.unit), units.format_value(pair[1], c.unit)


def _panels(among: RunAmong, known: Sequence[Comparison]) -> Iterator[Panel]:
    """The ratio of times, case by case."""
    times = [c for c in known if c.figure is None and c.ratio]
    cases = [case_id for case_id in among.cases if any(c.case_id == case_id for c in times)]
    for start in range(0, len(cases), ROWS_A_PANEL):
        rows = cases[start : start + ROWS_A_PANEL]
        curves: dict[str, list[PlotPoint]] = {}
        for c in times:
            if c.case_id in rows:
                place = float(rows.index(c.case_id))
                point = PlotPoint(c.ratio or 0.0, place, None, None, c.implementation, c.case_id)
                curves.setdefault(c.implementation, []).append(point)
        made = tuple(Curve(implementation, tuple(points)) for implementation, points in curves.items())
        labels = tuple(map(among.label, rows))
        yield Panel("dots", "ratio of times", "ratio of times", "", "ratio", made, labels, 1.0, "as fast")
