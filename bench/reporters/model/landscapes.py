"""A search of configurations in a report: who won, a heat map of times over the built-in one's, and a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.analysis.landscape import Candidate, Landscape, landscapes
from attnlab.bench.contract.space import label
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, compared
from attnlab.bench.reporters.model.studies import Study, StudyTable
from attnlab.bench.reporters.model.words import Sentence, known, sentence
from attnlab.bench.stats.rounds import Ratio
from attnlab.bench.store.run_folder import StoredRun
from attnlab.bench.text import count

MOST_ROWS = 40
CAPTION = (
    "Time over that of the built-in configuration, from bursts that both took in turn; lighter is better. What was "
    "wrong, failed or was left out has no cell."
)


def found_by_search(stored: StoredRun, operator: str) -> tuple[Study, ...]:
    """A study of each case of a search; () of another run."""
    own = (one for one in landscapes(stored) if one.tuning.operator == operator)
    return tuple(_study(one, number) for number, one in enumerate(own))


def _study(landscape: Landscape, number: int) -> Study:
    case = landscape.case
    words = [_verdict(landscape), *_counts(landscape)]
    plot = Plot(f"landscape-{number + 1}", f"Landscape of {case.case_id}", CAPTION, compared(list(_maps(landscape))))
    tables = [_table(landscape), *([_left_out(landscape)] if case.left_out else [])]
    plots = (plot,) if plot.panels and plot.says_something else ()
    title = f"Configurations of {landscape.tuning.implementation} on {case.case_id}"
    return Study(title, tuple(words), tuple(tables), plots)


def _verdict(landscape: Landscape) -> Sentence:
    winner, built_in = landscape.winner, label(landscape.default.configuration)
    if winner is not None and winner.fresh is not None:
        share = units.format_ratio(winner.fresh.median)
        return sentence(
            f"Fastest is {label(winner.configuration)}: {share} the time of the built-in {built_in}, by "
            f"{count(winner.fresh.rounds, 'round')} of fresh processes",
            *_between(winner.fresh),
            ".",
        )
    if landscape.unfinished:
        return sentence(f"The search is not at its end: {count(landscape.unfinished, 'candidate')} not measured yet.")
    return sentence(f"None is shown to be faster than the built-in {built_in}.")


def _between(ratio: Ratio) -> list[str]:
    low = known("{}", ratio.low, units.three_digits)
    return [f" (95 %: {low[0]} to {units.three_digits(ratio.high)})"] if low and ratio.high is not None else []


def _counts(landscape: Landscape) -> Iterator[Sentence]:
    tuning = landscape.tuning
    stopped = sum(one.stopped for one in landscape.candidates)
    faulty = [one for one in landscape.candidates if one.faulty]
    tried = count(len(landscape.candidates) - landscape.unfinished, "configuration")
    yield sentence(
        f"{tried} measured, of which {stopped} were stopped early, {len(landscape.finalists)} met the built-in one in "
        f"fresh processes, and {len(faulty)} did not pass. The best is stopped early in at most "
        f"{100 * tuning.alpha:g} % of searches; so often at most is a winner no faster than the built-in one."
    )


def _maps(landscape: Landscape) -> Iterator[Panel]:
    """The two names with the most values, across and up; of the others each cell has the best."""
    axes = sorted(landscape.tuning.axes.items(), key=lambda item: -len(item[1]))
    if len(axes) < 2 or len(axes[1][1]) < 2:
        return
    (across, columns), (up, rows) = sorted(axes[:2], key=lambda item: list(landscape.tuning.axes).index(item[0]))
    best: dict[tuple[str, str], Candidate] = {}
    for one in reversed(landscape.ranked):
        if _raced(one) is not None:
            best[str(one.configuration[across]), str(one.configuration[up])] = one
    names = tuple(dict.fromkeys(map(str, columns))), tuple(dict.fromkeys(map(str, rows)))
    points = tuple(
        _cell(one, float(names[0].index(x)), float(names[1].index(y)), landscape)
        for (x, y), one in best.items()
        if x in names[0] and y in names[1]
    )
    others = [name for name, values in axes[2:] if len(values) > 1]
    title = landscape.case.case_id + (f", the best over {', '.join(others)}" if others else "")
    if points:
        curve = Curve(landscape.tuning.implementation, points)
        yield Panel("map", title, across, up, "ratio", (curve,), rows=names[1], columns=names[0])


def _raced(one: Candidate) -> float | None:
    """Its time over the built-in one's within one process, as those that met in no fresh ones have it too."""
    if one.ratio is None or one.is_default:
        return one.ratio
    return None if one.over_default is None else one.over_default.median


def _cell(one: Candidate, x: float, y: float, landscape: Landscape) -> PlotPoint:
    ratio = _raced(one)
    mark = " ★" if one is landscape.winner else ""
    return PlotPoint(x, y, None, None, one.name, landscape.case.case_id, ratio, f"{units.format_ratio(ratio)}{mark}")


def _table(landscape: Landscape) -> StudyTable:
    names = list(landscape.tuning.axes)
    ranked = landscape.ranked
    rows = [_row(one, names, landscape) for one in ranked[:MOST_ROWS]]
    more = f" {len(ranked) - MOST_ROWS} more are in the run." if len(ranked) > MOST_ROWS else ""
    headings = ("configuration", "time", "over built-in", "95 % interval", "in fresh processes", "95 % interval", "")
    caption = f"Ratios are times over that of the built-in configuration, by bursts or rounds in turn.{more}"
    return StudyTable("Configurations", caption, headings, tuple(rows))


def _row(one: Candidate, names: Sequence[str], landscape: Landscape) -> tuple[str, ...]:
    time = units.format_time(one.measured.median_ns if one.measured else None)
    said = label({name: one.configuration[name] for name in names})
    return said, time, *_figures(one.over_default), *_figures(one.fresh), _state(one, landscape)


def _figures(ratio: Ratio | None) -> tuple[str, str]:
    if ratio is None:
        return units.MISSING, units.MISSING
    ends = [units.three_digits(end) for end in (ratio.low, ratio.high) if end is not None]
    return units.format_ratio(ratio.median), " to ".join(ends) if len(ends) == 2 else units.MISSING


def _state(one: Candidate, landscape: Landscape) -> str:
    if one is landscape.winner:
        return "winner"
    if one.is_default:
        return "built in"
    if one.measured is None:
        return "not measured yet"
    if one.faulty:
        return one.measured.outcome.value
    return "stopped early" if one.stopped else ""


def _left_out(landscape: Landscape) -> StudyTable:
    rows = tuple((label(one.configuration), one.reason) for one in landscape.case.left_out[:MOST_ROWS])
    more = len(landscape.case.left_out) - len(rows)
    caption = f"Not tried.{f' {more} more are in the run.' if more else ''}"
    return StudyTable("Left out", caption, ("configuration", "why"), rows)
