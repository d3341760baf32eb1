"""Set stored runs side by side: ratios of time, and verdicts where their processes took turns."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import TYPE_CHECKING

from attnlab.bench import units
from attnlab.bench.cli import EXIT_NOTHING, EXIT_OK, _options
from attnlab.bench.errors import UsageError
from attnlab.bench.store.codec import encode
from attnlab.bench.store.run_folder import read_runs
from attnlab.bench.text_table import columns

if TYPE_CHECKING:
    from attnlab.bench.analysis.compare import Comparison
    from attnlab.bench.store.run_folder import StoredRun

ORDER = ("slower", "faster", "inconclusive", None, "same", "incomparable")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", metavar="BASE", help="a run's folder, or a folder of several runs")
    parser.add_argument("head", metavar="HEAD", help="likewise; ratios are its time over base's")
    parser.add_argument("--target", type=float, default=0.03, metavar="SHARE", help="slowdown that matters (0.03)")
    _options.add_json(parser)


def execute(options: argparse.Namespace) -> int:
    from attnlab.bench.analysis.compare import compare, recorded_differences
    from attnlab.bench.stats.verdict import Verdict

    if not (0 < options.target < 1 and math.isfinite(options.target)):
        raise UsageError(f"got --target {options.target:g}; expected a share above 0 and below 1, such as 0.03")
    base, head = _read(options.base), _read(options.head)
    found = compare(base, head, options.target)
    if not found:
        raise UsageError(f"{options.base} and {options.head} hold no measurements; nothing to compare")
    if options.json:
        print(json.dumps([encode(c) for c in found]))
    else:
        print("\n".join(_lines(found)))
        for difference, count in recorded_differences(base, head).items():
            print(f"Recorded otherwise, for {count} of {len(found)}: {difference}")
    nothing = all(c.verdict is Verdict.INCOMPARABLE for c in found)
    return EXIT_NOTHING if nothing else EXIT_OK


def _read(path: str) -> list[StoredRun]:
    runs = read_runs(path, _options.tell)
    for damage in (damage for run in runs for damage in run.damages):
        print(f"attnlab: {damage}; left out", file=sys.stderr)
    return runs


def _known_by(c: Comparison) -> str:
    if c.base_spread is None or c.head_spread is None:
        return f"{c.units} × {c.basis.value}" if c.units else c.basis.value
    spreads = f"{units.format_share(c.base_spread - 1)} and {units.format_share(c.head_spread - 1)}"
    return f"{c.units} runs or more a side, which did not take turns: they spread by {spreads}"


def _lines(found: list[Comparison]) -> list[str]:
    from attnlab.bench.analysis.compare import Basis

    rows = [("verdict", "benchmark", "head / base", "interval", "base → head", "known by")]
    for c in sorted(found, key=lambda c: ORDER.index(c.verdict.value if c.verdict else None)):
        sides = (c.base_ns, c.head_ns) if c.figure is None else (c.base_value, c.head_value)
        times = " → ".join(units.format_value(value, c.unit) for value in sides)
        what = "" if c.figure is None else f": {c.figure}"
        interval = units.format_interval(c.low, c.high, "ratio")
        rows.append(
            (
                c.verdict.value if c.verdict else "no verdict",
                f"{c.implementation} {c.case_id} ({c.operator}){what}",
                units.format_ratio(c.ratio),
                interval,
                times if c.ratio else units.MISSING,
                c.reason or _known_by(c),
            )
        )
    lines = list(columns(rows))
    if any(c.verdict is None for c in found):
        lines.append(
            "\nNo verdict: these runs did not take turns. What the machine did meanwhile is in their ratio, and no "
            "number of runs takes it out. Measure both together with `attnlab gate`."
        )
    if any(c.figure is not None for c in found):
        lines.append("\nA case that is paced by its arrivals has no latency: what it measures is compared instead.")
    if any(c.basis is Basis.INTERLEAVED for c in found):
        lines.append("\nPairs of processes took turns: drift of the machine cancels out.")
    return lines
