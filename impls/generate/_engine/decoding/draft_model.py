"""Draft tokens come from a smaller model, or from the model itself with layers skipped."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from attnlab.bench import SKIPPED, ModelWeights, weights_of
from attnlab.bench.llm import draw, truncated_probabilities
from attnlab.impls.generate._engine.decoding._speculation import (
    DRAFTS,
    SequenceBatch,
    SpeculativeDecoding,
    most_likely,
)
from attnlab.impls.generate._engine.decoding._verification import DraftTokens
from attnlab.impls.generate._engine.decoding_method import DecodingContext
from attnlab.impls.generate._engine.engine import Engine

KIND = "draft"
SKIPPED_STRETCHES = ((4 / 30, 8 / 30), (26 / 30, 28 / 30))
"""Shares of a model's depth that the built-in draft skips.

Found on SmolLM2-135M by taking out, over and over, the two neighbouring layers without which its greedy answers to
prompts of every set stay likeliest. Of 30 layers 28, 26, 24, 22, 20, 16 and 12 then agree with the whole model on 74,
63, 56, 48, 38, 16 and 12 % of tokens; the first 9 and last 11 on 25 %. With 24, a draft reads 84 % of the weights that
the model reads: no draft of that model's own layers is quick enough to gain by it.
"""

CATCH_UP_TOKENS = 2  # all drafts may have been accepted, and the last of them it has never computed


class DraftModel:
    """Runs a model of its own for each draft token; its cache follows the text that was accepted."""

    def __init__(self, context: DecodingContext, weights: ModelWeights) -> None:
        case, target = context.case, context.engine
        self.params, self.most_drafts = context.params, case.decoding.guesses
        self.engine = Engine(
            weights,
            context.parts,
            case.placing,
            case.format,
            batch=target.batch,
            capacity=target.capacity,
            graphs=target.graphs,
        )
        self.engine.set_up(case.prompt_len, CATCH_UP_TOKENS, 1)
        target.draft_engines.append(self.engine)

    def begin(self, batch: SequenceBatch) -> None:
        self.engine.prefill(torch.tensor([row[: batch.prompt_tokens] for row in batch.token_ids]), KIND)

    def propose(self, batch: SequenceBatch, limits: Sequence[int]) -> DraftTokens | None:
        steps, engine = max(limits), self.engine
        engine.rewind([len(row) - CATCH_UP_TOKENS for row in batch.token_ids])
        ids = torch.tensor([row[-CATCH_UP_TOKENS:] for row in batch.token_ids], device=engine.device)
        drafts, greedy = ids[:, :0], self.params.greedy
        probabilities: list[Tensor] = []
        for step in range(steps):
            logits = engine.decode(ids if step == 0 else drafts[:, -1:], KIND)[:, -1]
            seen = batch.seen(self.params, drafts)
            seen = None if seen is None else seen[:, -1]
            if greedy:
                token = most_likely(logits, self.params, seen)[:, None]
            else:
                probabilities.append(truncated_probabilities(logits, self.params, seen))
                token = draw(probabilities[-1], batch.uniforms(DRAFTS, 1, ahead=step).to(logits.device))
            drafts = torch.cat([drafts, token], 1)
        padding = self.most_drafts - steps  # the last passes want fewer drafts, and have the shape of the others
        proposals = None if greedy else pad(torch.stack(probabilities, 1), (0, 0, 0, padding))
        return DraftTokens(pad(drafts, (0, padding)), tuple(limits), proposals)


def skip_layers(weights: ModelWeights) -> ModelWeights:
    """The model without the layers that it can best do without, see `draft_layers`."""
    return weights.skipping(draft_layers(weights.config.layers))


def draft_layers(layers: int) -> list[int]:
    """Which of so many layers draft: all but `SKIPPED_STRETCHES`, a layer or more each, never the first."""
    skipped: set[int] = set()
    for low, high in SKIPPED_STRETCHES:
        start, count = max(1, round(low * layers)), max(1, round((high - low) * layers))
        skipped |= set(range(start, start + count))
    return [layer for layer in range(layers) if layer not in skipped]


def weights_of_draft(context: DecodingContext) -> ModelWeights:
    """The model that the case names, its weights stored as the case says; or this one with layers skipped."""
    case, own = context.case, context.weights
    if case.draft == SKIPPED:
        return skip_layers(own)
    weights = weights_of(case.draft, own.dtype, own.device, case.draft_weights)
    return weights.settled(case.prompt_len, case.total)


def prepare(context: DecodingContext) -> SpeculativeDecoding:
    return SpeculativeDecoding(context, DraftModel(context, weights_of_draft(context)))
