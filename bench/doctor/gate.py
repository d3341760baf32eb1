"""What the regression gate could tell here: a few live pairs of a stand-in, and decisions replayed on them."""

from __future__ import annotations

import functools
import itertools
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from attnlab.bench import units
from attnlab.bench.doctor import product
from attnlab.bench.doctor.finding import Finding, Inspection, Patient
from attnlab.bench.measuring.interleaving import interleave
from attnlab.bench.stats.paired import log_ratio
from attnlab.bench.stats.power import least_detectable, replay
from attnlab.bench.stats.verdict import TARGET, Rule

PAIRS = 10
BURSTS = 12
BURST_NS = 30 * units.NS_PER_MS
DECISIONS = 60
FAMILY = 320  # comparisons: 40 benchmarks with eight quantities each
STARTED_TOGETHER = {"cpu": 1, "cuda": 5}  # pairs: importing torch takes seconds, which those of a GPU share


def least_slowdown(patient: Patient) -> Iterator[Finding]:
    """The least slowdown that 95 % of the gate's decisions would find; nothing where no pairs can be had."""
    if patient.pairs is None:
        return
    ratios = patient.pairs(PAIRS)
    alone = replay({"it": [x - statistics.median(ratios) for x in ratios]}, Rule(), DECISIONS, seed=0)
    found, among = (
        least_detectable(ratios, Rule(), DECISIONS, seed=0, target=TARGET, besides=round(others * alone.suspects))
        for others in (0, FAMILY - 1)
    )
    scatter = units.format_share(statistics.stdev(ratios))
    noisy = found is None or found > 2 * TARGET
    family = f"{units.format_share(among)} of one in {FAMILY}" if among is not None else f"none of one in {FAMILY}"
    yield Finding(
        "least slowdown that `attnlab gate` would find here",
        f"about {units.format_share(found)} of a single comparison, {family} "
        f"({PAIRS} pairs of processes differ by {scatter})"
        if found is not None
        else f"none below twice the time ({PAIRS} pairs of processes differ by {scatter})",
        "stop what else is running, give the gate a machine of its own, or raise its target; `attnlab gate --aa` "
        "says it for your own benchmarks"
        if noisy
        else None,
    )


def live_pairs(kind: str, count: int) -> list[float]:
    """The log-ratio of each pair of two processes that do the same, alive together and taking turns.

    Where several pairs are started together, none is timed before all are ready, and then one at a time.
    """
    ratios: list[float] = []
    while len(ratios) < count:
        with ExitStack() as stack:
            started = range(min(STARTED_TOGETHER[kind], count - len(ratios)))
            pairs = [[stack.enter_context(_Product(kind)) for _ in range(2)] for _ in started]
            for process in itertools.chain(*pairs):
                process.ready()
            ratios += [_ratio(pair, number) for number, pair in enumerate(pairs, len(ratios))]
    return ratios


def _ratio(pair: Sequence[_Product], number: int) -> float:
    times: tuple[list[float], list[float]] = ([], [])
    for _, which in interleave((0, 1), BURSTS, number):
        times[which].append(pair[which].burst())
    return log_ratio(*times)


def pairs_on(kind: str) -> functools.partial[list[float]]:
    return functools.partial(live_pairs, kind)


class _Product:
    def __init__(self, kind: str) -> None:
        command = [sys.executable, "-P", str(Path(product.__file__)), kind]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> _Product:
        return self

    def ready(self) -> None:
        self._line()

    def burst(self) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{int(BURST_NS)}\n")
        self._process.stdin.flush()
        return float(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process of the doctor ended with exit code {self._process.wait()}")
        return line

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()


INSPECTIONS = (Inspection(90, least_slowdown),)
