"""Both arms in pytest-benchmark's JSON, for its `compare` command and for what reads that format."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attnlab.bench import units
from attnlab.bench.gate.outputs import Samples, words
from attnlab.bench.gate.report import ArmRecord, GateReport
from attnlab.bench.gate.rows import GateRow

FORMAT_VERSION = "5.1.0"  # of pytest-benchmark, whose layout this is
FENCE = 1.5  # interquartile ranges beyond a quartile: Tukey's outliers


@dataclass(frozen=True)
class PytestBenchmark:
    """One file an arm, times in seconds."""

    name: str = "pytest_benchmark"

    def files(self, report: GateReport, samples: Mapping[str, Samples]) -> dict[str, str]:
        rows = [row for row in report.rows if row.key in samples and (row.base_ns or row.head_ns)]
        return {
            f"pytest-benchmark-{arm}.json": json.dumps(
                _document(report, record, [(row, getattr(samples[row.key], arm)) for row in rows]), indent=1
            )
            + "\n"
            for arm, record in (("base", report.base), ("head", report.head))
        }


def _document(report: GateReport, arm: ArmRecord, rows: Sequence[tuple[GateRow, Sequence[float]]]) -> dict[str, Any]:
    environment = report.environment
    return {
        "machine_info": {
            "node": environment.processor,
            "processor": environment.processor,
            "system": environment.system,
            "python_version": environment.python,
            "cpu": {"brand_raw": environment.processor, "count": environment.cores},
        },
        "commit_info": {"id": arm.revision, "dirty": arm.dirty, "branch": arm.asked, "time": None},
        "benchmarks": list(_benchmarks(rows)),
        "datetime": report.started,
        "version": FORMAT_VERSION,
    }


def _benchmarks(rows: Sequence[tuple[GateRow, Sequence[float]]]) -> Iterator[dict[str, Any]]:
    for row, values in rows:
        yield {
            "group": f"{row.operator} {row.case_id}".rstrip(),
            "name": row.key,
            "fullname": row.key,
            "params": None,
            "param": None,
            "extra_info": {
                "clock": row.clock,
                "cache": row.cache,
                "verdict": words.verdict(row),
                "quantities": {found.quantity: words.quantity(found) for found in row.quantities},
            },
            "options": {"timer": row.clock, "warmup": True, "min_rounds": 1, "disable_gc": False},
            "stats": _stats(values),
        }


def _stats(values_ns: Sequence[float]) -> dict[str, Any]:
    x = np.asarray([units.ns_to_seconds(value) for value in values_ns])
    q1, median, q3 = (float(q) for q in np.quantile(x, [0.25, 0.5, 0.75]))
    mean = float(x.mean())
    deviation = float(x.std(ddof=1)) if x.size > 1 else 0.0
    inside = x[(x >= q1 - FENCE * (q3 - q1)) & (x <= q3 + FENCE * (q3 - q1))]
    far = int(np.count_nonzero(np.abs(x - mean) > deviation))
    beyond = int(x.size - inside.size)
    return {
        "min": float(x.min()),
        "max": float(x.max()),
        "mean": mean,
        "stddev": deviation,
        "rounds": int(x.size),
        "median": median,
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": beyond,
        "stddev_outliers": far,
        "outliers": f"{far};{beyond}",
        "ld15iqr": float(inside.min()),
        "hd15iqr": float(inside.max()),
        "ops": 1 / mean if mean > 0 else math.inf,
        "total": float(x.sum()),
        "iterations": 1,
        "data": [float(value) for value in x],
    }


OUTPUT = PytestBenchmark()
