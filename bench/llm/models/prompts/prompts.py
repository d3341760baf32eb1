"""From a set of texts to prompts of an exact length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attnlab.bench.errors import UnknownName, UsageError
from attnlab.bench.llm.models.chat import Message
from attnlab.bench.llm.models.prompts.texts import SETS, PromptSet

if TYPE_CHECKING:
    from torch import Tensor

    from attnlab.bench.llm.models.tokenizer import Tokenizer

RANDOM = "random"
SLOT = "␟"
"""Stands for the document while the template is rendered."""

CHARACTERS_A_TOKEN = 8
"""More than any tokenizer packs on average into one token of these texts."""

CHARACTERS_AROUND = 16
"""That a prompt may be shorter or longer than its last token that fits would have it."""

ENDINGS = ("", ".", " …", " and so on")
"""Where no cut alone gives the number of tokens, as between two line breaks that are one token at an end."""


def prompt_sets() -> tuple[str, ...]:
    """Names of all sets, `random` among them, which needs no tokenizer."""
    return (*SETS, RANDOM)


def prompt_ids(
    name: str,
    tokenizer: Tokenizer | None,
    count: int,
    tokens: int,
    seed: int = 0,
    vocab_size: int | None = None,
) -> Tensor:
    """`count` different prompts of `tokens` tokens each, `[count, tokens]` int64 on the CPU.

    Of a set of texts, the encoded `prompt_texts`; of `random`, ids below `vocab_size`, or the tokenizer's.
    """
    import torch

    if name == RANDOM:
        size = vocab_size if vocab_size is not None else tokenizer.vocab_size if tokenizer is not None else None
        if size is None:
            raise UsageError("random prompts need vocab_size where there is no tokenizer")
        return random_ids(size, count, tokens, seed)
    if tokenizer is None:
        raise UsageError(f"prompts of {name!r} need a tokenizer; without one, take {RANDOM!r}")
    return torch.tensor([tokenizer.encode(text) for text in prompt_texts(name, tokenizer, count, tokens, seed)])


def random_ids(vocab_size: int, count: int, tokens: int, seed: int = 0) -> Tensor:
    """`[count, tokens]` int64 on the CPU, each id as likely as the others."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, vocab_size, (count, tokens), generator=generator)


def prompt_texts(name: str, tokenizer: Tokenizer, count: int, tokens: int, seed: int = 0) -> list[str]:
    """`count` prompts that are encoded as exactly `tokens` tokens each.

    An instruction and a document in the model's chat template, if it has one, whose end is kept whole; the
    document is cut, or goes on with the set's further texts. Each begins at another place of them, so that no
    two of a call share more than the template, the instruction and a few words; calls with one `count` and
    different seeds begin at different places, too, until the set has no more.

    Raises UnknownName for a set, UsageError where `tokens` does not hold the template, or `count` is more than
    the places of the set.
    """
    if name not in SETS:
        raise UnknownName("prompt set", name, prompt_sets())
    texts = SETS[name]
    if not 1 <= count <= len(texts.starts):
        raise UsageError(f"got {count} prompts, expected 1 to the {len(texts.starts)} that {name!r} has places for")
    return [prompt_text(texts, tokenizer, seed * count + row, tokens) for row in range(count)]


def prompt_text(texts: PromptSet, tokenizer: Tokenizer, number: int, tokens: int) -> str:
    """The prompt whose document begins at the place of that number."""
    head, tail = frame(tokenizer, texts.instructions[number % len(texts.instructions)])
    around = len(tokenizer.encode(head + tail))
    if tokens <= around:
        raise UsageError(
            f"got prompts of {tokens} tokens; expected more than {around}, which template and instruction of "
            f"{texts.name!r} take alone"
        )
    whole = head + texts.document(number, tokens * CHARACTERS_A_TOKEN)
    for text in near_cuts(whole, tail, tokenizer, tokens, shortest=len(head)):
        if len(tokenizer.encode(text)) == tokens:
            return text
    raise UsageError(f"no cut of {texts.name!r} at place {number} has {tokens} tokens; take another length")


def frame(tokenizer: Tokenizer, instruction: str) -> tuple[str, str]:
    """What stands before and after the document."""
    content = f"{instruction}\n\n{SLOT}"
    rendered = content if tokenizer.chat is None else tokenizer.chat.render([Message("user", content)])
    head, _, tail = rendered.partition(SLOT)
    return head, tail


def near_cuts(whole: str, tail: str, tokenizer: Tokenizer, tokens: int, shortest: int) -> Iterator[str]:
    """Prompts that end near the last token that fits: a word that is cut may be encoded otherwise than before."""
    body = tokenizer.encode(whole)[: tokens - len(tokenizer.encode(tail))]
    cut = len(tokenizer.decode(body, skip_special=False))
    for ending in ENDINGS:
        for distance in range(CHARACTERS_AROUND):
            for end in dict.fromkeys((cut + distance, cut - distance)):
                if shortest <= end <= len(whole):
                    yield whole[:end] + ending + tail
