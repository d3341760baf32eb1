"""Times and rates of generation, from the logs of its calls, by the definitions that reports use."""

from __future__ import annotations

import statistics

from attnlab.bench.analysis.metrics import acceptance_rate, goodput, itl, output_rate, ttft
from attnlab.bench.gate.quantities import Quantity, Sample
from attnlab.bench.llm.generation import latencies, measured
from attnlab.bench.units import NS_PER_MS


def largest_stall_ns(sample: Sample) -> float | None:
    """The longest gap between arrivals of any request of a call, the mean over calls: a rare stall counts."""
    found = measured.of_calls(sample.measurement, latencies.largest_stall_ns)
    return statistics.fmean(found) if found else None


QUANTITIES = (
    Quantity("ttft", "TTFT", "ns", lambda s: ttft.of(s.measurement), 0.10, NS_PER_MS),
    Quantity("itl", "ITL", "ns", lambda s: itl.of(s.measurement), 0.05, NS_PER_MS / 10),
    Quantity("largest_stall", "largest stall", "ns", largest_stall_ns, 0.30, 5 * NS_PER_MS),
    Quantity("output_rate", "throughput", "tok/s", lambda s: output_rate.of(s.measurement), 0.05, 0.1, "higher"),
    Quantity("acceptance", "acceptance", "share", lambda s: acceptance_rate.of(s.measurement), 0.05, 0.01, "higher"),
    Quantity("goodput", "goodput", "req/s", lambda s: goodput.of(s.measurement), 0.10, 0.01, "higher"),
)
