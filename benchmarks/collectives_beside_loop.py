"""Times of all_reduce over two processes with gloo by this harness, beside a plain loop with a barrier and a clock.

    python benchmarks/collectives_beside_loop.py [--rounds N] [--calls N] [--bytes N …]

Each has two processes that live as long, and all take turns: in each round one burst of calls by each. A ratio is the
harness's over the loop's in one round, of medians and of tenth percentiles, which others on the machine disturb least;
printed are the medians over rounds, with 95 % intervals by order statistics. The loop is what one would write by hand:
`dist.barrier()`, the clock, a copy and the collective, the clock; of each call the slower process counts. It is run on
the same numbers in each call, with nothing between calls, and on numbers that are new in each call and after both
processes have slept for a millisecond, as calls of a harness that draws anew and of a model are.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing

from attnlab.bench import discover
from attnlab.bench.measuring.case_sampling import CaseSampling
from attnlab.bench.measuring.harness import prepared_case
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.measuring.stopping import Effort
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.units import format_time

RANKS = 2
NO_CEILINGS = Ceilings("here", 1, 1e12, {}, None, 0.0)
BRIEF = Effort(sampling_limit_s=1.0, warmup_limit_s=0.5)
Burst = Callable[[int], list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=30, help="of a burst")
    parser.add_argument("--bytes", type=int, nargs="+", default=[4096, 65536, 1 << 20, 4 << 20])
    options = parser.parse_args()
    print("message  loop  harness  itself  by medians  by tenth percentiles")
    for message_bytes in options.bytes:
        with (
            harness_burst(message_bytes) as ours,
            loop_burst(message_bytes, renews=False) as same,
            loop_burst(message_bytes, renews=True) as renewed,
        ):
            taken = [[burst(options.calls) for burst in (ours, same, renewed)] for _ in range(options.rounds + 1)]
        for place, name in ((1, "same numbers"), (2, "new numbers")):
            print(row(message_bytes, name, [(each[0], each[place]) for each in taken[1:]]), flush=True)


def row(message_bytes: int, name: str, rounds: list[tuple[list[float], list[float]]]) -> str:
    """What all rounds of one size say, beside one loop."""
    medians = [(statistics.median(a), statistics.median(b)) for a, b in rounds]
    quick = [(quickest(a), quickest(b)) for a, b in rounds]
    ours, loop = (format_time(statistics.median(side)) for side in zip(*medians, strict=True))
    return f"{message_bytes} B  {name}  {ours}  {loop}  {ratio(medians)}  {ratio(quick)}"


def quickest(samples: list[float]) -> float:
    """The tenth percentile, which others on the machine disturb least."""
    return sorted(samples)[len(samples) // 10]


def ratio(pairs: list[tuple[float, float]]) -> str:
    """The median of ratios of rounds, and its interval by order statistics."""
    ratios = sorted(a / b for a, b in pairs)
    skipped = max(0, int((len(ratios) - 1.96 * len(ratios) ** 0.5) / 2))
    return f"{statistics.median(ratios):.3f} [{ratios[skipped]:.3f}, {ratios[-1 - skipped]:.3f}]"


@contextmanager
def harness_burst(message_bytes: int) -> Iterator[Burst]:
    """Samples in ns, as a run takes them."""
    registry = discover()
    operator, implementation = registry.operators.get("all_reduce"), registry.implementations("all_reduce").get("gloo")
    case = operator.case_type.build({"message_bytes": message_bytes, "world_size": RANKS})
    setup = Setup(torch.device("cpu"), (), NO_CEILINGS, BRIEF)
    with prepared_case(operator, case, implementation, setup) as prepared:
        with prepared.foreign():
            sampling = CaseSampling(prepared)
        yield lambda count: list(sampling.burst(count).series[0].values)


@contextmanager
def loop_burst(message_bytes: int, renews: bool) -> Iterator[Burst]:
    """Samples in ns of the loop, of each call the slower process's."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(RANKS)]
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder, "store"))
        ranks = [
            context.Process(target=loop, args=(rank, store, message_bytes, renews, far), daemon=True)
            for rank, (_, far) in enumerate(pipes)
        ]
        for rank in ranks:
            rank.start()

        def burst(count: int) -> list[float]:
            for own, _ in pipes:
                own.send(count)
            times: list[list[float]] = [own.recv() for own, _ in pipes]
            return [max(call) for call in zip(*times, strict=True)]

        try:
            yield burst
        finally:
            for rank in ranks:
                rank.kill()
                rank.join()


def loop(rank: int, store: str, message_bytes: int, renews: bool, asked: Connection) -> None:
    """One process of the loop."""
    torch.set_num_threads(1)
    shared: Any = dist.FileStore(store, RANKS)  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=shared, rank=rank, world_size=RANKS)
    x = torch.randn(message_bytes // 4)
    while True:
        times = []
        for _ in range(asked.recv()):
            if renews:
                time.sleep(1e-3)
                x.normal_()
            dist.barrier()
            begun = perf_counter_ns()
            out = x.clone()
            dist.all_reduce(out)
            times.append(float(perf_counter_ns() - begun))
        asked.send(times)


if __name__ == "__main__":
    main()
