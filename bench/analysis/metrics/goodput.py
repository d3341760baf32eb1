"""Metric `goodput_per_s`: requests a second that keep every objective."""

from __future__ import annotations

from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation import latencies, measured
from attnlab.bench.llm.generation.events import EVENTS
from attnlab.bench.llm.generation.latencies import Objectives
from attnlab.bench.store.records import Measurement
from attnlab.bench.units import NS_PER_MS


def of(measurement: Measurement) -> float | None:
    case = measurement.case
    if not isinstance(case.get("ttft_ms"), int) or not isinstance(case.get("tpot_ms"), int):
        return None
    objectives = Objectives(case["ttft_ms"] * NS_PER_MS, case["tpot_ms"] * NS_PER_MS)
    calls = measured.of_calls(measurement, lambda requests: latencies.goodput(requests, objectives))
    return measured.median(calls)


METRIC = Metric(
    name="goodput_per_s",
    label="goodput",
    unit="req/s",
    direction="higher",
    summary="Requests a second that keep the case's objectives for TTFT and TPOT.",
    formula="requests that keep both / (last token − first arrival), median over calls",
    compute=of_measurement(of),
    rank=23,
    needs=(EVENTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
