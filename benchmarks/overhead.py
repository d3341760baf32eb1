"""What a suite's time goes to: how much of it is neither checking, warming nor timing.

    python benchmarks/overhead.py RUN [RUN …]

From stored runs alone: the phases that each measurement keeps, the span of its bursts, and the time from the run's
start to its last burst. Of `timing`, what lies between the first and the last burst is sampling, the rest warm-up.
Turns in fresh processes are told apart: their bursts are timing, the rest of their span is starting processes,
set-up and warm-up.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from attnlab.bench import units
from attnlab.bench.store.records import Burst, Measurement
from attnlab.bench.store.run_folder import StoredRun, latest, read_run

WORK = ("checking", "warming", "timing")  # what a suite is run for; the rest is overhead
NAMES = {"check": "checking", "check timed": "checking", "warm-up": "warming", "set-up": "set-up", "inputs": "inputs"}


@dataclass(frozen=True)
class Share:
    """Seconds of a run spent on one kind of work."""

    name: str
    seconds: float


def shares(stored: StoredRun) -> list[Share]:
    """Where the time of a run went, the longest first; they sum to the time from its start to its last burst."""
    measured = latest(stored.measurements)
    spent: dict[str, float] = {}
    for m in measured:
        for name, seconds in _phases(m):
            spent[name] = spent.get(name, 0.0) + seconds
    turns = [burst for m in measured for turn in m.turns for burst in turn.launch.bursts if _timed(burst)]
    if turns:
        timing = sum(map(_length_s, turns))
        begun = _end_s(burst for m in measured for launch in m.launches for burst in launch.bursts)
        spent["timing, in turns"] = timing
        spent["turns: processes, set-up, warm-up"] = max(0.0, _end_s(turns) - begun - timing)
    total = _total_s(stored, measured)
    spent["the rest: processes, idle"] = max(0.0, total - sum(spent.values()))
    return sorted((Share(name, seconds) for name, seconds in spent.items()), key=lambda share: -share.seconds)


def overhead(found: list[Share]) -> float:
    """The share of the time that is neither checking, warming nor timing, from 0 to 1."""
    total = sum(share.seconds for share in found)
    work = sum(share.seconds for share in found if share.name.startswith(WORK))
    return 1 - work / total if total else 0.0


def _phases(m: Measurement) -> Iterator[tuple[str, float]]:
    bursts = [burst for launch in m.launches for burst in launch.bursts if _timed(burst)]
    sampling = _end_s(bursts) - bursts[0].started_s if bursts else 0.0
    for phase, taken_ns in m.phases_ns.items():
        seconds = units.ns_to_seconds(taken_ns)
        if phase == "timing" and "warm-up" not in m.phases_ns:
            yield "timing", min(sampling, seconds)
            yield "warming", max(0.0, seconds - sampling)
        else:
            yield NAMES.get(phase, phase), seconds


def _timed(burst: Burst) -> bool:
    return any(series.quantity == "latency" and series.values for series in burst.series)


def _length_s(burst: Burst) -> float:
    if burst.host is not None:
        return units.ns_to_seconds(burst.host.elapsed_ns)
    return units.ns_to_seconds(sum(sum(series.values) for series in burst.series if series.quantity == "latency"))


def _end_s(bursts: Iterable[Burst]) -> float:
    return max((burst.started_s + _length_s(burst) for burst in bursts if _timed(burst)), default=0.0)


def _total_s(stored: StoredRun, measured: Iterable[Measurement]) -> float:
    """From the run's start to its last burst."""
    launches = [launch for m in measured for launch in (*m.launches, *(turn.launch for turn in m.turns))]
    end_s = _end_s(burst for launch in launches for burst in launch.bursts)
    return max(0.0, end_s - datetime.fromisoformat(stored.run.started).timestamp())


def report(stored: StoredRun) -> Iterator[str]:
    found = shares(stored)
    total = sum(share.seconds for share in found)
    beside = units.format_share(overhead(found))
    yield f"{stored.path.name}: {total:.0f} s, of which {beside} is neither checking, warming nor timing"
    yield ""
    yield "| work | s | share |"
    yield "|---|--:|--:|"
    for share in found:
        yield f"| {share.name} | {share.seconds:.1f} | {units.format_share(share.seconds / total if total else None)} |"
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    for path in parser.parse_args().runs:
        print("\n".join(report(read_run(path))))


if __name__ == "__main__":
    main()
