"""What the harness adds to a timed call, and what a measurement costs beside its timed calls.

    python benchmarks/harness_overhead.py [--rounds 5]

Each implementation is timed on each case by the harness's sampling (clock `wall`) and by
`torch.utils.benchmark.Timer`, in turns within one process, on the same inputs. The ratio is of the
medians of a round; its median over rounds is printed with the least and the largest. The second
table splits the time of one whole measurement by phase.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator

import torch
from torch.utils.benchmark import Timer

from attnlab.bench import discover, units
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.machine.ceilings import load_or_measure
from attnlab.bench.machine.clocks.wall import Wall
from attnlab.bench.machine.environment import describe_device
from attnlab.bench.measuring.harness import measure
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.measuring.timing import Effort, time_calls

IMPLEMENTATIONS = ("naive", "tiled", "sdpa_flash")
CASES = ("Hq1-Sq16-D32-fp32", "Hq4-Sq128-bf16-causal", "Hq8-Hkv2-Sq512-bf16-causal")
EFFORT = Effort(sampling_limit_s=0.5, warmup_limit_s=0.3)


def ratios(implementation: Implementation, case_id: str, rounds: int) -> Iterator[float]:
    """The harness's median over Timer's, a round each; which goes first alternates."""
    operator = discover().operators.get("attention")
    case = operator.case_type.parse(case_id)
    inputs = operator.make_inputs(case, "drawn", 0, torch.device("cpu"))
    state = implementation.prepare(case, inputs)

    def call() -> object:
        return implementation.run(inputs, state)

    def ours() -> float:
        return time_calls([call], [Wall()], EFFORT).summary.median

    def theirs() -> float:
        timer = Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
        return float(units.seconds_to_ns(timer.blocked_autorange(min_run_time=0.5).median))

    for number in range(rounds):
        if number % 2:
            reference = theirs()
            yield ours() / reference
        else:
            taken = ours()
            yield taken / theirs()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    registry = discover()
    chosen = [registry.implementations("attention").get(name) for name in IMPLEMENTATIONS]
    print("harness / torch.utils.benchmark, ratio of medians (least to largest)")
    for case_id in CASES:
        for one in chosen:
            found = sorted(ratios(one, case_id, rounds))
            print(f"  {one.name:12s} {case_id:28s} {statistics.median(found):.3f} ({found[0]:.3f} to {found[-1]:.3f})")
    print("\none measurement, s by phase")
    operator = registry.operators.get("attention")
    setup = Setup(torch.device("cpu"), (Wall(),), load_or_measure(describe_device("cpu")), EFFORT)
    for case_id in CASES:
        for one in chosen:
            phases = measure(operator, operator.case_type.parse(case_id), one, setup).phases_ns
            text = ", ".join(f"{name} {units.ns_to_seconds(taken):.2f}" for name, taken in phases.items())
            print(f"  {one.name:12s} {case_id:28s} {text}")


if __name__ == "__main__":
    main()
