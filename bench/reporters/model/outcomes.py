"""The matrix of implementation by case, and the reasons of all that did not pass or was not timed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from attnlab.bench.reporters.model.cases import CaseFamily, CaseRef, describe
from attnlab.bench.reporters.model.results import BROKEN, WRONG, Result
from attnlab.bench.reporters.model.words import Sentence, sentence
from attnlab.bench.store.records import Outcome
from attnlab.bench.text import one_line

ABSENT = "not measured"
UNKNOWN = "no reason was stored"


@dataclass(frozen=True)
class Cell:
    """One outcome: kind is `passed`, `untimed`, `unchecked`, `wrong`, `broken`, `unavailable` or `absent`."""

    kind: str
    text: str
    reason: str | None


@dataclass(frozen=True)
class MatrixRow:
    implementation: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Reason:
    """Why one implementation did not pass, or was not timed, on some cases.

    general: the text without the values of the case's axes, `cache … is not served`. detail: traceback, and
    what was printed.
    """

    implementation: str
    kind: str
    outcome: str
    text: str
    general: str
    where: Sentence
    cases: tuple[CaseRef, ...]
    detail: str | None


def kind_of(result: Result) -> str:
    if result.passed:
        return "passed" if result.timed else "untimed"
    if result.outcome is Outcome.UNCHECKED:
        return "unchecked"
    if result.outcome in WRONG:
        return "wrong"
    return "broken" if result.outcome in BROKEN else Outcome.UNAVAILABLE.value


def matrix(implementations: Sequence[str], cases: Sequence[CaseRef], results: Sequence[Result]) -> list[MatrixRow]:
    found = {(r.implementation, r.case.case_id): r for r in results}
    return [
        MatrixRow(implementation, tuple(_cell(found.get((implementation, case.case_id))) for case in cases))
        for implementation in implementations
    ]


def _cell(result: Result | None) -> Cell:
    if result is None:
        return Cell("absent", ABSENT, None)
    return Cell(kind_of(result), result.outcome_text, result.reason)


def reasons(
    implementations: Sequence[str], families: Sequence[CaseFamily], axis: str | None, results: Sequence[Result]
) -> list[Reason]:
    """One for each implementation, outcome and reason, in the order of the implementations."""
    grouped: dict[tuple[str, str, str, str], list[Result]] = {}
    for result in results:
        if not result.timed:
            key = (result.implementation, kind_of(result), result.outcome_text, _group(result))
            grouped.setdefault(key, []).append(result)
    place = {name: position for position, name in enumerate(implementations)}
    return [
        Reason(
            implementation,
            kind,
            outcome,
            one_line(members[0].reason or "") or UNKNOWN,
            _general(members[0]) or UNKNOWN,
            sentence(describe([r.case for r in members], families, axis)),
            tuple(r.case for r in members),
            next(filter(None, map(_detail, members)), None),
        )
        for (implementation, kind, outcome, _), members in sorted(
            grouped.items(), key=lambda item: place.get(item[0][0], len(place))
        )
    ]


def _general(result: Result) -> str:
    text = one_line(result.reason or "")
    for axis, value in result.row.measurement.case.items():
        text = re.sub(rf"\b{re.escape(f'{axis} {value}')}(?![\w.:])", f"{axis} …", text)
    return text


def _detail(result: Result) -> str | None:
    """The traceback, and what the process printed meanwhile."""
    m = result.row.measurement
    printed = f"Its process printed:\n{m.printed}" if m.printed else None
    return "\n\n".join(filter(None, (m.detail, printed))) or None


def _group(result: Result) -> str:
    """Wrong values differ in their figures from case to case: one reason stands for all."""
    return "" if result.wrong else one_line(result.reason or "")
