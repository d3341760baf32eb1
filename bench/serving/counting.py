"""How many tokens each event of an answer held, and who said so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from attnlab.bench.serving.log import CountedBy, SplitBy
from attnlab.bench.serving.reading import Answer

Count = Callable[[str], int]
"""How many tokens a text has, by the model's tokenizer, no special ones added."""


class Counted(NamedTuple):
    """tokens: of the answer by the end of each event, rising to their number."""

    tokens: tuple[int, ...]
    by: CountedBy
    split_by: SplitBy


def counted(answer: Answer, count: Count | None = None) -> Counted:
    """Tokens by event.

    Their number is the server's usage; else that of the ids or counts that came with every piece; else the tokenizer's
    of the whole text; else one for each event with a piece. They are told apart among events by ids or counts; one
    each, where there are as many events as tokens; else in proportion to the tokenizer's count of each piece, or to
    their characters. Each event with a piece then has a token at least, as long as there are enough. Tokens that show
    nothing, where their number fits, are those of empty pieces and of the event with the finish reason. A usage of 0
    beside a text is none.
    """
    holders = [n for n, piece in enumerate(answer.pieces) if piece or answer.said[n]]
    told = [answer.said[n] for n in holders]
    usage = answer.usage.completion if answer.usage is not None else None
    by_server = [n for n in told if n is not None]
    all_said = bool(holders) and len(by_server) == len(holders) and sum(by_server) > 0
    if usage == 0 and any(answer.pieces):
        usage = None
    if usage is not None:
        return _of_usage(answer, usage, holders, by_server if all_said else None, count)
    if all_said:
        return Counted(_placed(answer, holders, by_server), "ids", "ids")
    if count is not None and holders:
        total = max(1, count("".join(answer.pieces)))
        return Counted(
            _placed(answer, holders, _spread(total, _weights(answer, holders, count))), "tokenizer", "tokenizer"
        )
    return Counted(_placed(answer, holders, [1] * len(holders)), "chunks", "one_each")


def _of_usage(answer: Answer, total: int, holders: list[int], said: list[int] | None, count: Count | None) -> Counted:
    ending = answer.ending if answer.ending is not None else len(answer.pieces) - 1
    if not holders:
        return Counted(_placed(answer, [ending], [total]) if answer.pieces else (), "usage", "one_each")
    each = said or [1] * len(holders)
    blanks = [n for n in answer.blanks if not answer.said[n]]
    last = [ending] if ending > holders[-1] else []
    for unseen in ([], blanks, [*blanks, *last], last):
        if sum(each) + len(unseen) == total:
            places = [*holders, *unseen]
            return Counted(_placed(answer, places, [*each, *[1] * len(unseen)]), "usage", "ids" if said else "one_each")
    if said is not None:
        return Counted(_placed(answer, holders, _spread(total, said)), "usage", "ids")
    weights = _weights(answer, holders, count or len)
    return Counted(_placed(answer, holders, _spread(total, weights)), "usage", "tokenizer" if count else "characters")


def _weights(answer: Answer, holders: Sequence[int], count: Count) -> list[int]:
    return [max(1, count(answer.pieces[n])) for n in holders]


def _spread(total: int, weights: Sequence[int]) -> list[int]:
    """So many tokens by weight, whole ones: at least one each where there are enough, and one of the first."""
    shares: list[int] = []
    whole, given = sum(weights), 0
    enough = total >= len(weights)
    for place, reached in enumerate(accumulate(weights)):
        least = given + 1 if enough or not place else given
        most = total - (len(weights) - place - 1) if enough else total
        upto = min(most, max(least, round(total * reached / whole)))
        shares.append(upto - given)
        given = upto
    return shares


def _placed(answer: Answer, holders: Sequence[int], each: Sequence[int]) -> tuple[int, ...]:
    """The tokens by the end of each event, of those that each holder has."""
    held = dict(zip(holders, each, strict=True))
    return tuple(accumulate(held.get(n, 0) for n in range(len(answer.pieces))))
