"""The first table of a section: each implementation that ran, over all of its cases."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.reporters.model.report import Section
from attnlab.bench.reporters.model.results import BROKEN, Column, Result
from attnlab.bench.reporters.model.words import from_to
from attnlab.bench.store.records import Outcome

ALWAYS = ("share_of_ceiling", "error_of_budget")
WORST = "error_of_budget"  # of which the largest counts, not the range


@dataclass(frozen=True)
class Standing:
    """One row.

    right: on how many cases it is; kind: `passed`, `wrong`, `broken` or `unchecked`. fastest: the number of cases, of
    those where two or more were timed, in which it is the fastest or not told apart from it. figures: a text for each
    column.
    """

    implementation: str
    right: str
    kind: str
    fastest: int
    figures: tuple[str, ...]


def headline_columns(section: Section, columns: Sequence[Column], results: Sequence[Result]) -> tuple[Column, ...]:
    """The operator's headlines, its share of the ceiling and its error, as far as anything has a value."""
    by_name = {column.name: column for column in columns}
    wanted = dict.fromkeys((*section.headlines, *ALWAYS))
    known = (by_name[name] for name in wanted if name in by_name)
    return tuple(column for column in known if any(column.value(result) is not None for result in results))


def standings(section: Section, columns: Sequence[Column]) -> tuple[Standing, ...]:
    """Those to use come first, wrong ones last."""
    by_name: dict[str, list[Result]] = {}
    for result in section.results:
        if result.outcome is not Outcome.UNAVAILABLE:
            by_name.setdefault(result.implementation, []).append(result)
    best_ns = {p.case.case_id: p.best.median_ns or 1.0 for p in section.picks}
    fastest = dict.fromkeys(by_name, 0)
    for pick in section.picks:
        for name in pick.fastest:
            fastest[name] += 1
    rows = [
        Standing(name, *_right(results), fastest[name], tuple(_figure(column, results) for column in columns))
        for name, results in by_name.items()
    ]
    slowness = {name: _slowness(results, best_ns) for name, results in by_name.items()}
    return tuple(sorted(rows, key=lambda row: (row.kind == "wrong", -row.fastest, slowness[row.implementation])))


def _right(results: Sequence[Result]) -> tuple[str, str]:
    passed, total = sum(r.passed for r in results), len(results)
    if wrong := sum(r.wrong for r in results):
        return f"{wrong} of {total} wrong", "wrong"
    if all(r.outcome is Outcome.UNCHECKED for r in results):
        return "unchecked", "unchecked"
    kind = "broken" if any(r.outcome in BROKEN for r in results) else "passed"
    return f"{passed} of {total}", kind


def _slowness(results: Sequence[Result], best_ns: dict[str, float]) -> float:
    """How many times the best's time it takes, by the median over cases."""
    known = [r.median_ns / best_ns[r.case.case_id] for r in results if r.median_ns and r.case.case_id in best_ns]
    return statistics.median(known) if known else float("inf")


def _figure(column: Column, results: Sequence[Result]) -> str:
    """The range over cases; where each value has a remark, that."""
    values = sorted(_values(column, results))
    if not values:
        remarks = [r.remarks[column.name].short for r in results if column.name in r.remarks]
        return remarks[0] if remarks else units.MISSING
    return range_text(values[-1 if column.name == WORST else 0], values[-1], column.unit)


def _values(column: Column, results: Sequence[Result]) -> Iterator[float]:
    for result in results:
        value = column.value(result)
        if isinstance(value, float) and column.name not in result.remarks:
            yield value


def range_text(low: float, high: float, unit: str) -> str:
    """`1.20 to 3.40 ms`: the unit once where it is one."""
    first, last = (units.format_cell(value, unit) for value in (low, high))
    number, _, name = first.partition(" ")
    if first != last and name and last.endswith(f" {name}"):
        first = number
    elif first != last and first.endswith("×"):
        first = first[:-1]
    return from_to([first, last])
