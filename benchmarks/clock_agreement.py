"""How far the clocks of a GPU agree, beside what triton.testing says of the same kernels.

    python benchmarks/clock_agreement.py [--rounds 5]

Kernels of about 2 µs, 20 µs and 2 ms (additions of vectors, sized by trial) are timed by every clock that the
machine has, cold and hot, in turns; of each the median over rounds of the bursts' medians is printed, with the
least and the largest, and beside them `do_bench` (which empties a cache of 256 MB between calls) and
`do_bench_cudagraph` (which leaves it hot). Needs a CUDA GPU.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
from collections.abc import Callable

import torch

from attnlab.bench import units
from attnlab.bench.clocks import CACHES, Call, Timer, copies_wanted, cuda_clocks, start_all
from attnlab.bench.clocks.spans import rough_ns
from attnlab.bench.gpu.cuda import CudaGpu

TARGETS_NS = (2_000.0, 20_000.0, 2_000_000.0)
SAMPLES = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    if not torch.cuda.is_available():
        sys.exit("clock_agreement.py compares the clocks of a CUDA GPU, and torch finds none here")
    device = torch.device("cuda")
    gpu = CudaGpu(device)
    print(f"{gpu.name}, torch {torch.__version__}, {rounds} rounds of {SAMPLES} samples\n")
    print("| kernel | cache | clock | median | least to largest of rounds |\n|---|---|---|---|---|")
    for target_ns in TARGETS_NS:
        elements = _sized(gpu, target_ns)
        name = f"x + y, {units.format_bytes(12 * elements)} moved"
        found: dict[tuple[str, str], list[float]] = {}
        timers = {cache: _timers(gpu, elements, cache) for cache in CACHES}
        peers = _peers(_addition(elements))
        for _ in range(rounds):
            for cache, of_cache in timers.items():
                for timer in of_cache:
                    found.setdefault((cache, timer.clock), []).append(statistics.median(timer.burst(SAMPLES)))
            for (cache, peer), measure in peers.items():
                found.setdefault((cache, peer), []).append(measure())
        for (cache, clock), medians in sorted(found.items()):
            spread = units.format_interval(min(medians), max(medians), "ns")
            print(f"| {name} | {cache} | {clock} | {units.format_time(statistics.median(medians))} | {spread} |")
    for cache in CACHES:
        for note in dict.fromkeys(n for timer in _timers(gpu, 1024, cache) for n in timer.notes()):
            print(f"\n{cache}: {note}")


def _addition(elements: int) -> Call:
    x, y = (torch.randn(elements, device="cuda") for _ in range(2))
    return functools.partial(torch.add, x, y, out=torch.empty_like(x))


def _sized(gpu: CudaGpu, target_ns: float) -> int:
    """How many elements take about that long: doubled until it does."""
    elements = 1024
    while rough_ns(gpu, [_addition(elements)]) < target_ns and elements < 1 << 32:
        elements *= 2
    return elements


def _timers(gpu: CudaGpu, elements: int, cache: str) -> tuple[Timer, ...]:
    clocks, bytes_a_call = cuda_clocks(gpu, cache), 12 * elements
    copies = copies_wanted(clocks, _addition(elements), bytes_a_call)
    started = start_all(clocks, [_addition(elements) for _ in range(copies)], bytes_a_call)
    for note in started.notes:
        print(f"{cache}: {note}", file=sys.stderr)
    for timer in started.timers:
        timer.burst(SAMPLES)
    return started.timers


def _peers(call: Call) -> dict[tuple[str, str], Callable[[], float]]:
    """What Triton's own functions say, in nanoseconds; none where Triton is not installed."""
    try:
        from triton.testing import do_bench, do_bench_cudagraph
    except ImportError:
        return {}

    def by_events() -> float:
        return 1e6 * float(do_bench(call, return_mode="median"))

    def by_graph() -> float:
        with torch.cuda.stream(torch.cuda.Stream()):
            return 1e6 * float(do_bench_cudagraph(call, return_mode="median"))

    return {("cold", "triton do_bench"): by_events, ("hot", "triton do_bench_cudagraph"): by_graph}


if __name__ == "__main__":
    main()
