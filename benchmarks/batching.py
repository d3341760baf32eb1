"""Static against continuous batching under the same load: the same prompts, arrivals and size of batch.

    python benchmarks/batching.py [--rounds 7] [--rate 2.5] [--sweep 1.25,5,10]

A round draws prompts and Poisson arrivals anew, and both ways of batching answer them, one after the other; which goes
first alternates. Each runs on the layout that suits it: static batches on contiguous caches, continuous batching on
pages. All prompts are equally long and so are all answers, which is the best case for static batches: nobody waits for
a longer answer. Figures of a call (tokens a second, goodput) are medians over rounds with 95 % intervals, and their
ratios are of rounds; times of requests are over the requests of all rounds, a 95th percentile from 100 requests on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from attnlab.bench import discover, units
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.llm.generation.arrivals import Arrivals
from attnlab.bench.llm.generation.events import RequestLog
from attnlab.bench.llm.generation.latencies import goodput, output_rate, percentile, tpot_ns, ttft_ns
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.stats.rounds import RoundFigure, ratio
from attnlab.bench.stats.summary import summarise

ARMS = {
    "static": ("sdpa", {"batching": "static", "layout": "contiguous_bhsd"}),
    "continuous": ("paged", {"batching": "continuous", "layout": "paged:16"}),
}  # the implementation, and the axes that are its own
Rates = Callable[[Sequence[RequestLog]], float | None]


@dataclass
class Arm:
    """One way of batching, set up for a case, and the calls that it answered: when each began, and its requests."""

    name: str
    implementation: Implementation
    case: GenerateCase
    state: Any
    calls: list[tuple[float, tuple[RequestLog, ...]]] = field(default_factory=list)

    def serve(self, case: GenerateCase, seed: int) -> torch.Tensor:
        """Answers to the requests that a seed draws for a case, which may arrive at another rate than its own."""
        inputs = discover().operators.get("generate").make_inputs(case, "drawn", seed, torch.device("cpu"))
        started_s = time.monotonic()
        generated = self.implementation.run(inputs, self.state)
        self.calls.append((started_s, generated.log.requests))
        return generated.tokens  # type: ignore[no-any-return]

    def rounds(self, figure: Rates) -> list[RoundFigure]:
        return [RoundFigure(started_s, figure(requests) or 0.0) for started_s, requests in self.calls]

    @property
    def requests(self) -> list[RequestLog]:
        return [request for _, requests in self.calls for request in requests]


def arms(axes: dict[str, Any]) -> list[Arm]:
    """Both ways, set up and warm."""
    operator, made = discover().operators.get("generate"), []
    for name, (implementation, own) in ARMS.items():
        case = GenerateCase.build({**axes, **own})
        chosen = discover().implementations("generate").get(implementation)
        inputs = operator.make_inputs(case, "drawn", 0, torch.device("cpu"))
        arm = Arm(name, chosen, case, chosen.prepare(case, inputs))
        arm.serve(replace(case, arrivals=Arrivals.read("together")), seed=0)  # what is set up at a first use
        arm.calls.clear()
        made.append(arm)
    return made


def take_turns(both: Sequence[Arm], rate: float, seeds: Sequence[int]) -> float:
    """Let both answer the requests of each seed -> the share of texts that are the same token by token."""
    same = []
    for number, seed in enumerate(seeds):
        texts = []
        for arm in both if number % 2 == 0 else both[::-1]:
            texts.append(arm.serve(replace(arm.case, arrivals=Arrivals.read(f"poisson:{rate:g}")), seed))
        same += [bool(torch.equal(a, b)) for a, b in zip(*texts, strict=True)]
    return sum(same) / len(same)


def median_of(rounds: Sequence[RoundFigure], form: str = "{:.3g}") -> str:
    """`12.3 (11.9 to 12.8)`."""
    found = summarise([r.value for r in rounds])
    low, high = (form.format(x) if abs(x) < float("inf") else units.MISSING for x in (found.low, found.high))
    return f"{form.format(found.median)} ({low} to {high})"


def times_of(requests: Sequence[RequestLog], time_ns: Callable[[RequestLog], float | None]) -> tuple[str, str]:
    """Median with its interval, and the 95th percentile."""
    known = [found for request in requests if (found := time_ns(request)) is not None]
    if not known:
        return units.MISSING, units.MISSING
    middle = summarise(known)
    texts = [units.format_time(x) if abs(x) < float("inf") else units.MISSING for x in (middle.low, middle.high)]
    return f"{units.format_time(middle.median)} ({texts[0]} to {texts[1]})", units.format_time(percentile(known, 0.95))


def comparison(both: Sequence[Arm]) -> list[str]:
    """Rows of the table at one load, and the ratios of the rounds."""
    lines = [
        "| batching | tokens/s | goodput, requests/s | TTFT | TTFT p95 | TPOT | TPOT p95 |",
        "|---|---|---|---|---|---|---|",
    ]
    figures = figures_of(both[0].case)
    for arm in both:
        rates = [median_of(arm.rounds(figure)) for figure in figures.values()]
        cells = [*rates, *times_of(arm.requests, ttft_ns), *times_of(arm.requests, tpot_ns)]
        lines.append(f"| {arm.name} | {' | '.join(cells)} |")
    for name, figure in figures.items():
        found = ratio(both[1].rounds(figure), both[0].rounds(figure))
        if found is not None:
            low, high = units.format_ratio(found.low), units.format_ratio(found.high)
            lines.append(f"\nContinuous over static in {name}: {units.format_ratio(found.median)} ({low} to {high}).")
    return lines


def figures_of(case: GenerateCase) -> dict[str, Rates]:
    return {"tokens/s": output_rate, "goodput": lambda requests: goodput(requests, case.objectives)}


def swept(both: Sequence[Arm], rate: float) -> list[str]:
    """A row for each way at one rate of arrivals, from the calls made so far."""
    rows = []
    for arm in both:
        rates = [median_of(arm.rounds(figure)).partition(" ")[0] for figure in figures_of(arm.case).values()]
        times = [times_of(arm.requests, time_ns)[0].partition(" (")[0] for time_ns in (ttft_ns, tpot_ns)]
        rows.append(f"| {rate:g} | {arm.name} | {' | '.join([*rates, *times])} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2_135m")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rate", type=float, default=2.5, help="requests per second")
    parser.add_argument("--sweep", default="1.25,5,10", help="further rates, a call each")
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--prompt-len", type=int, default=96)
    parser.add_argument("--new-tokens", type=int, default=16)
    parser.add_argument("--objectives", default="1000,100", help="milliseconds to the first token, and for each other")
    given = parser.parse_args()
    ttft_ms, tpot_ms = given.objectives.split(",")
    axes = {name: getattr(given, name) for name in ("model", "dtype", "requests", "batch", "prompt_len", "new_tokens")}
    prompts = "summarise" if given.model == "smollm2_135m" else "random"
    both = arms({**axes, "prompts": prompts, "ttft_ms": ttft_ms, "tpot_ms": tpot_ms})

    same = take_turns(both, given.rate, range(1, given.rounds + 1))
    print(
        f"{given.rate:g} requests a second, {given.rounds} rounds of {given.requests}, batches of {given.batch}, "
        f"{given.prompt_len} + {given.new_tokens} tokens, {given.dtype}, {torch.get_num_threads()} threads; "
        f"{100 * same:.0f} % of the texts are the same token by token\n"
    )
    print("\n".join(comparison(both)))
    print("\n| requests/s | batching | tokens/s | goodput, requests/s | TTFT | TPOT |\n|---|---|---|---|---|---|")
    rows = {given.rate: swept(both, given.rate)}
    for rate in map(float, filter(None, given.sweep.split(","))):
        for arm in both:
            arm.calls.clear()
        take_turns(both, rate, [given.rounds + 1])
        rows[rate] = swept(both, rate)
    print("\n".join(line for rate in sorted(rows) for line in rows[rate]))


if __name__ == "__main__":
    main()
