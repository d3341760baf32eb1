"""Honest decoding in plain torch, every step a seam, and what breaks when one is done wrongly."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attnlab.bench.llm.caches import KVCache, Side
from attnlab.bench.ops._shared.caching import DecodeCase
from attnlab.bench.ops.decode_attention.inputs import DecodeInputs

from .collection import Collection

DECODE_DEFECTS = Collection("decode_attention")
broken = DECODE_DEFECTS.broken


class Decode:
    """Gathers token by token, sequence by sequence, by arithmetic of its own; eager, float32 inside."""

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> DecodeCase:
        return case

    def run(self, inputs: DecodeInputs, case: DecodeCase) -> Tensor:
        outs = [self.sequence(inputs, n, self.length(inputs, n)) for n in range(inputs.q.shape[0])]
        return torch.stack(outs).to(inputs.q.dtype)

    def length(self, inputs: DecodeInputs, n: int) -> int:
        return int(inputs.cache.lengths[n])

    def sequence(self, inputs: DecodeInputs, n: int, length: int) -> Tensor:
        """[Hq, Sq, D]"""
        tokens = torch.arange(length)
        dtype = inputs.q.dtype
        k = self.tokens(inputs.cache, self.key_side(inputs.cache), n, tokens).to(dtype).float()
        v = self.tokens(inputs.cache, self.value_side(inputs.cache), n, tokens).to(dtype).float()
        heads = self.kv_head(torch.arange(inputs.q.shape[1]), inputs)
        scores = inputs.q[n].float() @ k[heads].mT * inputs.scale
        return self.attend(scores, self.permitted(inputs, length), v[heads])

    def key_side(self, cache: KVCache) -> Side:
        return cache.keys

    def value_side(self, cache: KVCache) -> Side:
        return cache.values

    def tokens(self, cache: KVCache, side: Side, n: int, tokens: Tensor) -> Tensor:
        """[Hkv, S, D] in float32."""
        page, place = self.place(cache, n, tokens)
        planes = {}
        for spec in side.specs:
            plane = side.planes[spec.name]
            if spec.grows:
                plane = self.rows(plane, page, place, side.rows_of(spec), spec.name)[None]
            planes[spec.name] = plane
        return self.decode(side, planes)[0].transpose(0, 1)

    def rows(self, plane: Tensor, page: Tensor, place: Tensor, tokens_a_row: int, name: str) -> Tensor:
        raw = plane.view(torch.uint8) if plane.dtype == torch.float8_e4m3fn else plane
        return raw[page, place // tokens_a_row].view(plane.dtype)

    def decode(self, side: Side, planes: dict[str, Tensor]) -> Tensor:
        return side.codec.decode(planes)

    def place(self, cache: KVCache, n: int, tokens: Tensor) -> tuple[Tensor, Tensor]:
        size = cache.page_tokens
        if cache.table is None:
            return torch.full_like(tokens, n), tokens % size if cache.layout.wraps else tokens
        return self.pages(cache.table, n, tokens // size), tokens % size

    def pages(self, table: Tensor, n: int, index: Tensor) -> Tensor:
        return table[n, index].long()

    def kv_head(self, q_head: Tensor, inputs: DecodeInputs) -> Tensor:
        return q_head // (inputs.q.shape[1] // inputs.cache.keys.planes["data"].shape[2])

    def permitted(self, inputs: DecodeInputs, length: int) -> Tensor:
        """[Sq, S]"""
        position = self.positions(inputs, length)
        allowed = torch.arange(length)[None, :] <= position
        if inputs.mask.window is not None:
            allowed = allowed & (torch.arange(length)[None, :] > position - inputs.mask.window)
        return allowed

    def positions(self, inputs: DecodeInputs, length: int) -> Tensor:
        q_len = inputs.q.shape[2]
        return length - q_len + torch.arange(q_len)[:, None]

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        p = scores.masked_fill(~permitted, -math.inf).softmax(-1).masked_fill(~permitted, 0.0)
        return p @ v


class Split(Decode):
    """As flash-decoding does: parts of the cache apart, then joined by their log-sum-exp."""

    parts = 3

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        outs, sums = [], []
        length = scores.shape[-1]
        for part in range(self.parts):
            some = slice(length * part // self.parts, length * (part + 1) // self.parts)
            masked = scores[..., some].masked_fill(~permitted[:, some], -math.inf)
            outs.append(self.weigh(masked, v[:, some]))
            sums.append(masked.logsumexp(-1, keepdim=True))
        return self.join(torch.stack(outs), torch.stack(sums))

    def weigh(self, scores: Tensor, v: Tensor) -> Tensor:
        return scores.softmax(-1).nan_to_num(0.0) @ v

    def join(self, outs: Tensor, sums: Tensor) -> Tensor:
        return (outs * sums.softmax(0).nan_to_num(0.0)).sum(0)


class ManySplits(Split):
    """More parts than most sequences have tokens: some are empty."""

    parts = 40


HONEST = (Decode, Split, ManySplits)


def paged(case: DecodeCase) -> bool:
    return case.placing.paged


def pages(case: DecodeCase) -> int:
    return max(case.placing.pages_for(length) for length in case.lengths)


def ends_within_a_page(case: DecodeCase) -> bool:
    return paged(case) and any(length % (case.placing.page_tokens or 1) for length in case.lengths)


def scaled_by_token(case: DecodeCase) -> bool:
    return case.cache in ("int8_token", "fp8_e4m3_token")


@broken(lambda case: paged(case) and pages(case) > 1)
class TableOffByOne(Decode):
    """The page before, in the block table."""

    def pages(self, table: Tensor, n: int, index: Tensor) -> Tensor:
        return table[n, (index - 1).clamp_min(0)].long()


@broken(lambda case: paged(case) and pages(case) > 1 and case.batch > 1)
class TableOfTheNeighbour(Decode):
    """The block table of the next sequence."""

    def pages(self, table: Tensor, n: int, index: Tensor) -> Tensor:
        return table[(n + 1) % len(table), index].long()


def order_matters(case: DecodeCase) -> bool:
    """One query that sees all tokens has the same result in any order of whole pages."""
    return case.q_len > 1 or case.mask.window is not None or ends_within_a_page(case)


@broken(lambda case: paged(case) and pages(case) > 1 and order_matters(case))
class PageOrderIgnored(Decode):
    """Pages of a sequence in the order in which they lie in the pool, as if they had been allocated so."""

    def pages(self, table: Tensor, n: int, index: Tensor) -> Tensor:
        own = table[n, : int(index.max()) + 1 if len(index) else 0].sort().values
        return own[index].long() if not torch.equal(own, table[n, : len(own)]) else own.flip(0)[index].long()


@broken(lambda case: paged(case))
class StalePage(Decode):
    """The last page of each sequence is looked for in one that belongs to nobody."""

    def place(self, cache: KVCache, n: int, tokens: Tensor) -> tuple[Tensor, Tensor]:
        page, place = super().place(cache, n, tokens)
        assert cache.table is not None
        used = {
            entry
            for row, length in zip(cache.table.tolist(), cache.lengths.tolist(), strict=True)
            for entry in row[: -(-length // cache.page_tokens)]
        }
        free = min(set(range(cache.keys.planes["data"].shape[0])) - used)
        last = (len(tokens) - 1) // cache.page_tokens
        return torch.where(tokens // cache.page_tokens == last, free, page), place


@broken(lambda case: case.longest > 0)
class LengthOffByOne(Decode):
    """The last token is not seen."""

    def length(self, inputs: DecodeInputs, n: int) -> int:
        return max(0, super().length(inputs, n) - 1)


@broken(lambda case: ends_within_a_page(case))
class OneTokenMore(Decode):
    """A token behind the end is seen, where its page has room for one."""

    def sequence(self, inputs: DecodeInputs, n: int, length: int) -> Tensor:
        return super().sequence(inputs, n, length + (length % inputs.cache.page_tokens > 0))


@broken(lambda case: ends_within_a_page(case) and case.mask.window is None)
class TailOfTheLastPageRead(Decode):
    """Every sequence is read to the end of its last page."""

    def sequence(self, inputs: DecodeInputs, n: int, length: int) -> Tensor:
        size = inputs.cache.page_tokens
        return super().sequence(inputs, n, -(-length // size) * size)


@broken(lambda case: ends_within_a_page(case))
class TailOfTheLastPageDropped(Decode):
    """Only whole pages are read, and the last one not at all if it is not full."""

    def permitted(self, inputs: DecodeInputs, length: int) -> Tensor:
        size = inputs.cache.page_tokens
        return super().permitted(inputs, length) & (torch.arange(length) < length // size * size)


@broken(lambda case: scaled_by_token(case) and case.longest > 1)
class ScaleOfTheNeighbour(Decode):
    """Each token has the scale of the one before."""

    def decode(self, side: Side, planes: dict[str, Tensor]) -> Tensor:
        return super().decode(side, planes | {"scale": planes["scale"].roll(1, 1)})


@broken(lambda case: scaled_by_token(case) and case.kv_heads > 1 and case.longest > 0)
class ScaleOfAnotherHead(Decode):
    """Heads have each other's scales."""

    def decode(self, side: Side, planes: dict[str, Tensor]) -> Tensor:
        return super().decode(side, planes | {"scale": planes["scale"].flip(2)})


@broken(lambda case: case.cache in ("int8_token", "fp8_e4m3", "fp8_e4m3_token") and case.longest > 0)
class KeyScaleForValues(Decode):
    """The scale of the keys is used for the values too."""

    def value_side(self, cache: KVCache) -> Side:
        scale = {"scale": cache.keys.planes["scale"]}
        return Side(cache.values.codec, cache.values.specs, cache.values.planes | scale)


@broken(lambda case: case.cache == "int4_g32" and case.longest > 0)
class MinimumForgotten(Decode):
    """Codes of four bits times their scale, and no minimum."""

    def decode(self, side: Side, planes: dict[str, Tensor]) -> Tensor:
        return super().decode(side, planes | {"minimum": torch.zeros_like(planes["minimum"])})


@broken(lambda case: case.cache == "int4_g32" and case.longest > 0)
class NibblesSwapped(Decode):
    """The high bits of a byte taken for the low ones."""

    def decode(self, side: Side, planes: dict[str, Tensor]) -> Tensor:
        data = planes["data"]
        return super().decode(side, planes | {"data": data << 4 | data >> 4})


@broken(lambda case: case.cache == "int4_g32" and min(case.placing.tokens_a_page(case.longest), case.longest) > 32)
class GroupBefore(Decode):
    """Keys have the scales of the group of tokens before."""

    def rows(self, plane: Tensor, page: Tensor, place: Tensor, tokens_a_row: int, name: str) -> Tensor:
        if tokens_a_row > 1:
            return plane[page, (place // tokens_a_row - 1).clamp_min(0)]
        return super().rows(plane, page, place, tokens_a_row, name)


@broken(lambda case: case.mask.window is not None and case.longest > case.mask.window)
class WindowIgnored(Decode):
    """Every token before is seen, or what the ring holds of them."""

    def permitted(self, inputs: DecodeInputs, length: int) -> Tensor:
        return torch.arange(length)[None, :] <= self.positions(inputs, length)


@broken(lambda case: case.mask.window is not None and case.longest > case.mask.window)
class WindowOneWider(Decode):
    """One token more than the window has."""

    def permitted(self, inputs: DecodeInputs, length: int) -> Tensor:
        before = torch.arange(length)[None, :] == self.positions(inputs, length) - (inputs.mask.window or 0)
        return super().permitted(inputs, length) | before


@broken(lambda case: case.q_len > 1 and case.longest > 0)
class NewTokensSeeEachOther(Decode):
    """The causal mask among the new tokens is forgotten."""

    def permitted(self, inputs: DecodeInputs, length: int) -> Tensor:
        return super().permitted(inputs, length) | (torch.arange(length) >= length - inputs.q.shape[2])


def spans_splits(case: DecodeCase) -> bool:
    """Some new token sees tokens of two parts of `Split`."""
    parts = Split.parts
    return any(
        first < length * part // parts < last
        for (first, last), length in zip(case.seen, case.lengths, strict=True)
        for part in range(1, parts)
    )


@broken(spans_splits)
class SplitsNotRescaled(Split):
    """The parts are averaged as if each weighed the same."""

    def join(self, outs: Tensor, sums: Tensor) -> Tensor:
        present = (sums > -math.inf).float()
        return (outs * present).sum(0) / present.sum(0).clamp_min(1)


@broken(lambda case: any(length < ManySplits.parts for length in case.lengths))
class EmptySplitIsNaN(ManySplits):
    """A part without tokens gives 0/0."""

    def weigh(self, scores: Tensor, v: Tensor) -> Tensor:
        return (
            scores.softmax(-1) @ v if scores.shape[-1] else scores.new_full((*scores.shape[:-1], v.shape[-1]), math.nan)
        )


@broken(lambda case: min(case.lengths) < case.q_len)
class NothingSeenIsNaN(Decode):
    """A row that sees no token is 0/0."""

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        weights = scores.masked_fill(~permitted, -1e30).exp().masked_fill(~permitted, 0.0)
        return weights / weights.sum(-1, keepdim=True) @ v


@broken(lambda case: 0 in case.lengths)
class LengthZeroIsOne(Decode):
    """A sequence without tokens reads the first place of its cache."""

    def length(self, inputs: DecodeInputs, n: int) -> int:
        return max(1, super().length(inputs, n))


@broken(lambda case: 1 < case.kv_heads < case.q_heads and case.longest > 0)
class HeadsByModulo(Decode):
    """Query head h served by key-value head h mod Hkv."""

    def kv_head(self, q_head: Tensor, inputs: DecodeInputs) -> Tensor:
        return q_head % inputs.cache.keys.planes["data"].shape[2]


@broken(lambda case: case.placing.wraps and case.longest > (case.placing.page_tokens or 0))
class RingTurned(Decode):
    """The oldest token is looked for one place too far."""

    def place(self, cache: KVCache, n: int, tokens: Tensor) -> tuple[Tensor, Tensor]:
        page, place = super().place(cache, n, tokens)
        return page, (place + 1) % cache.page_tokens


@broken(lambda case: True)
class WritesBehindTheCache(Decode):
    """Right, but for a byte behind the keys that it writes to."""

    def run(self, inputs: DecodeInputs, case: DecodeCase) -> Tensor:
        inputs.cache.guards.regions["behind keys.data"][0] = 0
        return super().run(inputs, case)


def full_splits(case: DecodeCase) -> bool:
    return min(case.lengths) >= 20 and case.mask.window is None


class Loses(Decode):
    """Some tokens of each sequence are lost."""

    def lost(self, length: int) -> int:
        raise NotImplementedError

    def permitted(self, inputs: DecodeInputs, length: int) -> Tensor:
        return super().permitted(inputs, length) & (torch.arange(length) != self.lost(length))


@broken(full_splits)
class LastOfTheFirstSplitLost(Loses):
    """The number of tokens of each of seven splits is rounded up, and the first one ends a token early."""

    def lost(self, length: int) -> int:
        return -(-length // 7) - 1


@broken(full_splits)
class FirstOfTheSecondSplitLost(Loses):
    """Of two splits, the number of tokens rounded down."""

    def lost(self, length: int) -> int:
        return length // 2


@broken(lambda case: full_splits(case))
class SecondTokenLost(Loses):
    def lost(self, length: int) -> int:
        return 1


@broken(lambda case: full_splits(case) and case.longest >= 1000)
class ValuesInEightParts(Split):
    """Values are summed in eight parts of the cache, each rounded to bfloat16."""

    parts = 8

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        p = scores.masked_fill(~permitted, -math.inf).softmax(-1)
        parts = zip(p.tensor_split(8, -1), v.tensor_split(8, -2), strict=True)
        return torch.stack([(some @ values).bfloat16().float() for some, values in parts]).sum(0)
