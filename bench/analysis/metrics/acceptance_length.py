"""Metric `acceptance_length`: tokens of a pass of the model that judges."""

from __future__ import annotations

from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.contract.registry import registry


def value(row: Row) -> float | None:
    accepted = row.measurement.values("accepted")
    plain = sum(row.measurement.values("decode_rows")) if accepted else 0
    return (sum(accepted) + len(accepted) + plain) / (len(accepted) + plain) if accepted else None


METRIC = Metric(
    name="acceptance_length",
    label="tokens a pass",
    unit="tok",
    direction="higher",
    summary="Tokens that a pass of the judging model gave, its own one included; passes without guesses count.",
    formula="(accepted + passes) / passes, of one sequence",
    compute=value,
    rank=25,
    needs=("accepted",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
