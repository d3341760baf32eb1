"""What HTTP itself costs: each endpoint beside the same load on the same engine in its process, round by round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.reporters.model.logged import Figure, first_token_ns, gap_ns, whole_ns
from attnlab.bench.reporters.model.plots import Curve, Panel, PlotPoint
from attnlab.bench.reporters.model.serving.results import IN_PROCESS, ServedResult
from attnlab.bench.reporters.model.studies import StudyTable
from attnlab.bench.reporters.model.studies._paired import by_case, ratio_text
from attnlab.bench.reporters.model.words import Sentence, from_to, listed, name, sentence
from attnlab.bench.stats.rounds import Difference
from attnlab.bench.text import count

FIGURES: dict[str, Figure] = {"TTFT": first_token_ns, "ITL": gap_ns, "whole load": whole_ns}
WORDS = {"TTFT": "to the first token", "ITL": "to a gap"}
CAPTION = (
    "Paired: the median over rounds in which both took turns, with its 95 % interval. The engine in process is asked "
    "for the same prompts at the same times."
)


@dataclass(frozen=True)
class Beside:
    """An endpoint and the engine in process, on one case."""

    endpoint: ServedResult
    engine: ServedResult

    @property
    def figures(self) -> dict[str, Figure]:
        """Those of which something can be said: an open load lasts as long as its requests take to come."""
        closed = not self.endpoint.case.load.is_open
        return {key: figure for key, figure in FIGURES.items() if key in WORDS or closed}


def pairs(found: Sequence[ServedResult]) -> list[Beside]:
    made = []
    for members in by_case(found):
        engine = next((r for r in members if r.implementation == IN_PROCESS), None)
        made += [Beside(r, engine) for r in members if engine is not None and r is not engine]
    return made


def http_sentences(found: Sequence[Beside]) -> Iterator[Sentence]:
    """One for each endpoint, over all of its loads."""
    for endpoint in dict.fromkeys(beside.endpoint.implementation for beside in found):
        mine = [beside for beside in found if beside.endpoint.implementation == endpoint]
        told, loads = [], 0
        for key, words in WORDS.items():
            added = [one for beside in mine if (one := beside.endpoint.beyond(beside.engine, FIGURES[key])) is not None]
            loads = max(loads, len(added))
            if added:
                told.append(f"{_over_loads(added)} {words}")
        if told:
            over = f", over {count(loads, 'load')}" if loads > 1 else ""
            yield sentence(
                "Beside the same engine in its process, HTTP by ", name(endpoint), f" adds {listed(told)}{over}."
            )


def _over_loads(added: Sequence[Difference]) -> str:
    """With its interval where it is one, else the least and the most of the medians."""
    if len(added) == 1:
        return added_text(added[0])
    return from_to([units.format_time(value) for value in sorted(one.median for one in added)])


def added_text(added: Difference) -> str:
    """`1.20 ms (1.10 to 1.40 ms)`; without an interval where there are too few rounds for one."""
    middle = units.format_time(added.median)
    if added.low is None or added.high is None:
        return middle
    return f"{middle} ({units.format_time(added.low)} to {units.format_time(added.high)})"


def http_tables(found: Sequence[Beside]) -> Iterator[StudyTable]:
    rows = []
    for beside in found:
        for key, figure in beside.figures.items():
            added = beside.endpoint.beyond(beside.engine, figure)
            if added is not None:
                rows.append(
                    (
                        f"{beside.endpoint.implementation}, {beside.endpoint.label}",
                        key,
                        *(_middle(side, figure) for side in (beside.engine, beside.endpoint)),
                        added_text(added),
                        ratio_text(beside.engine.over(beside.endpoint, figure)),
                    )
                )
    if rows:
        headings = ("result", "figure", "in process", "over HTTP", "HTTP adds", "times as long")
        yield StudyTable("What HTTP costs", CAPTION, headings, tuple(rows))


def _middle(side: ServedResult, figure: Figure) -> str:
    rounds = side.rounds(figure)
    return units.format_time(sorted(r.value for r in rounds)[len(rounds) // 2]) if rounds else units.MISSING


def http_panels(found: Sequence[Beside]) -> Iterator[Panel]:
    """A row for each case and figure; right of 1 is slower over HTTP."""
    rows: list[str] = []
    points: dict[str, list[PlotPoint]] = {}
    for beside in found:
        for key, figure in beside.figures.items():
            taken = beside.engine.over(beside.endpoint, figure)
            if taken is None:
                continue
            row = f"{key}, {beside.endpoint.label}"
            if row not in rows:
                rows.append(row)
            r = beside.endpoint
            point = PlotPoint(
                taken.median, rows.index(row), taken.low, taken.high, r.implementation, r.result.case.case_id
            )
            points.setdefault(r.implementation, []).append(point)
    if points:
        curves = tuple(Curve(key, tuple(members)) for key, members in points.items())
        yield Panel(
            "dots",
            "beside the engine in process",
            "time over HTTP",
            "",
            "ratio",
            curves,
            tuple(rows),
            1.0,
            "in process",
        )
