"""The prompts of a load, as messages, as text and as ids: each of exactly as many tokens as the case asks for.

They follow from the numbers that a draw gives, and from the words that make them unique. So whoever judges an answer
can write the prompt again from these alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from attnlab.bench.errors import ModelError, UsageError
from attnlab.bench.llm.models.chat import Message
from attnlab.bench.llm.models.prompts import RANDOM
from attnlab.bench.llm.models.prompts.prompts import CHARACTERS_A_TOKEN, SLOT, near_cuts, random_ids
from attnlab.bench.llm.models.prompts.texts import SETS
from attnlab.bench.ops.serve import salt as salting
from attnlab.bench.ops.serve.salt import Salt

if TYPE_CHECKING:
    from attnlab.bench.llm.models.tokenizer import Tokenizer
    from attnlab.bench.ops.serve.case import ServeCase

ANSWER_SLOT = "␚"
"""Stands for the answer before a turn while the template is rendered."""
FOLLOW_UP = "Now the same for this text."


@dataclass(frozen=True)
class Prompt:
    """What one request asks.

    messages: those of its own turn, () of random ids. text: with the template; of a later turn what follows the answer
    before it; None of random ids. ids: the whole prompt's, None where they are not known before it is sent: of a later
    turn, or without the model's own tokenizer. after: number of the request whose answer it follows.
    """

    messages: tuple[Message, ...]
    text: str | None
    ids: tuple[int, ...] | None
    after: int | None = None


def prompts_of(
    case: ServeCase, tokenizer: Tokenizer | None, numbers: Sequence[int], salts: Sequence[Salt], seed: int
) -> list[Prompt]:
    """The prompts of a load: numbers, salts: one of each request, of a later turn those of its own.

    tokenizer: the model's where it is here, else one that counts nearly alike. Raises UsageError where a prompt is too
    short for its template.
    """
    lengths = [prompt for prompt, _ in case.lengths_of(seed)]
    if case.prompts == RANDOM:
        return [_random(case, n, tokens, salt) for n, tokens, salt in zip(numbers, lengths, salts, strict=True)]
    if tokenizer is None:
        raise UsageError(f"prompts of {case.prompts!r} need a tokenizer; without one, take {RANDOM!r}")
    writer = Writer(case.prompts, tokenizer, exact=case.has_tokenizer)
    made: list[Prompt] = []
    for row, (number, tokens, salt) in enumerate(zip(numbers, lengths, salts, strict=True)):
        before = case.follows[row]
        if before is not None:
            made.append(writer.follow(number, tokens, before))
        else:
            made.append(writer.first(number, tokens, salt, case.shared[row]))
    return made


def _random(case: ServeCase, number: int, tokens: int, salt: Salt) -> Prompt:
    seed = number if salting.is_none(salt) else salting.number_of(salt, number)
    return Prompt((), None, tuple(random_ids(case.config.vocab_size, 1, tokens, seed)[0].tolist()))


@dataclass(frozen=True)
class Writer:
    """Writes prompts of one set. exact: whether the tokenizer is the model's own, whose ids are then the prompt's."""

    name: str
    tokenizer: Tokenizer
    exact: bool

    def first(self, number: int, tokens: int, salt: Salt, blocks: Sequence[tuple[str, int]] = ()) -> Prompt:
        """A prompt that begins a conversation."""
        texts = SETS[self.name]
        before, words = self._salted(salt)
        shared = "".join(_block(self.tokenizer, self.name, name, count) for name, count in blocks)
        opening = f"{words}{shared}{texts.instructions[number % len(texts.instructions)]}\n\n"
        content, text = self._cut(before, opening, number, tokens)
        ids = tuple(self.tokenizer.encode(text)) if self.exact else None
        return Prompt((*before, Message("user", content)), text, ids)

    def follow(self, number: int, tokens: int, after: int) -> Prompt:
        """A later turn, whose own tokens are as many."""
        asked = [Message("user", ANSWER_SLOT), Message("assistant", ANSWER_SLOT)]
        content, text = self._cut(asked, f"{FOLLOW_UP}\n\n", number, tokens)
        return Prompt((Message("user", content),), text, None, after)

    def _salted(self, salt: Salt) -> tuple[list[Message], str]:
        """Messages before the user's, and what the user's begins with."""
        if salting.is_none(salt):
            return [], ""
        told = salting.text_of(salt)
        if self.tokenizer.chat is not None and _takes_system(self.tokenizer):
            return [Message("system", told)], ""
        return [], f"{told}\n\n"

    def _cut(self, before: Sequence[Message], opening: str, number: int, tokens: int) -> tuple[str, str]:
        """What the user says, and the text with its template, of so many tokens. Raises UsageError where none has."""
        head, tail = self._frame(before, opening)
        around = len(self.tokenizer.encode(head + tail))
        if tokens <= around:
            raise UsageError(
                f"got prompts of {tokens} tokens; expected more than {around}, which template and instruction of "
                f"{self.name!r} take alone"
            )
        whole = head + SETS[self.name].document(number, tokens * CHARACTERS_A_TOKEN)
        start = len(head) - len(opening)
        for text in near_cuts(whole, tail, self.tokenizer, tokens, shortest=len(head)):
            content = text[start : len(text) - len(tail)]
            if len(self.tokenizer.encode(text)) == tokens and content == content.strip():
                return content, text
        raise UsageError(f"no cut of {self.name!r} at place {number} has {tokens} tokens; take another length")

    def _frame(self, before: Sequence[Message], opening: str) -> tuple[str, str]:
        """What stands before and after the document; after an answer, from where that ends."""
        rendered = self._rendered([*before, Message("user", f"{opening}{SLOT}")])
        head, _, tail = rendered.partition(SLOT)
        return head.rpartition(ANSWER_SLOT)[2], tail

    def _rendered(self, messages: Sequence[Message]) -> str:
        if self.tokenizer.chat is not None:
            return self.tokenizer.chat.render(messages)
        return "\n\n".join(message.content for message in messages)


@lru_cache(maxsize=8)
def _takes_system(tokenizer: Tokenizer) -> bool:
    """Whether the chat template takes a system's message: some refuse it, some leave it out."""
    assert tokenizer.chat is not None
    try:
        return SLOT in tokenizer.chat.render([Message("system", SLOT), Message("user", "?")])
    except ModelError:
        return False


@lru_cache(maxsize=256)
def _block(tokenizer: Tokenizer, prompts: str, name: str, tokens: int) -> str:
    """A text of that name of about so many tokens, which all prompts have that begin with it."""
    number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big")
    text = SETS[prompts].document(number, tokens * CHARACTERS_A_TOKEN)
    return tokenizer.decode(tokenizer.encode(text)[: max(1, tokens - 1)], skip_special=False) + "\n"
