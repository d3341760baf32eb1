"""How often the checks of all operators alarm on honest code, on cases drawn at random.

    python benchmarks/false_alarms.py --cases 1000 --seed 0

Draws small cases of every operator of `tests/broken` at random, each with a seed of its own, and takes all its honest
implementations through the check as in a run. Prints a table in Markdown: cases, checks, and alarms with the 95 %
Clopper-Pearson bound, by operator; then each alarm. `check_power.py` says how often broken code of attention is found.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from scipy import stats

from attnlab.bench.contract.axes import DTYPES
from attnlab.bench.contract.registry import discover
from attnlab.bench.errors import ImpossibleCase, MeasurementError
from attnlab.bench.llm.quantization.coding import known_weight_formats
from attnlab.bench.measuring.judging.court import Court
from attnlab.bench.store.records import Outcome

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from broken import appending, decoding, gradients, honest, parts, sampling, variants, variants_elsewhere, weights
from broken.checking import check, implementation_of

CPU = torch.device("cpu")
Axes = dict[str, Any]
FORMATS = ("same", "same", "int8_token", "int8_channel", "fp8_e4m3", "fp8_e4m3_token", "int4_g32")
LAYOUTS = ("contiguous_bhsd", "contiguous_bshd", "paged:1", "paged:16", "paged_hsd:64")


def heads(rng: random.Random) -> Axes:
    kv_heads = rng.choice((1, 1, 2, 3))
    return {"kv_heads": kv_heads, "q_heads": kv_heads * rng.choice((1, 2, 3)), "dtype": rng.choice(list(DTYPES))}


def prompts(rng: random.Random) -> Axes:
    length = rng.choice((1, 2, 5, 16, 17, 33, 64, 65, 100, 129, 200))
    masks = ("full", "causal", "causal", f"window:{rng.choice((1, 2, 5, 16, 40))}")
    axes = heads(rng) | {"head_dim": rng.choice((1, 2, 4, 8, 16, 32, 40, 64, 80, 128)), "mask": rng.choice(masks)}
    axes["inputs"] = rng.choice(("normal", "outliers"))
    if rng.random() < 0.2:
        return axes | {"packed": [rng.choice((1, 2, 5, 17, 64)) for _ in range(rng.choice((1, 2, 3)))]}
    return axes | {"q_len": length, "kv_len": rng.choice((length, 3 * length)), "batch": rng.choice((1, 2))}


def caches(rng: random.Random) -> Axes:
    lengths = [rng.choice((1, 2, 17, 33, 64, 100, 150, 257)) for _ in range(rng.choice((1, 2, 3)))]
    axes = heads(rng) | {"batch": len(lengths), "context": "+".join(map(str, lengths)) if lengths[1:] else lengths[0]}
    axes |= {"q_len": rng.choice((1, 1, 1, 3)), "head_dim": rng.choice((32, 64, 64, 96)), "cache": rng.choice(FORMATS)}
    return axes | {"layout": rng.choice(LAYOUTS), "mask": rng.choice(("causal", "causal", "window:30"))}


def added(rng: random.Random) -> Axes:
    """What models add to attention."""
    return {
        "softcap": rng.choice((None, 2.0, 5.0, 30.0, 50.0)),
        "sinks": rng.choice(("none", "none", "zero", "learned")),
        "bias": rng.choice(("none", "alibi", "relative:4", "relative:32")),
        "qk_norm": rng.choice(("none", "none", "rms")),
    }


def tree(rng: random.Random) -> str:
    levels = rng.choice(("1x1", "2x2", "4x2x2", "3x1x1"))
    drawn = [rng.randrange(node + 1) for node in range(rng.choice((2, 5, 15)))]
    return f"tree:{rng.choice((levels, '+'.join(map(str, drawn))))}"


def prompt_variants(rng: random.Random) -> Axes:
    axes = prompts(rng) | added(rng)
    kind = rng.choice(("as drawn", "chunked", "prefix", "document", "tree", "packed", "dense"))
    if kind in ("chunked", "prefix"):
        return axes | {"mask": f"{kind}:{rng.choice((1, 3, 16, 40))}"}
    if kind == "packed":
        pack = [(rng.choice((0, 1, 5, 17, 40)), rng.choice((0, 1, 5, 17, 64))) for _ in range(rng.choice((1, 2, 4)))]
        queries, keys = zip(*pack, (2, 3), strict=True)
        own = {name: axes[name] for name in axes if name not in ("q_len", "kv_len", "batch")}
        return own | {"packed": queries, "packed_keys": keys}
    if kind == "dense":
        return axes | {"bias": "dense"}
    own = {name: axes[name] for name in axes if name not in ("q_len", "kv_len", "packed")}
    if kind == "document":
        return own | {"mask": f"document:{'+'.join(str(rng.choice((0, 1, 2, 17, 64))) for _ in range(3))}"}
    return own | {"mask": tree(rng), "bias": "none", "kv_len": rng.choice((17, 40, 200))} if kind == "tree" else axes


def gradient_variants(rng: random.Random) -> Axes:
    return prompt_variants(rng) | {"qk_norm": "none"}


def cache_variants(rng: random.Random) -> Axes:
    axes = caches(rng) | added(rng)
    kind = rng.choice(("as drawn", "chunked", "prefix", "tree"))
    if kind in ("chunked", "prefix"):
        return axes | {"mask": f"{kind}:{rng.choice((1, 3, 16, 100))}"}
    own = {name: axes[name] for name in axes if name != "q_len"}
    return own | {"mask": tree(rng), "bias": "none"} if kind == "tree" else axes


def logits(rng: random.Random) -> Axes:
    return {
        "batch": rng.choice((1, 2, 3, 8, 40)),
        "vocab": rng.choice((5, 60, 300, 2000)),
        "draws": rng.choice((1, 2, 5, 50, 500)),
        "temperature": rng.choice((0.0, 0.6, 1.0, 1.5)),
        "top_k": rng.choice((None, None, 1, 7, 50)),
        "top_p": rng.choice((1.0, 1.0, 0.9, 0.5)),
        "min_p": rng.choice((0.0, 0.0, 0.05)),
        "repetition_penalty": rng.choice((1.0, 1.0, 1.3)),
        "dtype": rng.choice(list(DTYPES)),
        "inputs": rng.choice(("normal", "peaked", "flat", "ties", "one_hot", "minus_inf")),
    }


def matrices(rng: random.Random) -> Axes:
    width = rng.choice((1, 2, 17, 64, 100, 577, 1025, 4099))
    return {
        "rows": rng.choice((1, 3, 20)),
        "width": width,
        "dtype": rng.choice(list(DTYPES)),
        "inputs": rng.choice(("normal", "outliers")),
    }


def tables(rng: random.Random) -> Axes:
    return matrices(rng) | {"vocabulary": rng.choice((1, 2, 300, 1000)), "width": rng.choice((1, 17, 100))}


def products(rng: random.Random) -> Axes:
    return {
        "m": rng.choice((1, 2, 7, 40)),
        "n": rng.choice((1, 9, 33, 64)),
        "dtype": rng.choice(list(DTYPES)),
        "k": rng.choice((1, 2, 3, 16, 33, 100, 577, 1000, 4096)),
        "bias": rng.choice((True, False)),
        "inputs": rng.choice(("normal", "outliers")),
    }


def coded_products(rng: random.Random) -> Axes:
    axes = products(rng) | {"format": rng.choice(list(known_weight_formats()))}
    return axes | {"k": rng.choice((32, 64, 96, 128, 384, 577, 640, 1024, 4096))}


def positions(rng: random.Random) -> Axes:
    return heads(rng) | {
        "batch": rng.choice((1, 2)),
        "q_len": rng.choice((1, 5, 17)),
        "positions": rng.choice((9, 40, 900)),
        "head_dim": rng.choice((2, 8, 64, 80)),
        "style": rng.choice(("half", "interleaved", "sinusoidal")),
    }


@dataclass
class Drawn:
    """How cases of an operator are drawn, which honest code they are tried on, and what came of it."""

    axes: Callable[[random.Random], Axes]
    targets: tuple[type, ...]
    cases: int = 0
    checks: int = 0
    alarms: list[str] = field(default_factory=list)


def operators() -> dict[str, Drawn]:
    own = {
        "attention": Drawn(prompts, (honest.Attention, honest.Online, honest.SplitKeys, honest.RoundedSum)),
        "attention_backward": Drawn(prompts, gradients.HONEST_GRADIENTS[:3]),
        "decode_attention": Drawn(caches, decoding.HONEST),
        "attention, variants": Drawn(prompt_variants, variants.HONEST_VARIANTS),
        "attention_backward, variants": Drawn(gradient_variants, variants_elsewhere.HONEST_GRADIENTS),
        "decode_attention, variants": Drawn(cache_variants, variants_elsewhere.HONEST_DECODES),
        "kv_append": Drawn(caches, appending.HONEST),
        "sampling": Drawn(logits, sampling.HONEST),
        "linear": Drawn(products, parts.HONEST["linear"]),
        "linear, quantised": Drawn(coded_products, weights.HONEST),
        "embedding": Drawn(tables, parts.HONEST["embedding"]),
        "rope": Drawn(positions, parts.HONEST["rope"]),
    }
    rows = {name: Drawn(matrices, parts.HONEST[name]) for name in ("rmsnorm", "layernorm", "swiglu", "gelu")}
    return own | rows


def try_one(name: str, drawn: Drawn, rng: random.Random) -> None:
    """One case of an operator, which there is, with all honest implementations."""
    operator = name.partition(",")[0]
    contract = discover().operators.get(operator)
    while True:
        try:
            case = contract.case_type.build(drawn.axes(rng))
            break
        except ImpossibleCase:
            continue
    seed, court = rng.randrange(1 << 30), Court(CPU)
    drawn.cases += 1
    for target in drawn.targets:
        drawn.checks += 1
        try:
            found = check(contract, case, implementation_of(operator, target), seed, court)
        except MeasurementError as error:
            drawn.alarms.append(f"{name} on {case.id} by seed {seed}: {error}")
            return
        if found.outcome is not Outcome.PASSED:
            drawn.alarms.append(f"{name}/{target.__name__} on {case.id} by seed {seed}: {found.reason}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=1000, help="random cases, dealt to operators in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(operators()), action="append", help="default: all operators")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    known, rng = operators(), random.Random(asked.seed)
    known = {name: known[name] for name in asked.only or known}
    for number in range(asked.cases):
        name = list(known)[number % len(known)]
        before = len(known[name].alarms)
        try_one(name, known[name], rng)
        for alarm in known[name].alarms[before:]:
            print(f"alarm: {alarm}", flush=True)
    print("\n| operator | cases | checks | false alarms | 95 % bound |\n|---|--:|--:|--:|--:|")
    for name, drawn in known.items():
        bad = len(drawn.alarms)
        bound = 1.0 if bad == drawn.checks else float(stats.beta.ppf(0.975, bad + 1, drawn.checks - bad))
        print(f"| {name} | {drawn.cases} | {drawn.checks} | {bad} | {bound:.2%} |")


if __name__ == "__main__":
    main()
