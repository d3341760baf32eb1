"""Which tokens a greedy model may have chosen for a text of which only the characters are known.

The text is encoded, and the reference reads it once. Where a token is not within what rounding may move off the best,
the tokens that are so near and whose bytes the text goes on with are tried in its place, and the rest is encoded anew:
a model may spell a word otherwise than an encoder does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from attnlab.bench.llm.models.tokenizer import Tokenizer

REPLACED = "\ufffd".encode()
MOST_READINGS = 24  # passes of the reference over one text
CANDIDATES = 8  # tokens a place that are tried

Read = Callable[[Tensor], Tensor]
"""The reference's logits [N, V] at each place of an answer [N]."""


@dataclass(frozen=True)
class Spelled:
    """ids: of the text, as likely as could be found. logits: [N, V], at each place. left: bytes of the text that no
    token within the allowance goes on with; 0 where all of it is spelled.
    """

    ids: Tensor
    logits: Tensor
    left: int


def spelled(text: bytes, tokenizer: Tokenizer, read: Read, allowed: float, most: int) -> Spelled | None:
    """The tokens of a text, at most `most` of them; None of a text without a token.

    allowed: how far a token's logit may be below the best one's. A character that was cut short at the end is left out.
    """
    whole = text[: text.index(REPLACED)] if REPLACED in text else text
    known = _encoded(whole, tokenizer)[:most]
    fixed = 0
    found: Spelled | None = None
    for _ in range(MOST_READINGS):
        if not known:
            return None
        ids = torch.tensor(known)
        logits = read(ids)
        short = logits.max(-1).values - logits.gather(-1, ids[:, None])[:, 0]
        off = [place for place in (short > allowed).nonzero()[:, 0].tolist() if place >= fixed]
        if not off:
            return Spelled(ids, logits, 0)
        place = off[0]
        rest = whole[sum(len(_shown(tokenizer, one)) for one in known[:place]) :]
        other = _another(rest, logits[place], allowed, tokenizer, known[place])
        found = Spelled(ids, logits, len(rest))
        if other is None:
            return found
        shown = _shown(tokenizer, other)
        known = [*known[:place], other, *_encoded(rest[len(shown) :], tokenizer)][:most]
        fixed = place + 1
    return found


def _another(rest: bytes, logits: Tensor, allowed: float, tokenizer: Tokenizer, tried: int) -> int | None:
    """The likeliest token within the allowance that the text goes on with, other than the one that was tried."""
    best = logits.topk(min(CANDIDATES, logits.numel()))
    for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        if best.values[0].item() - value > allowed:
            return None
        if index != tried and index < tokenizer.vocab_size and rest.startswith(_shown(tokenizer, index)):
            return int(index)
    return None


def _shown(tokenizer: Tokenizer, index: int) -> bytes:
    """The bytes of a token in an answer: none of a special one, which servers leave out."""
    return b"" if index in tokenizer.special.values() else tokenizer.token_bytes(index)


def _encoded(text: bytes, tokenizer: Tokenizer) -> Sequence[int]:
    return tokenizer.encode(text.decode("utf-8", "ignore"), plain=True) if text else []
