"""Speed-up by guesses accepted, drawn on this device by guesses that no drafter makes, and how real methods lie on it.

    python benchmarks/speculation_curve.py [--guesses 4] [--rounds 6] [--chances 0 0.5 0.8 1] [--plot curve.png]

In each round plain greedy decoding, synthetic guesses of every chance, prompt lookup and the built-in draft answer the
same new prompt, in an order that turns. Synthetic guesses are drawn twice: at no cost, as prompt lookup has it, and
with the built-in draft running for each guess, its own guesses thrown away. Ratios are to plain decoding, of the time
after the first token: the Hodges-Lehmann estimate with the signed-rank interval of 95 % (six rounds or more).

A pass that judges K guesses gives 1 + K · rate tokens, so the speed-up is a straight line over the share accepted. A
method that guesses in every pass has to lie on the line of its cost; one that guesses in some passes lies between that
line and 1, as those passes have it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from speculation import CPU, PLAIN, Served, estimated

from attnlab.bench import discover, units
from attnlab.bench.llm.generation.synthetic import SyntheticGuesses
from attnlab.bench.llm.models.huggingface import save_folder
from attnlab.bench.llm.models.load import load_model
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.impls.generate._engine.decoding.draft_model import skip_layers

NEAR = 0.05  # of a speed-up: no difference
FREE, DRAFTED = "at no cost", "at the draft's cost"


@dataclass(frozen=True)
class Options:
    """What is run: see --help."""

    implementation: str
    guesses: int
    rounds: int
    chances: list[float]
    prompts: str
    prompt_len: int
    new_tokens: int
    dtype: str
    plot: Path | None

    @classmethod
    def read(cls) -> Options:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--implementation", default="sdpa")
        parser.add_argument("--guesses", type=int, default=4)
        parser.add_argument("--rounds", type=int, default=6)
        parser.add_argument("--chances", type=float, nargs="+", default=[0.0, 0.5, 0.8, 1.0])
        parser.add_argument("--prompts", default="summarise")
        parser.add_argument("--prompt-len", type=int, default=192)
        parser.add_argument("--new-tokens", type=int, default=32)
        parser.add_argument("--dtype", default="float32")
        parser.add_argument("--plot", type=Path, help="a picture of the lines and of what was measured beside them")
        return cls(**vars(parser.parse_args()))

    def case(self, decoding: str, draft: str | None = None) -> GenerateCase:
        axes: dict[str, object] = {"prompts": self.prompts, "prompt_len": self.prompt_len, "dtype": self.dtype}
        drafted = {} if draft is None else {"draft": draft}
        return GenerateCase.build({"new_tokens": self.new_tokens, "decoding": decoding, **axes, **drafted})

    def cases(self, draft: str) -> dict[str, GenerateCase]:
        """One for plain decoding, each line and each real method."""
        certain = f"synthetic:{self.guesses}:a1"
        told = {PLAIN: self.case(PLAIN), FREE: self.case(certain), DRAFTED: self.case(certain, draft)}
        real = [f"{method}:{self.guesses}" for method in ("prompt_lookup", "draft_model")]
        return told | {method: self.case(method) for method in real}


@dataclass(frozen=True)
class Point:
    """Guesses of one kind: the share accepted, the share of passes that guessed, and the speed-up with its interval."""

    rate: float
    guessing: float
    low: float
    speedup: float
    high: float
    draft: float  # of a guess, in plain passes

    @classmethod
    def of(cls, plain: Served, served: Served) -> Point:
        centre, low, high = estimated(plain, served, after_first=True)
        guessing, drafts = len(served.times_ns(("verify",))), served.times_ns(("draft",))
        cost = median(drafts) / median(plain.times_ns(("decode",))) if drafts else 0.0
        whole = guessing + len(served.times_ns(("decode",)))
        return cls(served.acceptance, guessing / whole, low, centre, high, cost)

    @property
    def told(self) -> str:
        return f"{self.speedup:.2f} ({self.low:.2f} to {self.high:.2f})"


def main() -> None:
    options = Options.read()
    made = discover().implementations("generate").get(options.implementation)
    with tempfile.TemporaryDirectory() as folder:
        save_folder(skip_layers(load_model("smollm2_135m")).to(CPU, torch.bfloat16), Path(folder) / "draft")
        cases = options.cases(str(Path(folder) / "draft"))
        first = GENERATE.make_inputs(options.case(f"synthetic:{options.guesses}:a1"), "normal", 0, CPU)
        states: dict[str, Any] = {name: made.prepare(case, first) for name, case in cases.items()}
        chances = {name: options.chances if name in (FREE, DRAFTED) else [1.0] for name in cases}
        calls = [(name, chance) for name in cases for chance in chances[name]]
        found = {call: Served() for call in calls}
        for number in range(-1, options.rounds):
            inputs = GENERATE.make_inputs(cases[FREE], "normal", number + 1, CPU)
            turn = max(0, number) % len(calls)
            for name, chance in (*calls[turn:], *calls[:turn]):
                if name in (FREE, DRAFTED):  # one engine for all chances, as each holds the weights once more
                    states[name].full.method.drafter.told = SyntheticGuesses((chance,) * options.guesses)
                answer = made.run(inputs, states[name])
                if number >= 0:  # the first round is to warm up
                    found[name, chance].add(answer)
    plain = found.pop((PLAIN, 1.0))
    points = {call: Point.of(plain, served) for call, served in found.items()}
    lines = {
        line: sorted((p for (name, _), p in points.items() if name == line), key=lambda p: p.rate)
        for line in (FREE, DRAFTED)
    }
    real = {name: p for (name, _), p in points.items() if name not in lines}
    threads = torch.get_num_threads()
    print(f"{options.guesses} guesses, {options.prompts}, {options.dtype}, {made.key}, threads: {threads}.\n")
    for line, its in lines.items():
        print(f"Synthetic guesses {line} {told_even(its)}.")
    for name, point in real.items():
        print(f"`{name}` {told_place(name, point, lines, options.guesses)}.")
    print("\n| guesses | chance | accepted | speed-up after the first token | a guess, in plain passes |")
    print("|---|---|---|---|---|")
    for (name, chance), p in points.items():
        label = (f"synthetic, {name}", f"{chance:g}") if name in lines else (f"`{name}`", "–")
        print(f"| {label[0]} | {label[1]} | {units.format_share(p.rate)} | {p.told} | {p.draft:.2f} |")
    if options.plot is not None:
        draw(options.plot, lines, real)


def at(line: Sequence[Point], rate: float) -> float:
    """The speed-up of a line at a share accepted, drawn on beyond its ends."""
    pairs = list(pairwise(line))
    a, b = next(
        (pair for pair in pairs if pair[0].rate <= rate <= pair[1].rate), pairs[0 if rate < line[0].rate else -1]
    )
    return a.speedup + (b.speedup - a.speedup) * (rate - a.rate) / (b.rate - a.rate)


def told_even(line: Sequence[Point]) -> str:
    for a, b in pairwise(line):
        if a.speedup < 1 <= b.speedup:
            even = a.rate + (b.rate - a.rate) * (1 - a.speedup) / (b.speedup - a.speedup)
            return f"gain from {units.format_share(even)} accepted on"
    return "gain wherever they were tried" if line[0].speedup >= 1 else "gain nowhere"


def told_place(name: str, point: Point, lines: dict[str, list[Point]], guesses: int) -> str:
    """Whether a method is on the line of its cost; of one that guesses in some passes, as those passes have it."""
    line = lines[DRAFTED if name.startswith("draft") else FREE]
    said, why = at(line, point.rate), ""
    if point.guessing < 1 - NEAR:
        tokens = 1 + guesses * point.rate
        share = point.guessing
        mixed = (share * tokens + 1 - share) / (share * tokens / said + 1 - share)
        why = f": {said:.2f} in the {units.format_share(share)} of passes that it guessed in, 1 in the others"
        said = mixed
    on = point.low <= said <= point.high or abs(point.speedup / said - 1) <= NEAR
    place = "lies on the line" if on else f"lies {'above' if point.speedup > said else 'below'} the line"
    return f"{place}: {point.told} at {units.format_share(point.rate)} accepted, the line has {said:.2f}{why}"


def draw(path: Path, lines: dict[str, list[Point]], real: dict[str, Point]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for line, points in lines.items():
        x, y = [100 * p.rate for p in points], [p.speedup for p in points]
        reach = [[p.speedup - p.low for p in points], [p.high - p.speedup for p in points]]
        axes.errorbar(x, y, yerr=reach, marker="o", capsize=2, label=f"synthetic, {line}")
    for name, p in real.items():
        reach = [[p.speedup - p.low], [p.high - p.speedup]]
        axes.errorbar([100 * p.rate], [p.speedup], yerr=reach, marker="D", capsize=2, linestyle="none", label=name)
    axes.axhline(1.0, color="grey", linewidth=0.8)
    axes.set(xlabel="guesses accepted, %", ylabel="speed-up after the first token", ylim=(0, None))
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
