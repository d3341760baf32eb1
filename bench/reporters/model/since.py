"""What moved since the last run on the same machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.analysis.compare import Comparison, compare, recorded_differences
from attnlab.bench.analysis.history.words import size
from attnlab.bench.reporters.model.among import RunAmong, only_of
from attnlab.bench.reporters.model.studies import Study, StudyTable
from attnlab.bench.reporters.model.words import Sentence, name, sentence
from attnlab.bench.store.machine import UNKNOWN
from attnlab.bench.store.records import Measurement
from attnlab.bench.store.run_folder import StoredRun, latest
from attnlab.bench.text import count

MOST_ROWS, MOST_DIFFERENCES = 20, 5
MOST_TRIED = 20  # earlier runs
HEADINGS = ("implementation", "case", "before", "now", "now over before")


@dataclass(frozen=True)
class Moved:
    """A benchmark whose two intervals do not meet; ratio is its time now over that before."""

    now: Measurement
    before: Measurement
    ratio: float


def since_last(among: RunAmong) -> Study | None:
    """Since the last one that anything of may be set beside this one, as no quick look may; None where none is."""
    now = only_of(among.stored, among.operator)
    for last in among.before[:MOST_TRIED]:
        before = only_of(last, among.operator)
        known = [c for c in compare([before], [now]) if c.ratio is not None and c.figure is None]
        if known:
            moved = _moved(known, (before, now))
            tables = (_table(among, moved, recorded_differences([before], [now])),) if moved else ()
            return Study("Since the last run", (_words(among, last, moved, len(known)),), tables, ())
    return None


def _moved(known: Sequence[Comparison], sides: tuple[StoredRun, StoredRun]) -> list[Moved]:
    """The farthest first."""
    before, now = ({m.key: m for m in latest(side.measurements)} for side in sides)
    found = []
    for c in known:
        key = (c.operator, c.implementation, c.case_id)
        if c.ratio is not None and _apart(before[key], now[key]):
            found.append(Moved(now[key], before[key], c.ratio))
    return sorted(found, key=lambda one: -abs(math.log(one.ratio)))


def _apart(a: Measurement, b: Measurement) -> bool:
    ends = (a.ci_low_ns, a.ci_high_ns, b.ci_low_ns, b.ci_high_ns)
    low_a, high_a, low_b, high_b = (math.nan if end is None else end for end in ends)
    return high_a < low_b or high_b < low_a


def _words(among: RunAmong, last: StoredRun, moved: Sequence[Moved], known: int) -> Sentence:
    untold = among.stored.run.environment.device.name == UNKNOWN
    run = f"{last.run.run_id} of {last.run.started[:10]}{'' if untold else ' on the same machine'}"
    alone = "; they did not take turns, so that the hour's drift is in it"
    if not moved:
        return sentence(f"Since run {run}, none of {count(known, 'time')} moved by more than both intervals{alone}.")
    most = moved[0]
    return sentence(
        f"Since run {run}, {len(moved)} of {count(known, 'time')} moved by more than both intervals, ",
        name(most.now.implementation),
        " on ",
        name(among.label(most.now.case_id)),
        f" the most ({size(most.ratio)}){alone}.",
    )


def _table(among: RunAmong, moved: Sequence[Moved], recorded: dict[str, int]) -> StudyTable:
    rows = tuple(
        (
            one.now.implementation,
            among.label(one.now.case_id),
            _time(one.before),
            _time(one.now),
            units.format_ratio(one.ratio),
        )
        for one in moved[:MOST_ROWS]
    )
    told = [*list(recorded)[:MOST_DIFFERENCES], *(["…"] if len(recorded) > MOST_DIFFERENCES else [])]
    left = f" {len(moved) - len(rows)} more moved less." if len(moved) > len(rows) else ""
    caption = f"Recorded otherwise: {'; '.join(told)}.{left}" if told else f"Nothing was recorded otherwise.{left}"
    return StudyTable("What moved by more than both intervals", caption, HEADINGS, rows)


def _time(m: Measurement) -> str:
    return f"{units.format_time(m.median_ns)} ({units.format_interval(m.ci_low_ns, m.ci_high_ns, 'ns')})"
