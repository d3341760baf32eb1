"""What guessing ahead gains on a real model, set of prompts by set of prompts, and the proof that it changes no token.

    python benchmarks/speculation.py [--guesses 4] [--rounds 6] [--sets summarise code] [--dtypes float32]
    python benchmarks/speculation.py --draft smollm2_135m --draft-weights int8

In each round plain greedy decoding, prompt lookup and the draft model answer the same new prompt, one after another in
an order that turns. A round gives each method one ratio to plain decoding, of the time after the first token and of the
whole request; shown is the Hodges-Lehmann estimate with the signed-rank interval of 95 % (six rounds or more). Then the
target reads every answer: each token must be its argmax within the numeric noise of one pass against another.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import torch
from torch import Tensor

from attnlab.bench import discover, units
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.llm.generation.events import CallLog
from attnlab.bench.llm.generation.latencies import end_to_end_ns, tpot_ns
from attnlab.bench.ops.generate.answers import Answers, answer_logits, regret
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs, GenerateOutputs
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.bench.stats.paired import log_ratio, signed_rank_interval, walsh_averages

SETS = ("summarise", "translate", "chat", "code")
DTYPES = ("float32", "bfloat16")
PLAIN = "greedy"
TAIL = 0.025
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Options:
    """What is run: see --help."""

    implementation: str
    guesses: int
    rounds: int
    prompt_len: int
    new_tokens: int
    draft: str
    draft_weights: str
    sets: tuple[str, ...]
    dtypes: tuple[str, ...]

    @classmethod
    def read(cls) -> Options:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--implementation", default="sdpa")
        parser.add_argument("--guesses", type=int, default=4)
        parser.add_argument("--rounds", type=int, default=6)
        parser.add_argument("--prompt-len", type=int, default=192)
        parser.add_argument("--new-tokens", type=int, default=48)
        parser.add_argument("--draft", default="skipped")
        parser.add_argument("--draft-weights", default="same", help="how the draft's weights are stored, such as int8")
        parser.add_argument("--sets", nargs="+", default=SETS)
        parser.add_argument("--dtypes", nargs="+", default=DTYPES)
        given = parser.parse_args()
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in vars(given).items()})

    @property
    def methods(self) -> tuple[str, ...]:
        return PLAIN, f"prompt_lookup:{self.guesses}", f"draft_model:{self.guesses}"

    def case(self, method: str, prompts: str, dtype: str) -> GenerateCase:
        draft = {"draft": self.draft, "draft_weights": self.draft_weights}
        drafted = draft if method.startswith("draft_model") else {}
        return GenerateCase.build(
            {
                "prompts": prompts,
                "prompt_len": self.prompt_len,
                "new_tokens": self.new_tokens,
                "decoding": method,
                "dtype": dtype,
                **drafted,
            }
        )


@dataclass(frozen=True, eq=False)
class Served:
    """One method's answers to the prompts of a set, one a round: tokens [N], and the log of each."""

    tokens: list[Tensor] = field(default_factory=list)
    logs: list[CallLog] = field(default_factory=list)

    def add(self, found: GenerateOutputs) -> None:
        self.tokens.append(found.tokens[0].cpu())
        self.logs.append(found.log)

    def times_ns(self, kinds: Sequence[str]) -> list[float]:
        return [p.elapsed_ns for log in self.logs for p in log.passes if p.kind in kinds]

    @property
    def judged(self) -> list[tuple[int, int]]:
        """Guesses of each pass that judged some, and how many of them stood."""
        return [(p.drafted[0], p.accepted[0]) for log in self.logs for p in log.passes if p.drafted]

    @property
    def acceptance(self) -> float:
        return sum(a for _, a in self.judged) / max(1, sum(d for d, _ in self.judged))

    @property
    def by_position(self) -> list[float]:
        """The share of guesses at each place ahead that stood."""
        places = range(max((d for d, _ in self.judged), default=0))
        return [sum(a > n for _, a in self.judged) / sum(d > n for d, _ in self.judged) for n in places]

    @property
    def length(self) -> float:
        """Tokens a pass of the target, the prompt's left out."""
        return sum(len(tokens) - 1 for tokens in self.tokens) / len(self.times_ns(("decode", "verify")))


@dataclass(frozen=True, eq=False)
class Proof:
    """What the target says of the answers that all methods gave to the prompts of a set.

    same: answers that are plain decoding's, token by token. ties: tokens that are not the argmax of the target's own
    reading; worst: how far the furthest of them is below it, in logits; noise: as far as it may be.
    """

    answers: int
    same: int
    tokens: int
    ties: int
    worst: float
    noise: float

    @property
    def verdict(self) -> str:
        return "lossless" if self.worst <= self.noise else "NOT lossless"


def main() -> None:
    options = Options.read()
    made = discover().implementations("generate").get(options.implementation)
    print(
        f"Guesses {options.guesses}, {options.rounds} rounds, {options.prompt_len} tokens of prompt and "
        f"{options.new_tokens} of answer, batch 1, draft {options.draft} in {options.draft_weights}; {made.key}, "
        f"{torch.get_num_threads()} threads."
    )
    for dtype in options.dtypes:
        states = dict(prepared(options, made, dtype))
        found = {name: served(options, made, states, name, dtype) for name in options.sets}
        print(f"\n## {dtype}\n")
        print_speed(found)
        print_acceptance(found)
        print_proof({name: prove(options, name, dtype, methods) for name, methods in found.items()})


def prepared(options: Options, made: Implementation, dtype: str) -> Iterator[tuple[str, object]]:
    """Each method set up and warm: one state serves all sets, which differ in their prompts alone."""
    for method in options.methods:
        case = options.case(method, options.sets[0], dtype)
        inputs = drawn(case, options.rounds)
        state = made.prepare(case, inputs)
        made.run(inputs, state)
        yield method, state


def drawn(case: GenerateCase, seed: int) -> GenerateInputs:
    return GENERATE.make_inputs(case, "normal", seed, CPU)


def served(
    options: Options, made: Implementation, states: dict[str, object], prompts: str, dtype: str
) -> dict[str, Served]:
    """Every method's answers to one new prompt a round."""
    found = {method: Served() for method in options.methods}
    for seed in range(options.rounds):
        turn = seed % len(options.methods)
        for method in (*options.methods[turn:], *options.methods[:turn]):
            found[method].add(made.run(drawn(options.case(method, prompts, dtype), seed), states[method]))
    return found


def gain(plain: Served, other: Served, after_first: bool) -> str:
    centre, low, high = estimated(plain, other, after_first)
    return f"{centre:.2f} ({low:.2f} to {high:.2f})"


def estimated(plain: Served, other: Served, after_first: bool) -> tuple[float, float, float]:
    """How many times quicker, and its interval; over the tokens after the first, or the whole request."""
    measure = tpot_ns if after_first else end_to_end_ns
    pairs = zip(plain.logs, other.logs, strict=True)
    times = [[measure(log.requests[0]) or 0.0 for log in pair] for pair in pairs]
    logs = [log_ratio([b], [a]) for a, b in times]
    reach = signed_rank_interval(logs, TAIL)
    return math.exp(float(np.median(walsh_averages(logs)))), math.exp(reach.low), math.exp(reach.high)


def print_speed(found: dict[str, dict[str, Served]]) -> None:
    print("| prompts | method | speed-up after the first token | of the whole request | plain pass | verify | draft |")
    print("|---|---|---|---|---|---|---|")
    for prompts, methods in found.items():
        plain = methods[PLAIN]
        for method, served in methods.items():
            if method != PLAIN:
                times = [median_time(s, k) for s, k in ((plain, "decode"), (served, "verify"), (served, "draft"))]
                gains = [gain(plain, served, after_first) for after_first in (True, False)]
                print(f"| {prompts} | `{method}` | {' | '.join([*gains, *times])} |")


def median_time(served: Served, kind: str) -> str:
    times = served.times_ns((kind,))
    return units.format_time(median(times)) if times else "–"


def print_acceptance(found: dict[str, dict[str, Served]]) -> None:
    print("\n| prompts | method | accepted | by place ahead | tokens a target pass | passes: verify, plain, draft |")
    print("|---|---|---|---|---|---|")
    for prompts, methods in found.items():
        for method, served in methods.items():
            if method != PLAIN:
                places = " ".join(units.format_share(share) for share in served.by_position)
                counts = ", ".join(str(len(served.times_ns((kind,)))) for kind in ("verify", "decode", "draft"))
                accepted = units.format_share(served.acceptance)
                print(f"| {prompts} | `{method}` | {accepted} | {places} | {served.length:.2f} | {counts} |")


def prove(options: Options, prompts: str, dtype: str, methods: dict[str, Served]) -> Proof:
    """The target reads each different answer once, in float32."""
    case = options.case(PLAIN, prompts, dtype)
    expected: Answers = GENERATE.check.expect(case, drawn(case, 0))
    allowed = next(one.allowed for one in expected.judge([expected.continuation]))
    regrets: list[Tensor] = []
    for seed in range(options.rounds):
        inputs = drawn(case, seed)
        answers = {tuple(served.tokens[seed].tolist()) for served in methods.values()}
        for answer in map(torch.tensor, answers):
            logits = answer_logits(inputs.weights, inputs.prompts[0], answer)
            regrets.append(regret(logits, answer))
    guessed = [served for method, served in methods.items() if method != PLAIN]
    same = sum(torch.equal(a, b) for s in guessed for a, b in zip(s.tokens, methods[PLAIN].tokens, strict=True))
    every = torch.cat(regrets)
    return Proof(
        options.rounds * len(guessed), same, every.numel(), int((every > 0).sum()), float(every.max()), allowed
    )


def print_proof(proofs: dict[str, Proof]) -> None:
    print("\n| prompts | same text as plain | tokens read | near-ties | furthest from the argmax | noise allowed | |")
    print("|---|---|---|---|---|---|---|")
    for prompts, p in proofs.items():
        shown = f"{p.same} of {p.answers} | {p.tokens} | {p.ties} | {p.worst:.3g} | {p.noise:.3g} | {p.verdict}"
        print(f"| {prompts} | {shown} |")


if __name__ == "__main__":
    main()
