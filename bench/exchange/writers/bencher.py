"""Bencher's metric format: measures by benchmark, of one run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.analysis.metrics import known_metrics, rows_of
from attnlab.bench.contract.metric import Row
from attnlab.bench.errors import UsageError
from attnlab.bench.store.run_folder import StoredRun
from attnlab.bench.text import count, shortened

LONGEST_BENCHMARK, LONGEST_MEASURE = 1024, 64  # characters that Bencher takes
LATENCY = "latency_ns"

Measures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Bencher:
    """Each metric that has a number is a measure, in its own unit; the latency has its interval, where one is claimed.

    A result that is wrong has no measure, and is left out.
    """

    name: str = "bencher"
    suffix: str = ".json"
    summary: str = "Bencher's metric format, of one run; for `bencher run --adapter json --file`"

    def write(self, runs: Sequence[StoredRun], path: Path, samples: bool) -> str:
        if samples:
            raise UsageError("Bencher takes no samples; leave --samples out")
        if len(runs) != 1:
            raise UsageError(f"got {len(runs)} runs; Bencher takes one a file: export each to its own --out")
        (stored,) = runs
        measures = {_name(row): found for row in rows_of(stored.run, stored.measurements) if (found := _of(row))}
        path.write_text(json.dumps(measures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        return count(len(measures), "benchmark")


def _name(row: Row) -> str:
    return shortened("/".join(row.measurement.key), LONGEST_BENCHMARK)


def _of(row: Row) -> Measures:
    return dict(_measures(row))


def _measures(row: Row) -> Iterator[tuple[str, dict[str, float]]]:
    m = row.measurement
    if not m.outcome.may_have_speed:
        return
    for metric in known_metrics():
        value = metric.value(row)
        if isinstance(value, float):
            ends = {"lower_value": m.ci_low_ns, "upper_value": m.ci_high_ns} if metric.name == LATENCY else {}
            name = "latency" if metric.name == LATENCY else metric.name.replace("_", "-")
            known = {key: end for key, end in ends.items() if end is not None}
            yield shortened(name, LONGEST_MEASURE), {"value": value} | known


WRITER = Bencher()
