"""The gate's error rates on this machine: false alarms, slowdowns found, time for a decision, beside peers' rules.

    python benchmarks/gate_power.py [--gates 10] [--pairs 120] [--out results/gate_power] [--replay]

Gates a commit against itself, end to end, `--gates` times over three kernels of about 0.1, 3 and 30 ms; goes on
with live pairs until `--pairs` are recorded; then replays decisions on blocks of recorded pairs with slowdowns
added. The same data are judged by the rules that peers use, which see one base process and one head process:
of the same pair (as kind to them as can be), and of pairs that follow each other (as they are used). Each pair
is appended to the folder's file at once; the same command goes on from there. `--replay` measures nothing.

Families of 1 to 1,000 benchmarks with one slow case are decided on the recorded noise as well (`gate_families`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gate_families
import numpy as np
from gate_repository import PLUGIN, SUITE_FILE, make_repository
from scipy import stats

from attnlab.bench import units
from attnlab.bench.gate.ask import Ask
from attnlab.bench.gate.checkouts import checked_out
from attnlab.bench.gate.pair_records import PairResult
from attnlab.bench.gate.pairs_file import PairsFile
from attnlab.bench.gate.quantities import Sample
from attnlab.bench.gate.quantities.calls import bursts_of, of_bursts
from attnlab.bench.gate.report import GateReport
from attnlab.bench.gate.session import Session
from attnlab.bench.gate.suite_source import SuiteSource
from attnlab.bench.gate.thresholds import Thresholds
from attnlab.bench.machine import ceilings
from attnlab.bench.machine.environment import describe_environment
from attnlab.bench.stats.power import Rate, least_detectable, replay
from attnlab.bench.stats.scatter import deviation, deviation_interval
from attnlab.bench.stats.sequential import Looks
from attnlab.bench.stats.verdict import Rule, Verdict

SLOWDOWNS = (0.03, 0.05, 0.10)
DECISIONS = 2000  # on equal code
DETECTIONS = 400  # with a slowdown
KEPT_SAMPLES = 10  # of each burst, evenly spaced: enough for rules that judge one process by its samples
PAIRS_FILE, GATES_FILE = "pairs.jsonl", "gates.jsonl"
MACHINE_FILE = "machine.txt"  # where the pairs were recorded, which a replay elsewhere does not know

Rows = list[dict[str, Any]]
PeerRule = Callable[[Sequence[float], Sequence[float]], bool]


def main() -> None:
    options = _options()
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    if not options.replay:
        _measure(folder, options.gates, options.pairs)
    text = "\n".join(_analysed(folder))
    (folder / "summary.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=120)
    parser.add_argument("--out", default="results/gate_power")
    parser.add_argument("--replay", action="store_true")
    return parser.parse_args()


def _read(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _append(path: Path, row: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, separators=(",", ":")) + "\n")


def _measure(folder: Path, gates: int, pairs: int) -> None:
    environment = describe_environment("cpu")
    machine = f"{environment.processor}, {environment.threads} threads, torch {environment.packages['torch']}"
    (folder / MACHINE_FILE).write_text(machine + "\n", encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="attnlab-power-") as place:
        root = make_repository(Path(place) / "repository")
        ask = Ask(
            sources=(SuiteSource(str(root / SUITE_FILE), (str(root / PLUGIN),)),),
            thresholds=Thresholds(),
            environment=environment,
            ceilings=ceilings.load_or_measure(environment.device),
            command="",
        )
        for number in range(len(_read(folder / GATES_FILE)), gates):
            print(f"gate {number + 1} of {gates}", file=sys.stderr)
            started = time.monotonic()
            report = _gate(root, ask, folder)
            _append(folder / GATES_FILE, _told(report, time.monotonic() - started))
        missing = pairs - _recorded(folder)
        if missing > 0:
            print(f"{missing} pairs more", file=sys.stderr)
            _gate(root, replace(ask, thresholds=Thresholds(rule=Rule(Looks((missing,)), 1e-12))), folder)


def _recorded(folder: Path) -> int:
    rows = _read(folder / PAIRS_FILE)
    return min((len(found) for found in _by_benchmark(rows).values()), default=0)


def _gate(root: Path, ask: Ask, folder: Path) -> GateReport:
    """One gate of a commit against itself, in two checkouts; its pairs are recorded as they come."""
    with checked_out(root, "HEAD", "HEAD") as (base, head), tempfile.TemporaryDirectory() as scratch:
        file = PairsFile(Path(scratch))
        session = Session(root, base, head, ask, file)
        file.append = lambda number, offer, taken: _append(folder / PAIRS_FILE, _shortened(offer.key, taken))  # type: ignore[method-assign]
        session.run()
        file.close()
        return session.report("power")


def _shortened(key: str, taken: PairResult) -> dict[str, Any]:
    """One pair of one benchmark: each burst's median and some of its samples, by arm, in nanoseconds."""
    base, head = Sample(taken.base), Sample(taken.head)
    row: dict[str, Any] = {"benchmark": key, "at": time.time(), "log_ratio": of_bursts(base, head)}
    for arm, side in (("base", base), ("head", head)):
        bursts = bursts_of(side)
        row[arm] = [statistics.median(values) for values in bursts]
        picked = [values[i] for values in bursts for i in _spread(len(values))]
        row[f"{arm}_samples"] = [round(value) for value in picked]
    return row


def _spread(size: int) -> list[int]:
    return sorted({int(i) for i in np.linspace(0, size - 1, min(size, KEPT_SAMPLES))})


def _told(report: GateReport, seconds: float) -> dict[str, Any]:
    return {
        "exit_code": report.exit_code,
        "seconds": seconds,
        "verdicts": {row.key: row.verdict.value if row.verdict else row.standing.value for row in report.rows},
        "pairs": {row.key: row.first.pairs if row.first else 0 for row in report.rows},
        "load_average": report.environment.load_average,
    }


def _by_benchmark(rows: Rows) -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    for row in rows:
        found.setdefault(row["benchmark"], []).append(row)
    return found


def _analysed(folder: Path) -> list[str]:
    pairs, gates = _read(folder / PAIRS_FILE), _read(folder / GATES_FILE)
    machine = (folder / MACHINE_FILE).read_text(encoding="utf-8").strip()
    recorded = _by_benchmark(pairs)
    count = min(len(rows) for rows in recorded.values())
    ratios = {key: [row["log_ratio"] for row in rows[:count]] for key, rows in recorded.items()}
    lines = [
        "# What the gate can do",
        "",
        f"{count} live pairs of equal arms on {machine}. Again: `python benchmarks/gate_power.py`.",
        "",
        *_table(
            ["kernel", "median", "scatter of a pair", "median of pairs", "least slowdown found in 95 %"],
            [
                [
                    f"`{key}`",
                    units.format_time(statistics.median(statistics.median(r["base"]) for r in recorded[key])),
                    _scatter(x),
                    f"{100 * statistics.median(x):+.2f} %",
                    units.format_share(least_detectable(x, Rule(), 400, 0, 0.03)),
                ]
                for key, x in ratios.items()
            ],
        ),
        "",
        "## False alarms on equal code",
        "",
        *_false_alarms(ratios, recorded, count, gates),
        "",
        "## Slowdowns added to one kernel, replayed",
        "",
        *_detection(ratios),
        "",
        "## One slow case in a family",
        "",
        *_families({key: rows[:count] for key, rows in recorded.items()}),
    ]
    if gates:
        seconds = [gate["seconds"] for gate in gates]
        lines += [
            "",
            f"A decision over the three kernels took {min(seconds):.0f} to {max(seconds):.0f} s, "
            f"{statistics.median(seconds):.0f} s in the median, in {len(gates)} gates end to end.",
        ]
    return lines


def _scatter(ratios: list[float]) -> str:
    low, high = deviation_interval(ratios)
    return f"{units.format_share(deviation(ratios))} ({units.format_interval(100 * low, 100 * high, '%')})"


def _false_alarms(ratios: dict[str, list[float]], recorded: dict[str, Rows], count: int, gates: Rows) -> list[str]:
    replayed = replay(ratios, Rule(), DECISIONS, seed=0)
    rows = [
        ["this gate, whole family, replayed", *_rate(replayed.alarms)],
        *(
            [f"this gate, `{key}`, replayed", *_rate(Rate(found[Verdict.SLOWER], DECISIONS))]
            for key, found in replayed.verdicts.items()
        ),
        ["this gate, end to end", *_rate(Rate(sum(gate["exit_code"] == 1 for gate in gates), len(gates)))],
    ]
    for name, rule in PEERS.items():
        for what, offset in (("one after the other", 1), ("taking turns", 0)):
            alarms = [
                rule(found[n]["base_samples"], found[(n + offset) % count]["head_samples"])
                for found in recorded.values()
                for n in range(count)
            ]
            rows.append([f"{name}, processes {what}", *_rate(Rate(sum(alarms), len(alarms)))])
    return _table(["rule", "alarms", "share", "95 % interval"], rows)


def _rate(rate: Rate) -> list[str]:
    low, high = rate.interval()
    interval = f"{units.format_share(low)} to {units.format_share(high)}"
    return [f"{rate.count} of {rate.trials}", units.format_share(rate.share), interval]


def _detection(ratios: dict[str, list[float]]) -> list[str]:
    rows = []
    for key in ratios:
        for slowdown in SLOWDOWNS:
            centred = {k: list(np.asarray(x) - statistics.median(x)) for k, x in ratios.items()}
            found = replay(centred, Rule(), DETECTIONS, seed=1, slowdown={key: slowdown})
            shares = [found.verdicts[key][v] / DETECTIONS for v in Verdict if v is not Verdict.INCOMPARABLE]
            rows.append(
                [f"`{key}`", units.format_share(slowdown), *map(units.format_share, shares), f"{found.mean_pairs:.1f}"]
            )
    names = [v.value for v in Verdict if v is not Verdict.INCOMPARABLE]
    return _table(["kernel", "slowdown", *names, "pairs, confirmation included"], rows)


def _families(recorded: dict[str, Rows]) -> list[str]:
    """A table for each plan of bursts, and what its times rest on."""
    lines = [
        "Each benchmark has latency (median, mean, p95, from the recorded pairs) and two quantities that never differ. "
        "Set-up and first calls were not recorded. The slow one has the noise of the first kernel "
        "above. Times are counted from what a pair took when it was recorded.",
    ]
    for plan in gate_families.plans(recorded):
        headings, rows = gate_families.table(gate_families.rows(recorded, plan))
        lines += [
            "",
            f"With {plan.bursts} bursts of each arm in a pair, {plan.start_s:.1f} s for its processes and "
            f"{plan.pair_s:.1f} s for each benchmark:",
            "",
            *_table(headings, rows),
        ]
    return lines


def _table(headings: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (headings, ["---"] * len(headings), *rows)]


def _pytest_benchmark(base: Sequence[float], head: Sequence[float]) -> bool:
    """--benchmark-compare-fail=median:5%."""
    return statistics.median(head) > 1.05 * statistics.median(base)


def _asv(base: Sequence[float], head: Sequence[float]) -> bool:
    """asv continuous: the ratio beyond 1.1 and a Mann-Whitney test beyond p = 0.002."""
    different = stats.mannwhitneyu(base, head, alternative="two-sided").pvalue < 0.002
    return bool(different and statistics.median(head) > 1.1 * statistics.median(base))


def _welch(base: Sequence[float], head: Sequence[float]) -> bool:
    """Welch's t-test at 5 %, for a slower head."""
    return bool(stats.ttest_ind(head, base, equal_var=False, alternative="greater").pvalue < 0.05)


PEERS: dict[str, PeerRule] = {
    "pytest-benchmark `median:5%`": _pytest_benchmark,
    "asv (factor 1.1, p < 0.002)": _asv,
    "Welch's t-test, p < 0.05": _welch,
}


if __name__ == "__main__":
    main()
