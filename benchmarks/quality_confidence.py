"""Why perplexity and KL divergence rank quantised models differently: how sure each model is, and how right.

    python benchmarks/quality_confidence.py [--text prose] [--windows 8] [--weights int4_g64 int4_g64:gptq]

Of SmolLM2-135M on windows of 256 tokens: the mean of −log q(token), the mean entropy of q, and what the first is more
than the second. A model that is surer than it is right has more of it. Flattened predictions, by a temperature or by
noise in the weights, then cost less perplexity than their KL divergence says. Differences of two models are of pairs,
with 95 % intervals of blocks of 64 tokens.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.llm.captured.texts import TEXTS, token_ids
from attnlab.bench.llm.models.load import load_model
from attnlab.bench.llm.models.sources import PACKAGED
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.llm.quality.divergence import Divergences
from attnlab.bench.llm.quality.scoring import Scored, hidden_states, scores
from attnlab.bench.llm.quality.texts import windows_of
from attnlab.bench.llm.quantization.calibration import ids_to_calibrate
from attnlab.bench.llm.quantization.kept_models import quantised_model
from attnlab.bench.llm.quantization.recipe import Recipe

WINDOW = 256
TEMPERATURES = (1.05, 1.1, 1.2, 1.3)
DEFAULT = ("int4_g64", "int4_g64:gptq_act_order", "int4_g64:gptq")


@dataclass(frozen=True, eq=False)
class Seen:
    """Of each scored token, [n, S]: −log q(token), and the KL divergence from the model with nothing quantised."""

    name: str
    surprise: Tensor
    kl: Tensor

    def over(self, other: Seen) -> str:
        surprise, kl = paired(other.surprise, self.surprise), paired(other.kl, self.kl)
        return f"    over {other.name}: −log q {surprise}, KL {kl}"


def paired(before: Tensor, after: Tensor) -> str:
    found = Divergences(after, before, before, before > after).change
    return f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def scored(model: ModelWeights, ids: Tensor) -> tuple[Scored, ...]:
    return tuple(scores(model, hidden_states(model, ids), ids, WINDOW - 1))


def at_temperature(some: Sequence[Scored], temperature: float) -> Tensor:
    """−log q(token) of distributions that are flattened."""
    return -torch.cat([Scored((one.logs / temperature).log_softmax(-1), one.tokens).right for one in some])


def told(name: str, some: Sequence[Scored]) -> None:
    entropy = torch.cat([-(one.logs.exp() * one.logs).sum(-1) for one in some])
    surprise = at_temperature(some, 1.0)
    print(
        f"{name:26s} −log q {float(surprise.mean()):.4f}, entropy {float(entropy.mean()):.4f}, "
        f"difference {float((surprise - entropy).mean()):+.4f} nat",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", choices=TEXTS, default=TEXTS[0])
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--weights", nargs="+", default=DEFAULT)
    options = parser.parse_args()
    model = load_model(PACKAGED)
    ids = windows_of(token_ids(options.text), WINDOW, WINDOW, options.windows)
    base = scored(model, ids)
    told("nothing quantised", base)
    for temperature in TEMPERATURES:
        print(f"    at a temperature of {temperature}: −log q {float(at_temperature(base, temperature).mean()):.4f}")
    seen: list[Seen] = []
    for name in options.weights:
        quantised = quantised_model(model, Recipe.read(name), ids_to_calibrate(PACKAGED, model.config))
        found = scored(quantised, ids)
        told(name, found)
        kl = torch.cat([(a.logs.exp() * (a.logs - b.logs)).sum(-1) for a, b in zip(base, found, strict=True)])
        one = Seen(name, at_temperature(found, 1.0).view(len(ids), -1), kl.view(len(ids), -1))
        for other in seen:
            print(one.over(other), flush=True)
        seen.append(one)


if __name__ == "__main__":
    main()
