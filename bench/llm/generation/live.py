"""A live engine: requests with their own lengths, sampling and ends join it, are computed together, and leave it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from attnlab.bench.llm.sampling_params import SamplingParams


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    """One of its end tokens came, or its mask lets nothing follow."""
    LENGTH = "length"
    """It has as many tokens as were asked for."""
    FAILED = "failed"
    """It could not be gone on with; `LiveEvent.failure` says why."""


class TokenMask(Protocol):
    """Which tokens may come next in one answer, as a grammar says."""

    def allowed(self) -> Tensor:
        """bool [V'] on the CPU, for the first V' ids of the vocabulary; ids beyond are not allowed."""
        ...

    def accept(self, token: int) -> None:
        """A token was chosen."""
        ...

    @property
    def ended(self) -> bool:
        """Whether nothing may follow."""
        ...


@dataclass(frozen=True, eq=False)
class LiveRequest:
    """What one request asks of an engine.

    id: of a later request larger. prompt_ids: one or more. max_tokens: of the answer at most, 1 or more. seed, draw:
    the numbers that its tokens are drawn with are those of this seed and number, whatever else is in the batch; a
    timed call of `generate` has its seed and the request's number there. stop_ids: tokens that end the answer, and are
    its last. mask: what may come next, None for anything. logprobs: None, or how many of the likeliest tokens are told
    at each place, 0 for the chosen one alone.
    """

    id: int
    prompt_ids: Sequence[int]
    max_tokens: int
    params: SamplingParams
    seed: int = 0
    draw: int = 0
    stop_ids: frozenset[int] = frozenset()
    mask: TokenMask | None = None
    logprobs: int | None = None


@dataclass(frozen=True)
class Likelihood:
    """How likely the model found a token, in nats, before any penalty, temperature, truncation or mask.

    likeliest: ids with the same of them, falling, as many as were asked for.
    """

    log: float
    likeliest: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Beginning:
    """What is known when the first token of an answer is there.

    cached_tokens: of the prompt, whose keys and values were found. waited_ns: from `add` until the request was first
    computed. prefill_ns: from then to the logits after the prompt. sampling_ns: choosing the token from them.
    """

    cached_tokens: int
    waited_ns: float
    prefill_ns: float
    sampling_ns: float


@dataclass(frozen=True)
class LiveEvent:
    """What a step brought one request.

    token_ids: further ones of its answer. likelihoods: of each, where asked for. finish_reason: None while it goes on;
    no event of this request follows another. beginning: with the first token.
    """

    id: int
    token_ids: tuple[int, ...] = ()
    finish_reason: FinishReason | None = None
    likelihoods: tuple[Likelihood, ...] = ()
    beginning: Beginning | None = None
    failure: str | None = None


@dataclass(frozen=True)
class LiveLimits:
    """What an engine has room for.

    context_tokens: of a prompt and its answer together. sequences: computed together at most. pages: of its pool, each
    of page_tokens tokens; an engine without pages has one for each sequence.
    """

    context_tokens: int
    sequences: int
    pages: int
    page_tokens: int

    def refuses(self, prompt_tokens: int, max_tokens: int) -> str | None:
        """None, or why a request of these lengths is never served."""
        whole = prompt_tokens + max_tokens
        if prompt_tokens < 1 or max_tokens < 1:
            return f"got a prompt of {prompt_tokens} tokens and max_tokens {max_tokens}; expected 1 or more of each"
        if whole > self.context_tokens:
            return (
                f"got a prompt of {prompt_tokens} tokens and max_tokens {max_tokens}, {whole} in all; expected at "
                f"most {self.context_tokens}, the context that is served"
            )
        pages = -(-whole // self.page_tokens)
        if pages > self.pages:
            return f"got {whole} tokens, {pages} pages of {self.page_tokens}; expected at most {self.pages}, the pool"
        return None


@dataclass(frozen=True)
class LiveCounters:
    """What an engine holds now, and what it has done since it was made.

    running: requests that are computed, in prefill or after it. waiting: those that have come and are not. used_pages:
    that some request uses. prompt_tokens: of requests whose first token came; cached_tokens: how many of these were
    found. answer_tokens: chosen. preemptions: requests that had to give their pages up, and began again.
    """

    running: int
    waiting: int
    used_pages: int
    prompt_tokens: int
    cached_tokens: int
    answer_tokens: int
    preemptions: int


class LiveEngine(Protocol):
    """Computes what was added, a step at a time; all calls come from one thread."""

    @property
    def limits(self) -> LiveLimits: ...

    @property
    def counters(self) -> LiveCounters: ...

    @property
    def idle(self) -> bool:
        """Whether a step would do nothing: no request is there."""
        ...

    def set_up(self) -> None:
        """Make ready for passes of every shape, before the first request, so that none has to wait for that."""
        ...

    def add(self, request: LiveRequest) -> None:
        """A request has come, and is served in its turn. Raises CacheError where it never could be."""
        ...

    def step(self) -> Sequence[LiveEvent]:
        """One pass over the model -> what it brought, often nothing of a request whose prompt is long."""
        ...

    def cancel(self, id: int) -> None:
        """Forget a request; what it held is free. Nothing where it has ended."""
        ...
