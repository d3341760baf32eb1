"""Chooses the next token of requests that share a pass, each by its own parameters, numbers and mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench import AttnlabError, SamplingParams
from attnlab.bench.llm import Likelihood, LiveRequest
from attnlab.impls.generate._engine.parts import Parts
from attnlab.impls.generate._engine.sampler import Sampler, pad_rows, uniforms_of
from attnlab.impls.generate._engine.sequence import Sequence as TokenSequence

MOST_SAMPLERS = 64  # that are kept: every request may have parameters of its own
GREEDY = SamplingParams(temperature=0.0)


@dataclass(eq=False)
class Answer:
    """One request that is being answered: what it asks, its tokens, and the numbers that it draws with."""

    request: LiveRequest
    sequence: TokenSequence
    added_ns: int
    computed_ns: int | None = None  # when it was first computed

    def __post_init__(self) -> None:
        asked = self.request
        self.params = GREEDY if asked.params.greedy and not asked.params.penalises else asked.params
        self._uniforms = None if asked.params.greedy else uniforms_of(asked.seed, asked.draw, asked.max_tokens)

    @property
    def uniform(self) -> Tensor:
        """float64 [], the number of the next token."""
        return ZERO if self._uniforms is None else self._uniforms[self.sequence.output_tokens]


ZERO = torch.zeros((), dtype=torch.float64)


@dataclass(frozen=True)
class Choice:
    """The next token of one answer, or why it has none. likelihood: where asked for."""

    token: int
    likelihood: Likelihood | None = None
    failure: str | None = None


class TokenChooser:
    """Requests of the same parameters are sampled together, as a batch of them alone would be."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._samplers: dict[SamplingParams, Sampler] = {}

    def choose(self, answers: Sequence[Answer], logits: Tensor) -> list[Choice]:
        """The next token of each, from its row of logits [B, V]."""
        choices: list[Choice | None] = [None] * len(answers)
        masked = _masked(answers, logits, choices)
        groups: dict[SamplingParams, list[int]] = {}
        for row, answer in enumerate(answers):
            if choices[row] is None:
                groups.setdefault(answer.params, []).append(row)
        for params, rows in groups.items():
            own = [answers[row] for row in rows]
            try:
                ids = self._sample(params, own, masked if len(rows) == len(masked) else masked[rows])
            except AttnlabError as error:
                found = [Choice(-1, failure=str(error))] * len(rows)
            else:
                found = [_told(answer, token, logits[row]) for answer, token, row in zip(own, ids, rows, strict=True)]
            for row, choice in zip(rows, found, strict=True):
                choices[row] = choice
        return [choice for choice in choices if choice is not None]

    def _sample(self, params: SamplingParams, answers: Sequence[Answer], logits: Tensor) -> list[int]:
        """Tokens by the rows of logits [B, V]."""
        uniforms = torch.stack([answer.uniform for answer in answers])
        seen = pad_rows([answer.sequence.token_ids for answer in answers]) if params.penalises else None
        sampler = self._sampler(params)
        ids: list[int] = sampler.sample(logits, uniforms, None if seen is None else seen.to(logits.device)).tolist()
        return ids

    def _sampler(self, params: SamplingParams) -> Sampler:
        if params not in self._samplers:
            if len(self._samplers) >= MOST_SAMPLERS:
                self._samplers.clear()
            self._samplers[params] = Sampler(params, self._parts, seed=0)
        return self._samplers[params]


def _masked(answers: Sequence[Answer], logits: Tensor, choices: list[Choice | None]) -> Tensor:
    """The logits with −inf where a mask forbids a token; a mask that fails fails its answer."""
    if all(answer.request.mask is None for answer in answers):
        return logits
    masked = logits.clone()  # made in inference mode, in which alone it could be written to
    for row, answer in enumerate(answers):
        mask = answer.request.mask
        if mask is None:
            continue
        try:
            allowed = mask.allowed().to(logits.device)
        except AttnlabError as error:
            choices[row] = Choice(-1, failure=str(error))
            continue
        masked[row, : len(allowed)].masked_fill_(~allowed, -torch.inf)
        masked[row, len(allowed) :] = -torch.inf
    return masked


def _told(answer: Answer, token: int, logits: Tensor) -> Choice:
    """The choice, with its likelihood by the model's own logits [V] where that is asked for; its mask goes on."""
    asked = answer.request
    try:
        if asked.mask is not None:
            asked.mask.accept(token)
    except AttnlabError as error:
        return Choice(-1, failure=str(error))
    if asked.logprobs is None:
        return Choice(token)
    logs = logits.float().log_softmax(-1)
    likeliest = logs.topk(min(asked.logprobs, len(logs))) if asked.logprobs else None
    pairs = () if likeliest is None else zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
    return Choice(token, Likelihood(float(logs[token]), tuple(pairs)))
