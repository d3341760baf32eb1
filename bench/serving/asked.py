"""Requests that are to be sent to a server: what each asks, and when it is due."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from attnlab.bench.errors import ServiceError
from attnlab.bench.llm.sampling_params import SamplingParams


@dataclass(frozen=True)
class Message:
    """One message of a chat; role: `system`, `user`, `assistant` or what else the server's template knows."""

    role: str
    text: str


@dataclass(frozen=True)
class Asked:
    """One request that is to be sent.

    number: its place in the load, from 0. due_s: the intended start, seconds after the load begins; of a closed loop
    and of a turn that follows another it is not used. messages: what a chat endpoint sends. prompt: the text whole, the
    chat template applied where the endpoint wants it; prompt_ids: the same as tokens, None where they are not known.
    prompt_tokens: how many tokens the prompt has by the caller's tokenizer; None where only the server can say.
    sampling: None is greedy; seed goes with it. stop: texts that end the answer. whole_length: the answer is to have
    max_tokens tokens, an end-of-text token does not end it; endpoints send what their server knows for it.

    A conversation: after is the number of the request whose answer this one follows, think_s what the reader takes
    between. messages (or prompt) are then those of this turn alone. The client puts those before and the answer that
    came in front of them. carries False sends them as they are, so that what is asked does not hang on what was
    answered; prompt_ids, which cannot be joined to an answer's text, need it.
    """

    number: int
    due_s: float = 0.0
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    prompt_ids: tuple[int, ...] | None = None
    max_tokens: int = 64
    sampling: SamplingParams | None = None
    after: int | None = None
    think_s: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    whole_length: bool = True
    carries: bool = True
    prompt_tokens: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("due_s", self.due_s), ("think_s", self.think_s)):
            if not math.isfinite(value) or value < 0:
                raise ServiceError(f"request {self.number}: got {name}={value}; expected a finite time of 0 s or more")
        if self.max_tokens < 1:
            raise ServiceError(f"request {self.number}: got max_tokens={self.max_tokens}; expected 1 or more")
        if self.after is not None and not 0 <= self.after < self.number:
            raise ServiceError(
                f"request {self.number}: got after={self.after}; expected the number of an earlier request, from 0 on"
            )
        if not (self.messages or self.prompt or self.prompt_ids):
            raise ServiceError(f"request {self.number}: got nothing to ask; give messages, prompt or prompt_ids")

    @property
    def greedy(self) -> bool:
        return self.sampling is None or self.sampling.greedy


def checked(asked: Sequence[Asked]) -> tuple[Asked, ...]:
    """The requests of a load; raises ServiceError where numbers are not 0, 1, 2 … or an answer is followed twice."""
    if not asked:
        raise ServiceError("got a load without a request; expected at least one")
    wrong = next(((place, one.number) for place, one in enumerate(asked) if one.number != place), None)
    if wrong is not None:
        raise ServiceError(f"got request number {wrong[1]} at place {wrong[0]}; expected numbers 0, 1, 2 … in order")
    followed: dict[int, int] = {}
    for one in asked:
        if one.after is None:
            continue
        other = followed.setdefault(one.after, one.number)
        if other != one.number:
            raise ServiceError(
                f"got requests {other} and {one.number} that both follow {one.after}; expected one a turn: "
                "give each conversation requests of its own"
            )
        if one.carries and one.prompt_ids is not None and not one.prompt and not one.messages:
            raise ServiceError(
                f"request {one.number}: got prompt_ids alone for a turn that carries the answer before it; give its "
                "text too, or carries=False with the ids of the whole prompt"
            )
    return tuple(asked)


def conversations(asked: Sequence[Asked]) -> tuple[tuple[Asked, ...], ...]:
    """The requests as conversations, in order of their first ones: of each the turns; a request alone is one turn."""
    chains: dict[int, list[Asked]] = {}
    first: dict[int, int] = {}
    for one in asked:
        start = one.number if one.after is None else first[one.after]
        first[one.number] = start
        chains.setdefault(start, []).append(one)
    return tuple(tuple(chain) for chain in chains.values())


def joined(turn: Asked, before: Asked, answer: str) -> Asked:
    """A turn with all that was said before it; `before` is the request before, already joined to what it follows."""
    if not turn.carries:
        return turn
    messages = (*before.messages, Message("assistant", answer), *turn.messages) if turn.messages else ()
    prompt = f"{before.prompt}{answer}{turn.prompt}" if turn.prompt else ""
    return replace(turn, messages=messages, prompt=prompt, prompt_ids=None, prompt_tokens=None)
