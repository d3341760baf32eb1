"""The texts that a model's predictions are judged on, as token ids, and the windows that they are read in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.captured import texts as captured
from attnlab.bench.llm.models.prompts import random_ids
from attnlab.bench.llm.models.prompts.texts import SETS
from attnlab.bench.llm.models.sources import PACKAGED

if TYPE_CHECKING:
    from attnlab.bench.llm.models.tokenizer import Tokenizer

PROMPTS, RANDOM = "prompts", "random"
TEXTS = (*captured.TEXTS, PROMPTS, RANDOM)
"""`prose` and `code`, a story and a program; the documents of every set of prompts, joined; and ids of no text."""

RANDOM_TOKENS, RANDOM_SEED = 4096, 20_240_815


def text_ids(name: str, model: str, tokenizer: Callable[[], Tokenizer | None], vocab_size: int) -> Tensor:
    """All ids of a text, int64 [T], without a token of its beginning; one of `TEXTS`.

    Those of `prose` and `code` are kept with the project for the packaged model, others are encoded by the tokenizer.
    Raises UsageError where a text has to be encoded and the model has no tokenizer.
    """
    if name == RANDOM:
        return random_ids(vocab_size, 1, RANDOM_TOKENS, RANDOM_SEED)[0]
    if name in captured.TEXTS and model == PACKAGED:
        return captured.token_ids(name)
    encoder = tokenizer()
    if encoder is None:
        raise UsageError(f"text {name!r} needs a tokenizer, and {model} has none; take {RANDOM!r}")
    return torch.tensor(encoder.encode(_whole(name)))


def _whole(name: str) -> str:
    if name == PROMPTS:
        return "\n\n".join(item for texts in SETS.values() for item in texts.items)
    return (captured.DATA / f"{name}.txt").read_text(encoding="utf-8")


def tokens_of(window: int, stride: int, windows: int) -> int:
    """Tokens of a text that so many windows take, of which each begins `stride` tokens after the one before."""
    return window + (windows - 1) * stride


def windows_of(ids: Tensor, window: int, stride: int, windows: int, offset: int = 0) -> Tensor:
    """[windows, window] of ids [T]; the first begins at `offset`, and behind the end the text begins anew."""
    places = offset + torch.arange(windows)[:, None] * stride + torch.arange(window)
    return ids[places % len(ids)]
