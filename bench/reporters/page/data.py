"""What the page's script works on: rows, columns, cases and plots of a section, as plain JSON values.

Rows are the results that ran, in the order of the table. Each column is one list over all rows, so that a hundred
thousand rows stay small; numbers have six digits, the files of the report have all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attnlab.bench.contract.axes import unique
from attnlab.bench.contract.metric import Value
from attnlab.bench.reporters.model.report import Section
from attnlab.bench.reporters.model.results import Column, Result
from attnlab.bench.reporters.page.commands import again_around

DIGITS = 6


def section_data(section: Section, key: str, results: Sequence[Result], columns: Sequence[Column]) -> dict[str, Any]:
    """Everything but the plots; implementations, cases and outcomes are numbers in the rows, and names once."""
    names = unique(result.implementation for result in results)
    cases = unique(result.case.case_id for result in results)
    outcomes = unique(result.outcome_text for result in results)
    methods = unique(result.method for result in results)
    place = {
        name: {item: n for n, item in enumerate(items)} for name, items in _numbered(names, cases, outcomes, methods)
    }
    return {
        "key": key,
        "operator": section.operator,
        "run": section.run_id,
        "baseline": section.baseline,
        "lengthAxis": section.length_axis,
        "implementations": [{"name": name} for name in names],
        "cases": _cases(cases, results),
        "outcomes": outcomes,
        "columns": [{"name": c.name, "heading": c.heading, "unit": c.unit, "numeric": c.numeric} for c in columns],
        "rows": {
            "implementation": [place["implementation"][r.implementation] for r in results],
            "case": [place["case"][r.case.case_id] for r in results],
            "outcome": [place["outcome"][r.outcome_text] for r in results],
            "method": [place["method"][r.method] for r in results],
            "timed": [int(r.timed) for r in results],
            "state": [_state(r) for r in results],
            "low": [_short(r.interval_ns[0]) if r.interval_ns else None for r in results],
            "high": [_short(r.interval_ns[1]) if r.interval_ns else None for r in results],
            "values": {c.name: [_short(c.value(r)) for r in results] for c in columns},
            "reasons": {str(n): r.reason for n, r in enumerate(results) if r.reason},
            "remarks": _remarks(results),
        },
        "picks": _picks(section, place["case"], place["implementation"]),
        "command": _command(section, results),
    }


def _numbered(*items: Sequence[Any]) -> list[tuple[str, Sequence[Any]]]:
    return list(zip(("implementation", "case", "outcome", "method"), items, strict=True))


def _cases(case_ids: Sequence[str], results: Sequence[Result]) -> list[dict[str, Any]]:
    """Each with its label, and the axes that vary among them."""
    by_id = {result.case.case_id: result for result in results}
    axes = [by_id[case_id].row.measurement.case for case_id in case_ids]
    names = unique(name for values in axes for name in values)
    varying = [name for name in names if len({str(values.get(name)) for values in axes}) > 1]
    return [
        {"id": case_id, "label": by_id[case_id].case.label, "axes": {name: values.get(name) for name in varying}}
        for case_id, values in zip(case_ids, axes, strict=True)
    ]


def _short(value: Value) -> Value:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _state(result: Result) -> str:
    return "wrong" if result.wrong else "passed" if result.passed and result.timed else ""


def _remarks(results: Sequence[Result]) -> dict[str, dict[str, str]]:
    """What is wrong with figures: by column, then by row."""
    found: dict[str, dict[str, str]] = {}
    for number, result in enumerate(results):
        for name, remark in result.remarks.items():
            found.setdefault(name, {})[str(number)] = remark.short
    return found


def _picks(section: Section, cases: Mapping[str, int], names: Mapping[str, int]) -> dict[str, list[int]]:
    """The fastest of each case and those not told apart from it, where two or more were timed and it is known."""
    return {str(cases[p.case.case_id]): [names[name] for name in p.fastest] for p in section.picks if p.fastest}


def _command(section: Section, results: Sequence[Result]) -> list[str]:
    return list(again_around(results[0].row.run, section.operator)) if results else ["", ""]
