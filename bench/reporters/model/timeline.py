"""The history of a run's benchmarks on its machine, with the changes of level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from attnlab.bench.analysis.history.differences import explain
from attnlab.bench.analysis.history.lines import BenchmarkHistory, Change, HistoryLine
from attnlab.bench.analysis.history.words import size_of
from attnlab.bench.reporters.model.among import RunAmong
from attnlab.bench.reporters.model.plots import Callout, Curve, Panel, Plot, PlotPoint
from attnlab.bench.reporters.model.studies import Study, StudyTable
from attnlab.bench.reporters.model.words import Sentence, sentence
from attnlab.bench.stats.changepoints import MIN_VALUES
from attnlab.bench.store.machine import UNTOLD
from attnlab.bench.store.run_folder import StoredRun
from attnlab.bench.text import count

LEAST_RUNS = 3  # two are told by what moved since the last one
MOST_PANELS = 12
CAPTION = "Each run's figure, of a time with its interval; runs in order and not to scale in time."


@dataclass(frozen=True)
class _Own:
    """One benchmark and its line that leads to this run."""

    benchmark: BenchmarkHistory
    line: HistoryLine


def history(among: RunAmong) -> Study | None:
    """None before the third run on a machine, and where a later run of the report shows it."""
    if not among.newest or len(among.until_now) < LEAST_RUNS:
        return None
    own = list(_own(among))
    if not own:
        return None
    places = {one.run.run_id: place for place, one in enumerate(among.until_now)}
    grouped: dict[tuple[str, str], list[_Own]] = {}
    for one in own:
        grouped.setdefault((one.benchmark.case_id, one.benchmark.metric.name), []).append(one)
    ranked = sorted(grouped.items(), key=lambda item: -sum(len(one.line.changes) for one in item[1]))
    columns = _columns(among.until_now)
    panels = [_panel(among.label(case_id), found, places, columns) for (case_id, _), found in ranked[:MOST_PANELS]]
    plot = Plot("history", "History", CAPTION, tuple(panels))
    left = len(ranked) - len(panels)
    table = tuple(_table(among, own))
    return Study(f"History on {_machine(among)}", (_words(among, own, left),), table, (plot,))


def _machine(among: RunAmong) -> str:
    told = among.stored.run.environment.device.told
    return told if told == UNTOLD else "this machine"


def _own(among: RunAmong) -> Iterator[_Own]:
    for found in among.histories():
        for line in found.lines:
            ids = {point.run.run_id for point in line.points}
            if among.stored.run.run_id in ids and len(line.points) >= LEAST_RUNS:
                yield _Own(found, line)


def _words(among: RunAmong, own: Sequence[_Own], left: int) -> Sentence:
    runs = among.until_now
    told = (
        f"Over {len(runs)} runs on {_machine(among)}, from {runs[0].run.started[:10]} to {runs[-1].run.started[:10]}, "
    )
    changed = [one for one in own if one.line.changes]
    searched = [one for one in own if one.line.searched]
    if not searched:
        return sentence(f"{told}no benchmark has the {MIN_VALUES} times that a change of level needs to show.")
    more = f"; {count(left, 'case')} without a picture changed least" if left else ""
    return sentence(f"{told}{len(changed)} of {count(len(searched), 'benchmark')} changed level{more}.")


def _table(among: RunAmong, own: Sequence[_Own]) -> Iterator[StudyTable]:
    rows = [
        (
            one.benchmark.implementation,
            among.label(one.benchmark.case_id),
            f"{change.before.run.started[:10]} to {change.after.run.started[:10]}",
            size_of(change),
            explain(change.differences),
        )
        for one in own
        for change in one.line.changes
    ]
    if rows:
        caption = "Where the level changes, and what was recorded otherwise from there on."
        yield StudyTable(
            "Changes of level", caption, ("implementation", "case", "between", "change", "with"), tuple(rows)
        )


def _columns(runs: Sequence[StoredRun]) -> tuple[str, ...]:
    """Days, or times where all are of one day."""
    days = [one.run.started[:10] for one in runs]
    return tuple(days if len(set(days)) > 1 else [one.run.started[11:16] for one in runs])


def _panel(title: str, own: Sequence[_Own], places: Mapping[str, int], columns: tuple[str, ...]) -> Panel:
    metric = own[0].benchmark.metric
    curves = []
    for one in own:
        points = (
            PlotPoint(
                places[p.run.run_id],
                p.value,
                p.interval and p.interval[0],
                p.interval and p.interval[1],
                one.benchmark.implementation,
                one.benchmark.case_id,
            )
            for p in one.line.points
        )
        curves.append(Curve(one.benchmark.implementation, tuple(points)))
    events: dict[tuple[str, str], list[tuple[_Own, Change]]] = {}
    for one in own:
        for change in one.line.changes:
            events.setdefault((change.before.run.run_id, change.after.run.run_id), []).append((one, change))
    callouts, notes = [], []
    for number, (between, members) in enumerate(sorted(events.items(), key=lambda e: places[e[0][1]]), start=1):
        callouts.append(Callout((places[between[0]] + places[between[1]]) / 2, str(number)))
        sizes = ", ".join(f"{one.benchmark.implementation} {size_of(change)}" for one, change in members)
        notes.append(f"{number}  {sizes}: {explain(members[0][1].differences)}")
    return Panel(
        "timeline",
        title,
        "run",
        metric.label,
        metric.unit,
        tuple(curves),
        columns=columns,
        callouts=tuple(callouts),
        notes=tuple(notes),
        metric=metric.name,
    )
