"""Draft tokens are the target's own, known beforehand, or wrong ones, as a seeded coin says: no drafter is in it.

It says what guesses that come out like that are worth on a device. A draft's cost is a wait, or a model that really
runs and whose guesses are thrown away.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from statistics import median

import torch

from attnlab.bench import SKIPPED, UsageError
from attnlab.impls.generate._engine.decoding._speculation import SequenceBatch, SpeculativeDecoding
from attnlab.impls.generate._engine.decoding._verification import DraftTokens
from attnlab.impls.generate._engine.decoding.draft_model import DraftModel, weights_of_draft
from attnlab.impls.generate._engine.decoding_method import DecodingContext

WARM_PASSES, TIMED_PASSES = 3, 9


class SyntheticDrafter:
    """Knows the answers; coins hang on the prompt, so that every call has others."""

    def __init__(self, context: DecodingContext, model: DraftModel | None) -> None:
        assert context.case.decoding.synthetic is not None
        self._engine, self._model, self.told = context.engine, model, context.case.decoding.synthetic
        self._most_drafts, self._tokens = context.case.decoding.guesses, context.weights.config.vocab_size
        self.wait_ns = 0.0  # for each guess of a pass
        self._coins: list[list[float]] = []

    def begin(self, batch: SequenceBatch) -> None:
        if batch.foretold is None:
            raise UsageError("got no answers for synthetic guesses; expected inputs.foretold, as make_inputs gives it")
        if self._model is not None:
            self._model.begin(batch)
        self._coins = []
        for row in batch.token_ids:
            chance = random.Random(",".join(map(str, row[: batch.prompt_tokens])))
            self._coins.append([chance.random() for _ in range(batch.new_tokens)])

    def propose(self, batch: SequenceBatch, limits: Sequence[int]) -> DraftTokens | None:
        if self._model is not None:
            self._model.propose(batch, limits)
        elif self.wait_ns:
            for _ in range(max(limits)):
                self._engine.wait(self.wait_ns)
        assert batch.foretold is not None
        ids = [
            self._guesses(known, coins, len(row) - batch.prompt_tokens)
            for row, known, coins in zip(batch.token_ids, batch.foretold, self._coins, strict=True)
        ]
        return DraftTokens(torch.tensor(ids, device=self._engine.device), tuple(limits))

    def _guesses(self, known: Sequence[int], coins: Sequence[float], place: int) -> list[int]:
        """For the places of an answer from `place` on; zeros behind its end, where nothing is judged."""
        following = zip(known[place:], coins[place:], self.told.chances, strict=False)
        ids = [token if coin < chance else (token + 1) % self._tokens for token, coin, chance in following]
        return ids + [0] * (self._most_drafts - len(ids))


def plain_pass_ns(context: DecodingContext) -> float:
    """What a pass of one token takes in the middle of an answer, measured in set-up on an empty cache."""
    engine, times = context.engine, []
    length = context.case.prompt_len + context.new_tokens // 2
    ids = torch.zeros(engine.batch, 1, dtype=torch.int64, device=engine.device)
    for _ in range(WARM_PASSES + TIMED_PASSES):
        engine.rewind([length] * engine.batch)
        start_ns = time.perf_counter_ns()
        engine.decode(ids)
        times.append(time.perf_counter_ns() - start_ns)
    engine.reset()
    return float(median(times[WARM_PASSES:]))


def prepare(context: DecodingContext) -> SpeculativeDecoding:
    case = context.case
    assert case.decoding.synthetic is not None
    model = None if case.draft == SKIPPED else DraftModel(context, weights_of_draft(context))
    drafter = SyntheticDrafter(context, model)
    decoding = SpeculativeDecoding(context, drafter)
    if case.decoding.synthetic.cost:
        drafter.wait_ns = case.decoding.synthetic.cost * plain_pass_ns(context)
    return decoding
