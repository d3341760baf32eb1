"""What a search takes before it begins, and the table of what it found."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from attnlab.bench import text_table, units
from attnlab.bench.analysis.landscape import Candidate, Landscape
from attnlab.bench.cli._forecast import tell_all, usable_cores
from attnlab.bench.contract.space import label
from attnlab.bench.measuring.forecast.paces import CEILINGS_S
from attnlab.bench.measuring.forecast.step_costs import Terms
from attnlab.bench.measuring.suite import make_effort
from attnlab.bench.stats.rounds import Ratio
from attnlab.bench.store.records import Measurement, RunRecord
from attnlab.bench.text import brief, count
from attnlab.bench.tuning.estimate import Estimate, estimate
from attnlab.bench.tuning.session import SearchPlan

SHOWN = 15  # rows of a table
MOST_NAMES = 3  # columns of values in 80 characters
LOOKS_FASTER = 0.97  # of the built-in one's time


def tell_plan(
    plan: SearchPlan, run: RunRecord, before: Sequence[Measurement], as_json: bool, stream: TextIO | None = None
) -> int:
    """Say what is searched, what is left out and why, and about how long it takes at most."""
    unknown_s = 0.0 if math.isfinite(run.ceilings.bandwidth) else CEILINGS_S
    terms = Terms(run.environment.device, run.ceilings, make_effort(run.effort))
    done = {m.key for m in before}
    found = estimate(plan, terms, usable_cores(run.environment), done, unknown_s)
    if as_json:
        print(json.dumps(_plan_record(plan, found)))
    else:
        tell_all(_plan_lines(plan, found, len(done)), stream or sys.stdout)
    return 0


def _plan_lines(plan: SearchPlan, found: Estimate, done: int) -> Iterator[str]:
    tuning = plan.tuning
    axes = "; ".join(f"{name} {', '.join(map(str, values))}" for name, values in tuning.axes.items())
    yield f"{tuning.operator}/{tuning.implementation}: {axes}"
    for case in tuning.cases:
        left_out = Counter(one.reason for one in case.left_out)
        more = f"; {len(case.left_out)} left out" if left_out else ""
        built_in = label(case.candidates[case.default])
        yield f"{case.case_id}: {count(len(case.candidates), 'candidate')}, with the built-in {built_in}{more}"
        for reason, number in left_out.most_common():
            yield f"  left out, {number}: {reason}"
    if done:
        yield f"{done} measured before"
    if found.candidates:
        yield f"time: at most about {units.format_duration(found.seconds)}, less where candidates are stopped early"
        yield f"memory: up to {units.format_bytes(found.bytes)} at once"


def _plan_record(plan: SearchPlan, found: Estimate) -> dict[str, Any]:
    cases = [
        {"case": case.case_id, "candidates": len(case.candidates), "left_out": len(case.left_out)}
        for case in plan.tuning.cases
    ]
    return {"cases": cases, "to_measure": found.candidates, "seconds": round(found.seconds, 1), "bytes": found.bytes}


def show(found: Sequence[Landscape]) -> None:
    """Print each landscape, in the width of the terminal."""
    width = text_table.terminal_width()
    for landscape in found:
        print("\n".join(lines(landscape, width)))


def lines(landscape: Landscape, width: int | None) -> Iterator[str]:
    """A table of the best, what was wrong or failed, and who won."""
    yield text_table.bold(f"{landscape.tuning.operator}/{landscape.tuning.implementation}  {landscape.case.case_id}")
    timed = [one for one in landscape.ranked if one.ratio is not None]
    if timed:
        if len(landscape.tuning.axes) > MOST_NAMES:
            yield from text_table.paragraph(f"configuration: {'-'.join(landscape.tuning.axes)}", width, indent="")
        yield from text_table.fitted(_cells(landscape, timed), (), width)
    told = [f"left to the report: {count(len(timed) - SHOWN, 'slower candidate')}"] if len(timed) > SHOWN else []
    if landscape.unfinished:
        told.append(f"{landscape.unfinished} not measured yet")
    for note in (*told, *_faults(landscape)):
        yield from text_table.paragraph(note, width, indent="")
    yield ""
    for line in verdict(landscape):
        yield from text_table.paragraph(line, width, indent="")
    yield ""


def _cells(landscape: Landscape, timed: Sequence[Candidate]) -> list[list[str]]:
    """Headings and rows; where names are many, their values stand in one column."""
    names = list(landscape.tuning.axes)
    apart = len(names) <= MOST_NAMES
    heads = names if apart else ["configuration"]
    rows = [[*heads, "time", "of built-in", "fresh processes", "95 % interval", ""]]
    shown = list(timed[:SHOWN])
    if landscape.default in timed and landscape.default not in shown:
        shown.append(landscape.default)
    for one in shown:
        values = [str(one.configuration[name]) for name in names]
        time = units.format_time(one.measured.median_ns if one.measured else None)
        raced = units.format_ratio(one.over_default.median) if one.over_default else ""
        met = (units.format_ratio(one.fresh.median), interval(one.fresh)) if one.fresh else ("", "")
        rows.append([*(values if apart else ["-".join(values)]), time, raced, *met, _remark(one, landscape)])
    unused = {at for at in range(len(heads), len(rows[0]) - 1) if not any(row[at] for row in rows[1:])}
    return [[cell for at, cell in enumerate(row) if at not in unused] for row in rows]


def interval(ratio: Ratio) -> str:
    """`0.912 to 0.934`, or a dash."""
    if ratio.low is None or ratio.high is None:
        return units.MISSING
    return f"{units.three_digits(ratio.low)} to {units.three_digits(ratio.high)}"


def _remark(one: Candidate, landscape: Landscape) -> str:
    if one is landscape.winner:
        return "winner"
    if one.is_default:
        return "built in"
    return "stopped" if one.stopped else ""


def _faults(landscape: Landscape) -> Iterator[str]:
    for one in landscape.candidates:
        if one.faulty and one.measured is not None:
            why = brief(one.measured.reason or "no reason stored")
            yield f"! {label(one.configuration)}: {one.measured.outcome.value}: {why}"


def verdict(landscape: Landscape) -> Iterator[str]:
    """Who won, by how much, and at which error rates."""
    winner, finalists, tuning = landscape.winner, landscape.finalists, landscape.tuning
    built_in = label(landscape.default.configuration)
    if winner is not None and winner.fresh is not None:
        yield (
            f"winner: {label(winner.configuration)}, in {units.format_ratio(winner.fresh.median)} the time of the "
            f"built-in {built_in} (95 %: {interval(winner.fresh)}, {winner.fresh.rounds} rounds of fresh processes)"
        )
    elif finalists and finalists[0].fresh is not None:
        best, fresh = finalists[0], finalists[0].fresh
        yield (
            f"none is shown to be faster than the built-in {built_in}; the best of {len(finalists)} that met it in "
            f"fresh processes is {label(best.configuration)}, in {units.format_ratio(fresh.median)} its time (95 %: "
            f"{interval(fresh)}, {fresh.rounds} rounds){_more_rounds(fresh)}"
        )
    elif landscape.unfinished:
        yield "the search is not at its end"
    elif not tuning.turns:
        yield "no winner is named without rounds of fresh processes (--turns)"
    else:
        yield f"none comes near the built-in {built_in}"
    yield (
        f"error rates: the best is stopped early in at most {100 * tuning.alpha:g} % of searches, and a "
        f"winner is no faster than the built-in one in at most {100 * tuning.alpha:g} %"
    )


def _more_rounds(fresh: Ratio) -> str:
    """What may settle it, where the best looks faster and its interval is too wide to say so."""
    return f"; more rounds may settle it: --turns {2 * fresh.rounds}" if fresh.median < LOOKS_FASTER else ""


def record(landscape: Landscape) -> dict[str, Any]:
    """For machines."""
    return {
        "case": landscape.case.case_id,
        "built_in": landscape.default.configuration,
        "winner": landscape.winner.configuration if landscape.winner else None,
        "candidates": [
            {
                "configuration": one.configuration,
                "outcome": one.measured.outcome.value if one.measured else None,
                "median_ns": one.measured.median_ns if one.measured else None,
                "over_built_in": one.ratio,
                "stopped_early": one.stopped,
            }
            for one in landscape.ranked
        ],
        "left_out": [{"configuration": one.configuration, "reason": one.reason} for one in landscape.case.left_out],
    }
