"""How far the clocks of a GPU agree, with both flushes of its L2, beside what triton.testing says of the same kernels.

    python benchmarks/clock_agreement.py [--rounds 5]

Additions of vectors that take about 2, 5, 10, 20, 36 and 100 µs and 2 ms are timed by every clock that the machine has:
cold with the L2 emptied by reads, cold with it emptied by writes, and hot; on two sets of inputs and on eight, which
`cuda_graph` lays out otherwise. All take turns; of each the median over rounds of the bursts' medians is printed, with
the least, the largest and the null span that was subtracted. Then each aim has its verdict, and the exit code is 1
where one is missed. Needs a CUDA GPU; the figures of `cupti`, to which others are compared, need cupti-python.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from attnlab.bench import units
from attnlab.bench.machine.clocks import cuda_clocks, start_all
from attnlab.bench.machine.clocks.clock import Call, Timer
from attnlab.bench.machine.clocks.spans import rough_ns
from attnlab.bench.machine.gpu import Gpu
from attnlab.bench.machine.gpu.cuda import CudaGpu

LENGTHS_NS = (2_000.0, 5_000.0, 10_000.0, 20_000.0, 36_000.0, 100_000.0, 2_000_000.0)
READ, WRITTEN, HOT = "cold", "cold, emptied by writes", "hot"
WAYS = {READ: ("cold", False), WRITTEN: ("cold", True), HOT: ("hot", False)}
COPIES = (2, 8)  # sets of inputs
SAMPLES = 50
CLOSE = 0.02  # of each other, that clocks and layouts are to agree within
FROM_NS = 10_000.0  # by `cupti`
CUPTI, GRAPH = "cupti", "cuda_graph"
COLDER = 1.05  # a cold call over a hot one, of data that fit into the L2
STEPS = 4  # of sizing, each by the ratio that is still missing

Make = Callable[[float, int], tuple[list[Call], int]]
"""Calls of about so many nanoseconds on so many sets of inputs, and the bytes that each touches."""


@dataclass(frozen=True)
class Reading:
    """What one clock reads of one kernel: the median over rounds of the bursts' medians, the least and the largest."""

    length_ns: float
    bytes_a_call: int
    way: str
    copies: int
    clock: str
    median_ns: float
    least_ns: float
    most_ns: float
    null_ns: float | None


def readings(gpu: Gpu, make: Make, rounds: int, samples: int = SAMPLES) -> Iterator[Reading]:
    """All clocks on all lengths, each way; those of one length take turns."""
    for length_ns in LENGTHS_NS:
        timers: dict[tuple[str, int], tuple[Timer, ...]] = {}
        for copies in COPIES:
            calls, bytes_a_call = make(length_ns, copies)
            for way, (cache, writing) in WAYS.items():
                started = start_all(cuda_clocks(gpu, cache, writing), calls, bytes_a_call)
                timers[way, copies] = started.timers
                for note in started.notes:
                    print(f"{way}: {note}", file=sys.stderr)
        taken: dict[tuple[str, int, str], list[float]] = {}
        for number in range(rounds + 1):
            for (way, copies), of_way in timers.items():
                for timer in of_way:
                    median = statistics.median(timer.burst(samples))
                    if number:  # the first warms up
                        taken.setdefault((way, copies, timer.clock), []).append(median)
        nulls = {(*key, timer.clock): timer.null_ns for key, of_way in timers.items() for timer in of_way}
        for (way, copies, clock), medians in taken.items():
            yield Reading(
                length_ns,
                bytes_a_call,
                way,
                copies,
                clock,
                statistics.median(medians),
                min(medians),
                max(medians),
                nulls[way, copies, clock],
            )
        for note in dict.fromkeys(n for of_way in timers.values() for timer in of_way for n in timer.notes()):
            print(f"{units.format_time(length_ns)}: {note}", file=sys.stderr)


def verdicts(found: Sequence[Reading], l2_bytes: int) -> list[tuple[str, str, str]]:
    """Each aim, what came of it ("met", "missed" or "not measured"), and by what figure."""
    graphs = [r for r in found if r.clock == GRAPH]
    clean = [r for r in found if r.way != WRITTEN]  # what is written back lies in the first call of a graph alone
    hot = {(r.length_ns, r.copies): r.median_ns for r in graphs if r.way == HOT}
    fitting = [r for r in graphs if r.way == READ and 2 * r.bytes_a_call <= l2_bytes and r.median_ns >= FROM_NS]
    return [
        _close(
            "clocks agree with cupti within 2 % from 10 µs on",
            clean,
            lambda r: (r.length_ns, r.way, r.copies),
            CUPTI,
        ),
        _close(
            "cuda_graph says the same on two sets of inputs and on eight within 2 % from 10 µs on",
            [r for r in clean if r.clock == GRAPH],
            lambda r: (r.length_ns, r.way),
        ),
        _verdict(
            "a flush by reads lengthens no call beyond one by writes",
            [(r, w) for r, w in _flushes(found) if r.median_ns >= FROM_NS],
            lambda r, w: r.median_ns / w.median_ns - 1 <= CLOSE,
            lambda r, w: f"{units.format_time(r.median_ns)} and {units.format_time(w.median_ns)}",
            lambda r, w: r.median_ns / w.median_ns,
        ),
        _verdict(
            "cold is colder than hot, of data that fit into the L2",
            [(r, hot_ns) for r in fitting if (hot_ns := hot.get((r.length_ns, r.copies))) is not None],
            lambda r, hot_ns: r.median_ns > COLDER * hot_ns,
            lambda r, hot_ns: f"{units.format_time(r.median_ns)} and {units.format_time(hot_ns)}",
            lambda r, hot_ns: hot_ns / r.median_ns,
        ),
    ]


def _flushes(found: Sequence[Reading]) -> list[tuple[Reading, Reading]]:
    """Readings of one kernel by one clock after a flush by reads and by writes."""
    written = {(r.length_ns, r.copies, r.clock): r for r in found if r.way == WRITTEN}
    return [(r, written[key]) for r in found if r.way == READ and (key := (r.length_ns, r.copies, r.clock)) in written]


def _close(
    aim: str, found: Sequence[Reading], key: Callable[[Reading], object], standard: str | None = None
) -> tuple[str, str, str]:
    """Whether readings of one key are within `CLOSE` of that by the standard clock, or of the first."""
    standards: dict[object, Reading] = {}
    for r in found:
        if standard in (None, r.clock):
            standards.setdefault(key(r), r)
    pairs = [(r, standards[key(r)]) for r in found if key(r) in standards and r is not standards[key(r)]]
    return _verdict(
        aim,
        [(r, s) for r, s in pairs if s.median_ns >= FROM_NS],
        lambda r, s: abs(r.median_ns / s.median_ns - 1) <= CLOSE,
        lambda r, s: f"{r.clock} {units.format_time(r.median_ns)}, {s.clock} {units.format_time(s.median_ns)}",
        lambda r, s: abs(r.median_ns / s.median_ns - 1),
    )


def _verdict(
    aim: str,
    pairs: Sequence[tuple[Reading, object]],
    holds: Callable[..., bool],
    words: Callable[..., str],
    badness: Callable[..., float],
) -> tuple[str, str, str]:
    """The worst of the pairs decides and is shown."""
    if not pairs:
        return aim, "not measured", ""
    worst, other = max(pairs, key=lambda pair: badness(*pair))
    where = f"{worst.way}, {worst.copies} sets, at {units.format_time(worst.length_ns)}: {words(worst, other)}"
    return aim, "met" if all(holds(*pair) for pair in pairs) else "missed", where


def show(found: Sequence[Reading], l2_bytes: int) -> bool:
    """Print all; whether no aim is missed."""
    print("| kernel of about | L2 | sets | clock | median | least to largest of rounds | null span subtracted |")
    print("|---|---|---|---|---|---|---|")
    for r in found:
        null = units.format_time(r.null_ns) if r.null_ns is not None else units.MISSING
        kernel = f"{units.format_time(r.length_ns)}, {units.format_bytes(r.bytes_a_call)}"
        spread = units.format_interval(r.least_ns, r.most_ns, "ns")
        median = units.format_time(r.median_ns)
        print(f"| {kernel} | {r.way} | {r.copies} | {r.clock} | {median} | {spread} | {null} |")
    decided = verdicts(found, l2_bytes)
    print()
    for aim, verdict, figure in decided:
        print(f"{verdict}: {aim}{f' (worst: {figure})' if figure else ''}")
    added = [(w.median_ns - r.median_ns, r) for r, w in _flushes(found)]
    if added:
        most_ns, r = max(added, key=lambda pair: pair[0])
        print(
            f"a flush by writes adds {units.format_time(most_ns)} at most ({r.clock}, {units.format_time(r.length_ns)})"
        )
    return all(verdict != "missed" for _, verdict, _ in decided)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    if not torch.cuda.is_available():
        sys.exit("clock_agreement.py compares the clocks of a CUDA GPU, and torch finds none here")
    gpu = CudaGpu(torch.device("cuda"))
    print(f"{gpu.name}, torch {torch.__version__}, {rounds} rounds of {SAMPLES} samples\n")
    make = functools.partial(_additions, gpu)
    good = show(list(readings(gpu, make, rounds)), gpu.l2_bytes)
    for length_ns in LENGTHS_NS:
        for peer, measure in _peers(make(length_ns, 1)[0][0]).items():
            print(f"{peer} of {units.format_time(length_ns)}: {units.format_time(measure())}")
    sys.exit(0 if good else 1)


def _additions(gpu: CudaGpu, length_ns: float, copies: int) -> tuple[list[Call], int]:
    elements = _sized(gpu, length_ns)
    return [_addition(elements) for _ in range(copies)], 12 * elements


def _addition(elements: int) -> Call:
    x, y = (torch.randn(elements, device="cuda") for _ in range(2))
    return functools.partial(torch.add, x, y, out=torch.empty_like(x))


@functools.cache
def _sized(gpu: CudaGpu, length_ns: float) -> int:
    """How many elements take about that long."""
    elements = 1024
    while rough_ns(gpu, [_addition(elements)]) < length_ns and elements < 1 << 30:
        elements *= 2
    for _ in range(STEPS):
        elements = max(256, int(elements * length_ns / rough_ns(gpu, [_addition(elements)])))
    return elements


def _peers(call: Call) -> dict[str, Callable[[], float]]:
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

    return {"cold by triton do_bench": by_events, "hot by triton do_bench_cudagraph": by_graph}


if __name__ == "__main__":
    main()
