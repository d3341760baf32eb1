"""Tokens are drafted ahead and verified by the model in one pass: what prompt lookup and draft models share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from attnlab.bench import SamplingParams
from attnlab.bench.llm import Recorder, penalised, truncated_probabilities
from attnlab.impls.generate._engine.decoding._verification import (
    Acceptance,
    DraftTokens,
    greedy_acceptance,
    rejection_sampling,
)
from attnlab.impls.generate._engine.decoding_method import DecodingContext
from attnlab.impls.generate._engine.sampler import Sampler, pad_rows

TOKENS, CHANCES, DRAFTS = 0, 1, 2  # streams of random numbers, each with one for every place of an answer

AcceptanceRule = Callable[[Tensor, DraftTokens, Tensor, Tensor], Acceptance]
"""rule(target, drafts, chances, uniforms), see `rejection_sampling`."""


@dataclass(frozen=True, eq=False)
class SequenceBatch:
    """The sequences of a batch so far: prompts, and answers of at most `new_tokens` behind them.

    numbers: random ones by stream, float64 [B, new_tokens + most drafts + 1]. A number is used for its place alone, so
    that an answer depends neither on its batch nor on what was drafted in vain. foretold: their answers, where a
    synthetic drafter is to know them.
    """

    token_ids: list[list[int]]
    prompt_tokens: int
    new_tokens: int
    numbers: tuple[Tensor, Tensor, Tensor]
    foretold: list[Sequence[int]] | None = None

    @property
    def remaining(self) -> list[int]:
        """Tokens of each answer that are to come."""
        return [self.prompt_tokens + self.new_tokens - len(row) for row in self.token_ids]

    def uniforms(self, stream: int, count: int, ahead: int = 0) -> Tensor:
        """The numbers of `count` places from the next one on, or from so many behind it, [B, count]."""
        places = torch.tensor([len(row) - self.prompt_tokens + ahead for row in self.token_ids])
        return self.numbers[stream].gather(1, places[:, None] + torch.arange(count))

    def seen(self, params: SamplingParams, drafts: Tensor) -> Tensor | None:
        """Ids before each of the places that follow none to all of the drafts [B, K], int64 [B, K + 1, L]."""
        if not params.penalises:
            return None
        ahead = drafts.tolist()
        before = [row + more[:k] for row, more in zip(self.token_ids, ahead, strict=True) for k in range(len(more) + 1)]
        return pad_rows(before).view(len(self.token_ids), drafts.shape[1] + 1, -1).to(drafts.device)


class Drafter(Protocol):
    """Proposes what comes next."""

    def begin(self, batch: SequenceBatch) -> None:
        """New sequences, each with the first token of its answer."""
        ...

    def propose(self, batch: SequenceBatch, limits: Sequence[int]) -> DraftTokens | None:
        """At most so many draft tokens for each sequence; None where there are none at all."""
        ...


class SpeculativeDecoding:
    """Decoding with draft tokens: greedy, or with the target's own distribution."""

    def __init__(self, context: DecodingContext, drafter: Drafter, rule: AcceptanceRule = rejection_sampling) -> None:
        self.context, self.drafter, self.rule = context, drafter, rule
        self.params, self.most_drafts = context.params, context.case.decoding.guesses
        context.engine.set_up(context.case.prompt_len, 1, 1 + self.most_drafts)

    def generate(self, recorder: Recorder, requests: Sequence[int], seed: int) -> Tensor:
        """Answers to a batch of requests, int64 [B, N]."""
        batch = self._prefill(recorder, requests, seed)
        self.drafter.begin(batch)
        while any(batch.remaining):
            limits = [max(0, min(self.most_drafts, left - 1)) for left in batch.remaining]  # a token follows anyway
            drafts = self.drafter.propose(batch, limits) if any(limits) else None
            self._extend(batch, drafts, recorder, requests)
        return torch.tensor([row[batch.prompt_tokens :] for row in batch.token_ids])

    def _prefill(self, recorder: Recorder, requests: Sequence[int], seed: int) -> SequenceBatch:
        """The prompts, and the first token of each answer."""
        sampler = Sampler(self.params, self.context.parts, seed)
        count = self.context.new_tokens + self.most_drafts + 1
        tokens, chances, drafts = (
            torch.stack([sampler.uniforms(request, count, stream) for request in requests])
            for stream in (TOKENS, CHANCES, DRAFTS)
        )
        token_ids = [list(recorder.prompt(request)) for request in requests]
        known = None if recorder.foretold is None else [recorder.foretold[request] for request in requests]
        batch = SequenceBatch(token_ids, len(token_ids[0]), self.context.new_tokens, (tokens, chances, drafts), known)
        logits = self.context.engine.prefill(torch.tensor(token_ids))
        start_ns = time.perf_counter_ns()
        seen = pad_rows(token_ids).to(logits.device) if self.params.penalises else None
        first = sampler.sample(logits, batch.uniforms(TOKENS, 1)[:, 0], seen).tolist()
        for row, request in enumerate(requests):
            recorder.first_sample(request, float(time.perf_counter_ns() - start_ns))
            recorder.arrived(request, first[row : row + 1])
            if recorder.evidence is not None:
                recorder.evidence.tell(request, logits[row : row + 1], first[row : row + 1])
            token_ids[row].append(first[row])
        return batch

    def _extend(
        self, batch: SequenceBatch, drafts: DraftTokens | None, recorder: Recorder, requests: Sequence[int]
    ) -> None:
        """One pass: the drafts that are accepted and a token more, of every sequence that is not done."""
        engine = self.context.engine
        last = torch.tensor([row[-1:] for row in batch.token_ids], device=engine.device)
        engine.rewind([len(row) - 1 for row in batch.token_ids])
        if drafts is None:  # a pass of one token, as cheap as without drafts
            drafts = DraftTokens(last[:, :0], (0,) * len(batch.token_ids))
            logits = engine.decode(last)
        else:
            logits = engine.verify(torch.cat([last, drafts.ids], 1))
        acceptance = self._accept(batch, drafts, logits)
        counts, next_ids, ids = acceptance.counts.tolist(), acceptance.next_ids.tolist(), drafts.ids.tolist()
        if any(drafts.counts):
            engine.note_acceptance(drafts.counts, counts)
        for row, left in enumerate(batch.remaining):
            if left:
                new_ids = [*ids[row][: counts[row]], next_ids[row]]
                recorder.arrived(requests[row], new_ids)
                if recorder.evidence is not None:
                    recorder.evidence.tell(requests[row], logits[row, : len(new_ids)], new_ids)
                batch.token_ids[row] += new_ids

    def _accept(self, batch: SequenceBatch, drafts: DraftTokens, logits: Tensor) -> Acceptance:
        """logits: [B, K + 1, V], after none to all of the drafts."""
        sequences, rows, _ = logits.shape
        seen = batch.seen(self.params, drafts.ids)
        seen = None if seen is None else seen.flatten(0, 1)
        flat = logits.flatten(0, 1)
        if self.params.greedy:
            return greedy_acceptance(most_likely(flat, self.params, seen).view(sequences, rows), drafts)
        target = truncated_probabilities(flat, self.params, seen).view(logits.shape)
        chances, uniforms = batch.uniforms(CHANCES, rows - 1), batch.uniforms(TOKENS, rows)
        return self.rule(target, drafts, chances.to(logits.device), uniforms.to(logits.device))


def most_likely(logits: Tensor, params: SamplingParams, seen: Tensor | None) -> Tensor:
    """The greedy choice for each row of logits [B, V], int64 [B]."""
    return (penalised(logits, params.repetition_penalty, seen) if params.penalises else logits).argmax(-1)
