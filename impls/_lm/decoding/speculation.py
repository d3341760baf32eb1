"""Guesses are made ahead and judged by the model in one pass: what prompt lookup and draft models share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from attnlab.bench import SamplingParams
from attnlab.bench.llm import Recorder, penalised, truncated_probabilities
from attnlab.impls._lm.decoding.judging import Guesses, Verdict, agreement, rejection
from attnlab.impls._lm.sampler import Sampler, padded
from attnlab.impls._lm.setting import Setting

TOKENS, CHANCES, DRAFTS = 0, 1, 2  # streams of random numbers, each with one for every place of an answer

Judge = Callable[[Tensor, Guesses, Tensor, Tensor], Verdict]


@dataclass(frozen=True, eq=False)
class Texts:
    """The sequences of a batch so far: prompts, and answers of at most `new` tokens behind them.

    drawn: random numbers by stream, float64 [B, new + most guesses + 1]. A number is used for its place alone, so that
    an answer depends neither on its batch nor on what was guessed in vain.
    """

    ids: list[list[int]]
    prompt_tokens: int
    new: int
    drawn: tuple[Tensor, Tensor, Tensor]

    @property
    def left(self) -> list[int]:
        """Tokens of each answer that are to come."""
        return [self.prompt_tokens + self.new - len(row) for row in self.ids]

    def uniforms(self, stream: int, count: int, ahead: int = 0) -> Tensor:
        """The numbers of `count` places from the next one on, or from so many behind it, [B, count]."""
        places = torch.tensor([len(row) - self.prompt_tokens + ahead for row in self.ids])
        return self.drawn[stream].gather(1, places[:, None] + torch.arange(count))

    def seen(self, params: SamplingParams, guesses: Tensor) -> Tensor | None:
        """Ids before each of the places that follow none to all of the guesses [B, K], int64 [B, K + 1, L]."""
        if not params.penalises:
            return None
        ahead = guesses.tolist()
        before = [row + more[:k] for row, more in zip(self.ids, ahead, strict=True) for k in range(len(more) + 1)]
        return padded(before).view(len(self.ids), guesses.shape[1] + 1, -1).to(guesses.device)


class Drafter(Protocol):
    """Guesses what comes next."""

    def begin(self, texts: Texts) -> None:
        """New sequences, each with the first token of its answer."""
        ...

    def guess(self, texts: Texts, wanted: Sequence[int]) -> Guesses | None:
        """At most so many guesses for each sequence; None where there are none at all."""
        ...


class Speculation:
    """Decoding with guesses: greedy, or with the target's own distribution."""

    def __init__(self, setting: Setting, drafter: Drafter, judge: Judge = rejection) -> None:
        self.setting, self.drafter, self.judge = setting, drafter, judge
        self.params, self.most = setting.params, setting.case.decoding.guesses
        setting.engine.set_up(setting.case.prompt_len, 1, 1 + self.most)

    def answer(self, recorder: Recorder, requests: Sequence[int], seed: int) -> Tensor:
        """Answers to a batch of requests, int64 [B, N]."""
        texts = self._read(recorder, requests, seed)
        self.drafter.begin(texts)
        while any(texts.left):
            wanted = [max(0, min(self.most, left - 1)) for left in texts.left]  # a token follows the guesses anyway
            guesses = self.drafter.guess(texts, wanted) if any(wanted) else None
            self._extend(texts, guesses, recorder, requests)
        return torch.tensor([row[texts.prompt_tokens :] for row in texts.ids])

    def _read(self, recorder: Recorder, requests: Sequence[int], seed: int) -> Texts:
        """The prompts, and the first token of each answer."""
        sampler = Sampler(self.params, self.setting.parts.sampling, seed)
        count = self.setting.new_tokens + self.most + 1
        drawn = [torch.stack([sampler.uniforms(r, count, s) for r in requests]) for s in (TOKENS, CHANCES, DRAFTS)]
        ids = [list(recorder.prompt(request)) for request in requests]
        texts = Texts(ids, len(ids[0]), self.setting.new_tokens, (drawn[0], drawn[1], drawn[2]))
        logits = self.setting.engine.prompt(torch.tensor(ids))
        begun = time.perf_counter_ns()
        seen = padded(ids).to(logits.device) if self.params.penalises else None
        first = sampler.choose(logits, texts.uniforms(TOKENS, 1)[:, 0], seen).tolist()
        for row, request in enumerate(requests):
            recorder.first_sample(request, float(time.perf_counter_ns() - begun))
            recorder.arrived(request, first[row : row + 1])
            if recorder.evidence is not None:
                recorder.evidence.tell(request, logits[row : row + 1], first[row : row + 1])
            ids[row].append(first[row])
        return texts

    def _extend(self, texts: Texts, guesses: Guesses | None, recorder: Recorder, requests: Sequence[int]) -> None:
        """One pass: the guesses that stand and a token more, of every sequence that is not done."""
        engine, kind = self.setting.engine, "decode" if guesses is None else "verify"
        last = torch.tensor([row[-1:] for row in texts.ids], device=engine.device)
        if guesses is None:  # a pass of one token, as cheap as without guesses
            guesses = Guesses(last[:, :0], (0,) * len(texts.ids))
        engine.rewind([len(row) - 1 for row in texts.ids])
        logits = engine.step(torch.cat([last, guesses.ids], 1), kind)
        verdict = self._judged(texts, guesses, logits)
        accepted, following, ids = verdict.accepted.tolist(), verdict.following.tolist(), guesses.ids.tolist()
        if kind == "verify":
            engine.judged(guesses.counts, accepted)
        for row, left in enumerate(texts.left):
            if left:
                told = [*ids[row][: accepted[row]], following[row]]
                recorder.arrived(requests[row], told)
                if recorder.evidence is not None:
                    recorder.evidence.tell(requests[row], logits[row, : len(told)], told)
                texts.ids[row] += told

    def _judged(self, texts: Texts, guesses: Guesses, logits: Tensor) -> Verdict:
        """logits: [B, K + 1, V], after none to all of the guesses."""
        batch, rows, _ = logits.shape
        seen = texts.seen(self.params, guesses.ids)
        seen = None if seen is None else seen.flatten(0, 1)
        flat = logits.flatten(0, 1)
        if self.params.greedy:
            return agreement(most_likely(flat, self.params, seen).view(batch, rows), guesses)
        target = truncated_probabilities(flat, self.params, seen).view(logits.shape)
        chances, uniforms = texts.uniforms(CHANCES, rows - 1), texts.uniforms(TOKENS, rows)
        return self.judge(target, guesses, chances.to(logits.device), uniforms.to(logits.device))


def most_likely(logits: Tensor, params: SamplingParams, seen: Tensor | None) -> Tensor:
    """The greedy choice for each row of logits [B, V], int64 [B]."""
    return (penalised(logits, params.repetition_penalty, seen) if params.penalises else logits).argmax(-1)
