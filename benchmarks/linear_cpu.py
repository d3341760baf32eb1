"""How close the implementations of linear come to the time of reading the weights, for every weight of a model.

    python benchmarks/linear_cpu.py [--rows 1 256] [--dtypes bfloat16] [--rounds 11] [--layers 30]

A call is a whole pass over the weights of SmolLM2-135M (fused projections, and the head): far more than a cache holds.
Written down first are two floors: the weights' bytes over the bandwidth of a large copy, which reads and writes, as
`bench.roofline` measures it, and the time of a sum over the same tensors, which only reads. Implementations then take
turns within one process, and each figure is a ratio to `naive` (F.linear) of the same round: its median, with the least
and the largest. CPU time, of all threads, stands beside wall time, because other work on the machine lengthens the
latter alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench import Unavailable, discover, units
from attnlab.bench.contract.needs import missing
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.machine.ceilings import load_or_measure
from attnlab.bench.machine.environment import describe_device
from attnlab.bench.ops.linear.case import LinearCase
from attnlab.bench.ops.linear.inputs import LinearInputs

LAYER = ((960, 576), (576, 576), (3072, 576), (576, 1536))  # N, K
HEAD = (49152, 576)
BASELINE = "naive"


@dataclass(frozen=True)
class Times:
    """Of one pass."""

    wall_ns: int
    cpu_ns: int


def weights_of(dtype: torch.dtype, layers: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(n, k, generator=generator) * k**-0.5).to(dtype) for n, k in (*(LAYER * layers), HEAD)]


def pass_over(implementation: Implementation, weights: list[Tensor], rows: int, dtype: str) -> Callable[[], None]:
    """A call of the implementation on each weight, set up; raises Unavailable."""
    calls = []
    for weight in weights:
        n, k = weight.shape
        case = LinearCase(m=rows, n=n, k=k, dtype=dtype)
        reason = missing(implementation, describe_device("cpu")) or implementation.supports(case)
        if reason is not None:
            raise Unavailable(reason)
        inputs = LinearInputs(torch.randn(rows, k).to(weight.dtype), weight)
        calls.append((inputs, implementation.prepare(case, inputs)))

    def run() -> None:
        for inputs, state in calls:
            implementation.run(inputs, state)

    return run


def timed(call: Callable[[], None]) -> Times:
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    call()
    return Times(time.perf_counter_ns() - wall, time.process_time_ns() - cpu)


def ratios(times: list[Times], baseline: list[Times], clock: str) -> str:
    found = sorted(getattr(t, clock) / getattr(b, clock) for t, b in zip(times, baseline, strict=True))
    return f"{statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"


def compare(rows: int, dtype: str, rounds: int, layers: int, bandwidth: float) -> None:
    torch.compiler.reset()  # every shape of these rows compiles for itself
    weights = weights_of(getattr(torch, dtype), layers)
    read_bytes = sum(weight.numel() * weight.element_size() for weight in weights)
    floor = units.format_time(units.seconds_to_ns(read_bytes / bandwidth))
    print(f"\nM={rows} {dtype}: {units.format_bytes(read_bytes)} of weights, {floor} at the bandwidth of a copy")

    def reading() -> None:
        for weight in weights:
            weight.view(torch.float32).sum()

    passes: dict[str, Callable[[], None]] = {"(reading)": reading}
    for implementation in discover().implementations("linear"):
        try:
            passes[implementation.name] = pass_over(implementation, weights, rows, dtype)
        except Unavailable as reason:
            print(f"  {implementation.name}: {reason}")
    times: dict[str, list[Times]] = {name: [] for name in passes}
    for number in range(rounds + 1):
        for name, call in passes.items():
            taken = timed(call)
            if number:  # the first warms up
                times[name].append(taken)
    for name, series in times.items():
        least, cpu = (units.format_time(min(getattr(t, clock) for t in series)) for clock in ("wall_ns", "cpu_ns"))
        print(
            f"  {name:10s} least wall {least:>9s}, CPU {cpu:>9s};  / {BASELINE}: wall "
            f"{ratios(series, times[BASELINE], 'wall_ns')}, CPU {ratios(series, times[BASELINE], 'cpu_ns')}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 2, 4, 8, 256])
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--layers", type=int, default=30)
    options = parser.parse_args()
    ceilings = load_or_measure(describe_device("cpu"))
    print(f"{torch.get_num_threads()} threads; a copy reads and writes {ceilings.bandwidth / units.GB:.1f} GB/s")
    with torch.inference_mode():
        for dtype in options.dtypes:
            for rows in options.rows:
                compare(rows, dtype, options.rounds, options.layers, ceilings.bandwidth)


if __name__ == "__main__":
    main()
