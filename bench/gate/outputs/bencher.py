"""A gate's figures in Bencher's metric format: measures by benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from attnlab.bench.gate.outputs import Samples
from attnlab.bench.gate.report import GateReport
from attnlab.bench.gate.rows import GateRow


@dataclass(frozen=True)
class Bencher:
    """Quantities of head, times in nanoseconds, and latency's ratio to base; only what was compared."""

    name: str = "bencher"

    def files(self, report: GateReport, samples: Mapping[str, Samples]) -> dict[str, str]:
        metrics = {row.key: _measures(row) for row in report.rows if row.first is not None}
        return {"bencher.json": json.dumps(metrics, indent=1) + "\n"}


def _measures(row: GateRow) -> dict[str, dict[str, float]]:
    assert row.first is not None
    ratio = {"value": row.first.ratio, "lower_value": row.first.low, "upper_value": row.first.high}
    latency = {"value": row.head_ns}
    others = {found.quantity: {"value": found.head} for found in row.quantities if found.head is not None}
    return {
        **others,
        "latency": {key: value for key, value in latency.items() if value is not None},
        "ratio-to-base": {key: value for key, value in ratio.items() if value is not None},
    }


OUTPUT = Bencher()
