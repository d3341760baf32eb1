"""Faults of engines, as the reference would compute with them: positions, the cache's length, pages, masks, rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.llm.caches import KVCache, layout_of
from attnlab.bench.llm.generation.stored import SAME

if TYPE_CHECKING:
    from attnlab.bench.llm.models.reference import Attending, Reading
    from attnlab.bench.ops.generate.case import GenerateCase

BLANK = -1  # a place that was never written, or that holds nothing any more: zeros
Shift = Callable[[Tensor], Tensor]


def _unshifted(positions: Tensor) -> Tensor:
    return positions


@dataclass(frozen=True)
class Keys:
    """What some queries see. source: int64 [T'], the place that each key is read from. seen: bool [queries, T']."""

    source: Tensor
    seen: Tensor


@dataclass(frozen=True)
class Fault:
    """Another reading of a text of `prompt` tokens and an answer; a `reference.Reading`.

    queries, keys: what becomes of positions. of_prompt, of_answer: what their queries see, where not what they should.
    other_row: whether the answer of a row is computed over the prompt of the row before.
    """

    name: str
    prompt: int
    queries: Shift = _unshifted
    keys: Shift = _unshifted
    of_prompt: Keys | None = None
    of_answer: Keys | None = None
    other_row: bool = False

    def positions(self, right: Tensor) -> tuple[Tensor, Tensor]:
        return self.queries(right), self.keys(right)

    def attention(self, q: Tensor, k: Tensor, v: Tensor, how: Attending) -> Tensor:
        """Queries [B, Hq, T, D] of the prompt over keys [B, Hkv, T, D] of the prompt, then those of the answer."""
        p, length = self.prompt, q.shape[2]
        right = causal(length, how.window, q.device)
        prompt, answer = self.of_prompt, self.of_answer
        here = torch.arange(length, device=q.device)
        prompt = prompt or Keys(here[:p], right[:p, :p])
        answer = answer or Keys(here, right[p:])
        first = attended(q[:, :, :p], k[:, :, :p], v[:, :, :p], prompt, how)
        if self.other_row:
            k, v = (torch.cat([x[:, :, :p].roll(1, 0), x[:, :, p:]], 2) for x in (k, v))
        return torch.cat([first, attended(q[:, :, p:], k, v, answer, how)], 2).transpose(1, 2).flatten(2)


@dataclass(frozen=True)
class SideBySide:
    """Several faults in one pass: of a batch, so many rows are read with the first, as many with the next, and so on.

    A `reference.Reading`.
    """

    faults: tuple[Fault, ...]
    rows: int

    def positions(self, right: Tensor) -> tuple[Tensor, Tensor]:
        """Each [F · rows, 1, S], the same for every head."""
        of_faults = (torch.stack(side) for side in zip(*(f.positions(right) for f in self.faults), strict=True))
        queries, keys = (one.repeat_interleave(self.rows, 0)[:, None] for one in of_faults)
        return queries, keys

    def attention(self, q: Tensor, k: Tensor, v: Tensor, how: Attending) -> Tensor:
        parts = zip(self.faults, *(x.split(self.rows) for x in (q, k, v)), strict=True)
        return torch.cat([fault.attention(*qkv, how) for fault, *qkv in parts])


def causal(length: int, window: int | None, device: torch.device | str = "cpu") -> Tensor:
    """bool [T, T], which keys a query sees."""
    place = torch.arange(length, device=device)
    seen = place <= place[:, None]
    return seen if window is None else seen & (place > place[:, None] - window)


def attended(q: Tensor, k: Tensor, v: Tensor, keys: Keys, how: Attending) -> Tensor:
    """[B, Hq, S, D] of queries over keys as `keys` has them; zeros where a query sees none."""
    groups = q.shape[1] // k.shape[1]
    source = keys.source.to(q.device)
    k, v = (torch.cat([x, torch.zeros_like(x[:, :, :1])], 2)[:, :, source] for x in (k, v))
    k, v = (x.repeat_interleave(groups, 1) for x in (k, v))
    weights = how.weights(q @ k.mT * how.scale, keys.seen.to(q.device))
    return weights.nan_to_num(0.0) @ v


def faults(prompt: int, new: int, rows: int, page: int) -> Iterator[Fault]:
    """Those that can be made with answers of `new` tokens to `rows` prompts, in pages of so many tokens."""
    length = prompt + new - 1
    place = torch.arange(length)
    seen = causal(length, None)
    if new > 1:
        yield from _of_answers(prompt, length, page, place, seen)
        if rows > 1:
            yield Fault("the prompt of another row", prompt, other_row=True)
    unseen = seen[:prompt, :prompt].clone()
    unseen[-1, -1] = prompt == 1
    if prompt > 1:
        yield Fault("the prompt's last token does not see itself", prompt, of_prompt=Keys(place[:prompt], unseen))
    more = torch.cat([seen[:prompt, :prompt], torch.ones(prompt, 1, dtype=torch.bool)], 1)
    padded = torch.cat([place[:prompt], torch.tensor([BLANK])])
    yield Fault("padding is seen in the prompt", prompt, of_prompt=Keys(padded, more))
    border = prompt // 2
    if border:
        cut = seen[:prompt, :prompt].clone()
        cut[border:, border - 1] = False
        yield Fault("a chunk of the prompt misses the last key before it", prompt, of_prompt=Keys(place[:prompt], cut))

    def further(positions: Tensor) -> Tensor:
        return positions + (positions >= (prompt + 1) // 2)

    yield Fault("positions are one ahead from half of the prompt on", prompt, queries=further, keys=further)


def _of_answers(prompt: int, length: int, page: int, place: Tensor, seen: Tensor) -> Iterator[Fault]:
    def ahead(positions: Tensor) -> Tensor:
        return positions + (positions >= prompt)

    def behind(positions: Tensor) -> Tensor:
        return positions - (positions >= prompt).long()

    yield Fault("positions of the answer are one ahead", prompt, queries=ahead, keys=ahead)
    yield Fault("positions of the answer are one behind", prompt, queries=behind, keys=behind)
    yield Fault("queries of the answer are one ahead", prompt, queries=ahead)
    steps = torch.arange(length - prompt)
    fewer = seen[prompt:].clone()
    fewer[steps, prompt + steps] = False
    yield Fault("the newest key is not seen", prompt, of_answer=Keys(place, fewer))
    one = torch.ones(len(steps), 1, dtype=torch.bool)
    more = Keys(torch.cat([place, torch.tensor([BLANK])]), torch.cat([seen[prompt:], one], 1))
    yield Fault("one key too many is seen", prompt, of_answer=more)
    tail = seen[prompt:].clone()
    for step in steps.tolist():
        tail[step, (prompt + step + 1) // page * page :] = False
    if bool((tail != seen[prompt:]).any()):
        yield Fault("the last page that is not full is not seen", prompt, of_answer=Keys(place, tail))
    stale = place.clone()
    stale[: min(page, prompt)] = BLANK
    yield Fault("a page is blank", prompt, of_answer=Keys(stale, seen[prompt:]))
    if prompt >= 4:
        half = min(page, prompt // 2)
        wrong = place.clone()
        wrong[:half] = place[half : 2 * half]
        yield Fault("one page for another", prompt, of_answer=Keys(wrong, seen[prompt:]))


def encoded(case: GenerateCase) -> Reading | None:
    """How a text is read whose keys and values are stored as codes; None where they are not."""
    return None if case.cache == SAME else EncodedReading(case, case.prompt_len)


@dataclass(frozen=True)
class EncodedReading:
    """The right reading, but of keys and values as a case's cache gives them back; a `reference.Reading`."""

    case: GenerateCase
    prompt: int

    def positions(self, right: Tensor) -> tuple[Tensor, Tensor]:
        return right, right

    def attention(self, q: Tensor, k: Tensor, v: Tensor, how: Attending) -> Tensor:
        batch, heads, length, size = k.shape
        layout = self.case.placing if self.case.placing.paged else layout_of("contiguous_bhsd")
        cache = KVCache.allocate(
            layout,
            self.case.format,
            batch=batch,
            kv_heads=heads,
            head_dim=size,
            dtype=k.dtype,
            capacity=length,
            device=k.device,
        )
        first, other = (x[:, :, : self.prompt] for x in (k, v))
        cache.calibrate(first, other, torch.full_like(cache.lengths, min(self.prompt, length)))
        cache.write(k, v, torch.zeros_like(cache.lengths))
        keys, values = (x.to(k.dtype) for x in cache.read(length=length))
        seen = Keys(torch.arange(length, device=q.device), causal(length, how.window, q.device))
        return attended(q, keys, values, seen, how).transpose(1, 2).flatten(2)
