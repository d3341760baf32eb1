"""Guesses come from a smaller model, or from the model itself with layers skipped."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from attnlab.bench import SKIPPED, ModelWeights, weights_of
from attnlab.bench.llm import draw, truncated_probabilities
from attnlab.impls._lm.decoding.judging import Guesses
from attnlab.impls._lm.decoding.speculation import DRAFTS, Speculation, Texts, most_likely
from attnlab.impls._lm.engine import Engine
from attnlab.impls._lm.setting import Setting

KIND = "draft"
SKIPPED_STRETCHES = ((4 / 30, 8 / 30), (26 / 30, 28 / 30))
"""Shares of a model's depth that the built-in draft skips.

Found on SmolLM2-135M by taking out, over and over, the two neighbouring layers without which its greedy answers to
prompts of every set stay likeliest. Of 30 layers 28, 26, 24, 22, 20, 16 and 12 then agree with the whole model on 74,
63, 56, 48, 38, 16 and 12 % of tokens; the first 9 and last 11 on 25 %. With 24, a guess reads 84 % of the weights that
the model reads: no draft of that model's own layers is quick enough to gain by it.
"""

REFED = 2  # tokens: all guesses may have stood, and the last of them it has never read


class DraftModel:
    """Runs a model of its own for each guess; its cache follows the text that was accepted."""

    def __init__(self, setting: Setting, weights: ModelWeights) -> None:
        case, target = setting.case, setting.engine
        self.params, self.most = setting.params, case.decoding.guesses
        self.engine = Engine(
            weights, setting.parts, case.placing, case.format, target.batch, target.capacity, target.graphs
        )  # fmt: skip
        self.engine.set_up(case.prompt_len, REFED, 1)
        target.beside.append(self.engine)

    def begin(self, texts: Texts) -> None:
        self.engine.prompt(torch.tensor([row[: texts.prompt_tokens] for row in texts.ids]), KIND)

    def guess(self, texts: Texts, wanted: Sequence[int]) -> Guesses | None:
        steps, engine = max(wanted), self.engine
        engine.rewind([len(row) - REFED for row in texts.ids])
        ids = torch.tensor([row[-REFED:] for row in texts.ids], device=engine.device)
        chosen, certain = ids[:, :0], self.params.greedy
        probabilities: list[Tensor] = []
        for step in range(steps):
            logits = engine.step(ids if step == 0 else chosen[:, -1:], KIND)[:, -1]
            seen = texts.seen(self.params, chosen)
            seen = None if seen is None else seen[:, -1]
            if certain:
                token = most_likely(logits, self.params, seen)[:, None]
            else:
                probabilities.append(truncated_probabilities(logits, self.params, seen))
                token = draw(probabilities[-1], texts.uniforms(DRAFTS, 1, ahead=step).to(logits.device))
            chosen = torch.cat([chosen, token], 1)
        short = self.most - steps  # the last passes want fewer guesses, and have the shape of the others
        drawn_of = None if certain else pad(torch.stack(probabilities, 1), (0, 0, 0, short))
        return Guesses(pad(chosen, (0, short)), tuple(wanted), drawn_of)


def skipping(weights: ModelWeights) -> ModelWeights:
    """The model without the layers that it can best do without, see `kept_layers`."""
    return weights.skipping(kept_layers(weights.config.layers))


def kept_layers(layers: int) -> list[int]:
    """Which of so many layers draft: all but `SKIPPED_STRETCHES`, a layer or more each, never the first."""
    skipped: set[int] = set()
    for low, high in SKIPPED_STRETCHES:
        start, count = max(1, round(low * layers)), max(1, round((high - low) * layers))
        skipped |= set(range(start, start + count))
    return [layer for layer in range(layers) if layer not in skipped]


def prepare(setting: Setting) -> Speculation:
    case, own = setting.case, setting.weights
    if case.draft == SKIPPED:
        return Speculation(setting, DraftModel(setting, skipping(own)))
    weights = weights_of(case.draft, own.dtype, own.device).settled(case.prompt_len, case.total)
    return Speculation(setting, DraftModel(setting, weights))
