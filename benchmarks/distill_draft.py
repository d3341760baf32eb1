"""A small draft for a model, distilled from it within minutes on a CPU, and what it is worth on texts it never saw.

    python benchmarks/distill_draft.py --out build/draft [--layers 4] [--minutes 10] [--rounds 8]
    attnlab run generate -a decoding=greedy,draft_model:2 -a draft=build/draft

The draft keeps the model's embedding, head and some of its layers, which alone are trained. It learns the model's own
distribution of the next token (its 64 likeliest tokens, as shares of their sum) on two kinds of text: the shipped ones,
and the model's greedy answers to prompts made of them. The last text of each set of prompts, and the last tenth of the
captured ones, are held out of both. The folder is written as `draft=PATH` reads it.

The budget is processor time, that of two cores for so many minutes by default, so that a machine shared with others
gives the same draft. Then plain decoding and the draft answer the same held-out prompts in turn; shown is the
Hodges-Lehmann estimate of the speed-up after the first token with the signed-rank interval of 95 %.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from speculation import CPU, PLAIN, Served, gain
from torch import Tensor

from attnlab.bench import discover, units
from attnlab.bench.llm.captured.texts import token_ids
from attnlab.bench.llm.models.huggingface import save_folder
from attnlab.bench.llm.models.load import load_model, load_tokenizer
from attnlab.bench.llm.models.prompts.prompts import prompt_text
from attnlab.bench.llm.models.prompts.texts import SETS, PromptSet
from attnlab.bench.llm.models.reference import Layer, decode, embedded, reference_greedy, reference_logits, rms_norm
from attnlab.bench.llm.models.sources import PACKAGED
from attnlab.bench.llm.models.tokenizer import Tokenizer
from attnlab.bench.llm.models.weights import LayerWeights, ModelWeights
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import GENERATE

CORES = 2
HELD_OUT = 0.1  # of the captured texts, at their ends
PROMPT, ANSWER, WINDOW = 160, 96, 256  # tokens of a prompt, of the answer to learn from, and of a piece of plain text
LIKELIEST = 64  # tokens of the model's distribution that are kept
HELD_ANSWERS = 2  # of each set, to tell what was learned
ROWS = 4  # of a step
RATE, WARM = 6e-4, 0.05  # the largest step, and the share of the budget until it is reached
TOGETHER = 16  # rows that the model reads or answers at once


@dataclass(frozen=True)
class SomeTexts(PromptSet):
    """A set of prompts made of some of its texts only."""

    kept: tuple[int, ...] = ()

    @property
    def items(self) -> tuple[str, ...]:
        whole = SETS[self.name].items
        return tuple(whole[index] for index in self.kept)


@dataclass(frozen=True, eq=False)
class Row:
    """A text [T] and what the model says behind each of its tokens from `first` on: ids and shares [T − first, 64]."""

    ids: Tensor
    first: int
    likeliest: Tensor
    shares: Tensor


@dataclass(frozen=True)
class Options:
    """What is made: see --help."""

    out: Path
    layers: int
    minutes: float
    answers: int
    rounds: int
    prompt_len: int
    new_tokens: int
    guesses: list[int]
    implementation: str
    dtype: str

    @classmethod
    def read(cls) -> Options:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--out", type=Path, required=True)
        parser.add_argument("--layers", type=int, default=4)
        parser.add_argument("--minutes", type=float, default=10.0, help=f"of {CORES} cores; 0: judge what is in --out")
        parser.add_argument("--answers", type=int, default=64, help="of the model to prompts of each set")
        parser.add_argument("--rounds", type=int, default=8)
        parser.add_argument("--prompt-len", type=int, default=128)
        parser.add_argument("--new-tokens", type=int, default=48)
        parser.add_argument("--guesses", type=int, nargs="+", default=[1, 2, 3])
        parser.add_argument("--implementation", default="sdpa")
        parser.add_argument("--dtype", default="float32")
        return cls(**vars(parser.parse_args()))


def main() -> None:
    options, begun = Options.read(), time.process_time()
    if options.minutes:
        target, tokenizer = load_model(PACKAGED), load_tokenizer(PACKAGED)
        rows = list(training_rows(target, tokenizer, options.answers))
        held = [row for name in SETS for row in answered(target, tokenizer, some_of(name, held_out=True), HELD_ANSWERS)]
        print(f"{len(rows)} texts, {sum(len(r.shares) for r in rows)} places, {time.process_time() - begun:.0f} s")
        draft = kept_of(target, options.layers)
        print(f"{draft.origin}: {agreement(draft, held):.1%} of held-out answers' tokens before it learned")
        draft = trained(draft, rows, begun + options.minutes * 60 * CORES)
        print(f"{agreement(draft, held):.1%} after, {time.process_time() - begun:.0f} s of processor time in all")
        save_folder(draft.to(CPU, torch.bfloat16), options.out)
    judge(options)


def some_of(name: str, held_out: bool) -> SomeTexts:
    """The last text of a set, or all others."""
    whole, count = SETS[name], len(SETS[name].items)
    kept = (count - 1,) if held_out else tuple(range(count - 1))
    return SomeTexts(whole.name, whole.instructions, whole.is_prose, kept)


def training_rows(target: ModelWeights, tokenizer: Tokenizer, answers: int) -> Iterator[Row]:
    """The model's answers, and plain text."""
    plain = []
    for name in SETS:
        yield from answered(target, tokenizer, some_of(name, held_out=False), answers)
        plain += [torch.tensor(tokenizer.encode(text)) for text in some_of(name, held_out=False).items]
    for name in ("prose", "code"):
        ids = token_ids(name)
        plain.append(ids[: int(len(ids) * (1 - HELD_OUT))])
    pieces = [piece for ids in plain for piece in ids.split(WINDOW) if len(piece) == WINDOW]
    yield from told(target, torch.stack(pieces), first=0)


def answered(target: ModelWeights, tokenizer: Tokenizer, texts: PromptSet, count: int) -> Iterator[Row]:
    """The model's greedy answers to so many prompts of some texts."""
    ids = torch.tensor([tokenizer.encode(prompt_text(texts, tokenizer, n, PROMPT)) for n in range(count)])
    for part in ids.split(TOGETHER):
        answer = reference_greedy(target, part, ANSWER, torch.bfloat16)
        yield from told(target, torch.cat([part, answer], 1), PROMPT - 1)


def told(target: ModelWeights, ids: Tensor, first: int) -> Iterator[Row]:
    """What the model says of each text [R, T] behind its tokens from `first` on."""
    for part in ids.split(TOGETHER):
        logits = reference_logits(target, part, torch.bfloat16, last=part.shape[1] - first)
        for row, said in zip(part, logits, strict=True):
            best = said.float().topk(LIKELIEST)
            yield Row(row, first, best.indices, best.values.softmax(-1))


def kept_of(target: ModelWeights, count: int) -> ModelWeights:
    """The model's first layers and its last one, so many in all: neighbours know each other's output."""
    depth = len(target.layers)
    if not 2 <= count < depth:
        raise SystemExit(f"got --layers {count}; expected 2 to {depth - 1}, as the model has {depth}")
    return target.skipping((*range(count - 1), depth - 1))


def loss(draft: ModelWeights, rows: list[Row]) -> Tensor:
    """Mean cross-entropy of the draft against the model's shares, over the places of rows of one length."""
    said = logits_of(draft, rows)
    chosen = said.gather(-1, torch.cat([row.likeliest for row in rows])).float()
    return (torch.logsumexp(said.float(), -1) - (chosen * torch.cat([row.shares for row in rows])).sum(-1)).mean()


def logits_of(draft: ModelWeights, rows: list[Row]) -> Tensor:
    """At the places of rows of one length, one behind the other, [N, V]; products in bfloat16."""
    config, (length,) = draft.config, {len(row.ids) for row in rows}
    config = config.settled(length, length)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = embedded(draft, torch.stack([row.ids for row in rows]), torch.float32)
        for index, layer in enumerate(draft.layers):
            hidden = decode(Layer(layer, config, index), hidden, None)[0]
        normed = rms_norm(hidden, draft.output_norm, config.norm_eps)
        parts = [x[row.first :] for x, row in zip(normed, rows, strict=True)]
        return torch.cat(parts).bfloat16() @ draft.head.T


def trained(draft: ModelWeights, rows: list[Row], until: float) -> ModelWeights:
    """The draft after as many steps as fit until that processor time; its embedding and head stay."""
    own = [mapped(layer, lambda x: x.clone().requires_grad_()) for layer in draft.layers]
    norm = draft.output_norm.clone().requires_grad_()
    learning = dataclasses.replace(draft, layers=tuple(own), output_norm=norm, head=draft.head.bfloat16())
    optimiser = torch.optim.AdamW([*(x for layer in own for x in layer.tensors()), norm], weight_decay=0.01)
    begun, told_at, losses = time.process_time(), 0.0, list[float]()
    if begun >= until:
        raise SystemExit("nothing of the budget is left to learn in; expected more --minutes, or fewer --answers")
    for batch in batches(rows):
        passed = (time.process_time() - begun) / (until - begun)
        if passed >= 1:
            break
        rate = RATE * min(1.0, passed / WARM + 0.02) * (0.03 + 0.97 * (1 + math.cos(math.pi * passed)) / 2)
        for group in optimiser.param_groups:
            group["lr"] = rate
        value = loss(learning, batch)
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_([norm, *(x for layer in own for x in layer.tensors())], 1.0)
        optimiser.step()
        losses.append(float(value.detach()))
        if passed - told_at > 0.1:
            told_at = passed
            print(f"{passed:.0%}, step {len(losses)}: loss {sum(losses[-20:]) / len(losses[-20:]):.3f}", flush=True)
    layers = tuple(mapped(layer, Tensor.detach) for layer in own)
    return dataclasses.replace(draft, layers=layers, output_norm=norm.detach())


def mapped(layer: LayerWeights, function: Callable[[Tensor], Tensor]) -> LayerWeights:
    return layer.changed({name: function(x) for name, x in layer.dense.items()})


def batches(rows: list[Row]) -> Iterator[list[Row]]:
    """Rows of one length, in an order that is new each time through, without an end."""
    generator = torch.Generator().manual_seed(0)
    while True:
        order = [rows[n] for n in torch.randperm(len(rows), generator=generator).tolist()]
        yield from (order[n : n + ROWS] for n in range(0, len(order) - ROWS + 1, ROWS))


@torch.no_grad()
def agreement(draft: ModelWeights, rows: list[Row]) -> float:
    """The share of the model's own likeliest tokens that the draft has as its likeliest."""
    bf16 = dataclasses.replace(draft, head=draft.head.bfloat16())
    same = [logits_of(bf16, [row]).argmax(-1) == row.likeliest[:, 0] for row in rows]
    return float(torch.cat(same).double().mean())


def judge(options: Options) -> None:
    """Plain decoding and the draft on held-out prompts, in turn."""
    made, tokenizer = discover().implementations("generate").get(options.implementation), load_tokenizer(PACKAGED)
    methods = (PLAIN, *(f"draft_model:{count}" for count in options.guesses))
    cases = {method: case_of(options, method) for method in methods}
    inputs = {method: GENERATE.make_inputs(case, "normal", 0, CPU) for method, case in cases.items()}
    states = {method: made.prepare(case, inputs[method]) for method, case in cases.items()}
    for method in methods:
        made.run(inputs[method], states[method])
    print(f"\n{made.key}, {options.dtype}, prompts of {options.prompt_len} tokens, answers of {options.new_tokens}\n")
    print("| prompts | guesses | speed-up after the first token | accepted | by place ahead | tokens a pass | passes |")
    print("|---|---|---|---|---|---|---|")
    for name in SETS:
        texts, found = some_of(name, held_out=True), {method: Served() for method in methods}
        for number in range(options.rounds):
            text = prompt_text(texts, tokenizer, number, options.prompt_len)
            prompt = torch.tensor([tokenizer.encode(text)])
            for method in (*methods[number % len(methods) :], *methods[: number % len(methods)]):
                found[method].add(made.run(dataclasses.replace(inputs[method], prompts=prompt), states[method]))
        for method, count in zip(methods[1:], options.guesses, strict=True):
            print(f"| {name} | {count} | {told_of(found[PLAIN], found[method])} |")


def case_of(options: Options, method: str) -> GenerateCase:
    axes: dict[str, object] = {"prompt_len": options.prompt_len, "new_tokens": options.new_tokens}
    drafted = {} if method == PLAIN else {"draft": str(options.out)}
    return GenerateCase.build({"decoding": method, "dtype": options.dtype, **axes, **drafted})


def told_of(plain: Served, served: Served) -> str:
    places = " ".join(units.format_share(share) for share in served.by_position)
    times = [median(s.times_ns((k,))) for s, k in ((plain, "decode"), (served, "verify"), (served, "draft"))]
    passes = ", ".join(units.format_time(time) for time in times)
    accepted = units.format_share(served.acceptance)
    return f"{gain(plain, served, after_first=True)} | {accepted} | {places} | {served.length:.2f} | {passes}"


if __name__ == "__main__":
    main()
