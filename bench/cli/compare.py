"""Set stored runs side by side: ratios of time, and verdicts where their processes took turns."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from attnlab.bench import text_table, units
from attnlab.bench.cli import EXIT_NOTHING, EXIT_OK, _options
from attnlab.bench.errors import UsageError
from attnlab.bench.store.codec import encode
from attnlab.bench.store.damages import tell_damages
from attnlab.bench.store.run_folder import run_folders
from attnlab.bench.text import count

if TYPE_CHECKING:
    from attnlab.bench.analysis.compare import Comparison
    from attnlab.bench.store.run_folder import StoredRun

ORDER = ("slower", "faster", "inconclusive", None, "same")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", metavar="BASE", help="a run's folder, or a folder of several runs")
    parser.add_argument("head", metavar="HEAD", help="likewise; ratios are its time over base's")
    parser.add_argument("--target", type=float, default=0.03, metavar="SHARE", help="slowdown that matters (0.03)")
    _options.add_json(parser)


def execute(options: argparse.Namespace) -> int:
    if not (0 < options.target < 1 and math.isfinite(options.target)):
        raise UsageError(f"got --target {options.target:g}; expected a share above 0 and below 1, such as 0.03")
    base, head = _read(options.base), _read(options.head)
    from attnlab.bench.analysis.compare import compare, recorded_differences  # numpy: not for a typing error
    from attnlab.bench.stats.verdict import Verdict

    found = compare(base, head, options.target)
    if not found:
        raise UsageError(f"{options.base} and {options.head} hold no measurements; nothing to compare")
    if options.json:
        print(json.dumps([encode(c) for c in found]))
    else:
        print("\n".join([*_lines(found, (base, head)), *_recorded(recorded_differences(base, head))]))
    nothing = all(c.verdict is Verdict.INCOMPARABLE for c in found)
    return EXIT_NOTHING if nothing else EXIT_OK


def _read(path: str) -> list[StoredRun]:
    run_folders(path)
    from attnlab.bench.analysis.sides import side_of  # numpy: not for a typing error

    runs = side_of(path, _options.tell, _options.tell)
    for run in runs:
        tell_damages(run.damages, _options.tell)
    return runs


def _lines(found: list[Comparison], sides: Sequence[Sequence[StoredRun]]) -> Iterator[str]:
    from attnlab.bench.analysis.compare import Basis
    from attnlab.bench.stats.verdict import Verdict

    told = [c for c in found if c.verdict is not Verdict.INCOMPARABLE]
    two_machines = any(c.apart for c in told)
    if two_machines:
        yield "Two machines: a ratio here is of the machines, and there is no verdict."
        yield from (f"  {name}: {_machine(side)}" for name, side in zip(("base", "head"), sides, strict=True))
        yield ""
    if told:
        yield from _tables(told, text_table.terminal_width())
        yield ""
    if any(c.unchecked for c in told):
        yield "Unchecked: another tool measured it, and nothing here knows whether it is right. There is no verdict.\n"
    if any(c.verdict is None and not c.apart and not c.unchecked for c in told):
        yield (
            "No verdict: these runs did not take turns. What the machine did meanwhile is in their ratio, and no "
            "number of runs takes it out. Measure both together with `attnlab gate`.\n"
        )
    if any(c.figure is not None for c in told):
        yield "A case that is paced by its arrivals has no latency: what it measures is compared instead.\n"
    if told and any(stored.run.quick for side in sides for stored in side):
        yield "Quick looks (--quick): checked once, few samples.\n"
    if any(c.basis is Basis.INTERLEAVED for c in told):
        yield "Pairs of processes took turns: drift of the machine cancels out.\n"
    for reason in dict.fromkeys(c.reason for c in found if c.verdict is Verdict.INCOMPARABLE):
        yield f"incomparable: {reason}"
        yield from (f"  {_benchmark(c)}" for c in found if c.reason == reason)


def _tables(told: Sequence[Comparison], width: int | None) -> Iterator[str]:
    """One table, or one a case where the terminal is too narrow; those that matter most come first."""
    ranked = sorted(told, key=lambda c: ORDER.index(c.verdict.value if c.verdict else None))
    whole = _rows(ranked, _benchmark)
    if width is None or max(map(len, text_table.columns(whole))) <= width:
        yield from text_table.fitted(whole, (0, 1), width)
        return
    cases: dict[tuple[str, str], list[Comparison]] = {}
    for c in ranked:
        cases.setdefault((c.operator, c.case_id), []).append(c)
    for (operator, case), own in cases.items():
        yield text_table.bold(f"{operator}  {case}")
        yield from text_table.fitted(_rows(own, _of_case), (0, 1), width)
        yield ""


def _rows(ranked: Sequence[Comparison], name: Callable[[Comparison], str]) -> list[tuple[str, ...]]:
    """Headings, and a row for each comparison; of a column that says nothing of any there is none."""
    rows = []
    for c in ranked:
        sides = (c.base_ns, c.head_ns) if c.figure is None else (c.base_value, c.head_value)
        verdict = c.verdict.value if c.verdict else _without_verdict(c)
        interval = units.format_interval(c.low, c.high, "ratio")
        times = (units.format_value(value, c.unit) for value in sides)
        spread = "" if c.apart or c.units == 0 else _known_by(c)
        rows.append((name(c), verdict, *times, units.format_ratio(c.ratio), interval, spread))
    headings = (
        "implementation" if name is _of_case else "benchmark",
        "verdict",
        "base",
        "head",
        "head / base",
        "interval",
        "known by",
    )
    kept = [at for at in range(len(headings)) if any(row[at] not in ("", units.MISSING) for row in rows)]
    return [tuple(row[at] for at in kept) for row in (headings, *rows)]


def _without_verdict(c: Comparison) -> str:
    return "unchecked" if c.unchecked else "two machines" if c.apart else "no verdict"


def _benchmark(c: Comparison) -> str:
    return f"{c.operator}/{c.implementation} {c.case_id}{'' if c.figure is None else f': {c.figure}'}"


def _of_case(c: Comparison) -> str:
    return c.implementation if c.figure is None else f"{c.implementation}: {c.figure}"


def _known_by(c: Comparison) -> str:
    if c.base_spread is None or c.head_spread is None:
        return f"{c.units} × {c.basis.value}"
    spreads = f"{units.format_share(c.base_spread - 1)} and {units.format_share(c.head_spread - 1)}"
    return f"{c.units} runs or more a side, which did not take turns: they spread by {spreads}"


def _machine(side: Sequence[StoredRun]) -> str:
    """The device that a side was measured on, with the threads of a CPU, and by what its times were taken."""
    told = []
    for stored in side:
        e = stored.run.environment
        threads = "" if e.device.kind != "cpu" or e.threads is None else f", {count(e.threads, 'thread')}"
        device = f"{e.device.name}{threads}"
        timings = [m.timing for m in stored.measurements if m.timing]
        methods = dict.fromkeys(f"clock {timing.clock}, {timing.cache} caches" for timing in timings)
        told.append("; ".join((device, *methods)))
    return " and ".join(dict.fromkeys(told))


def _recorded(differences: Mapping[str, int]) -> Iterator[str]:
    """What was recorded otherwise, each thing once; of how many benchmarks, where that is not of all that both have."""
    both = max(differences.values(), default=0)
    if differences:
        yield "\nRecorded otherwise (base → head):"
    for difference, number in differences.items():
        yield f"  {difference}{'' if number == both else f' ({number} of {both})'}"
