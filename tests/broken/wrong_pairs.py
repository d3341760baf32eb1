"""Masks and packs, each done wrongly: a border off by one, a sibling seen, a mask taken for another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.ops.attention.case import AttentionInputs
from attnlab.bench.ops.attention.contract import cumulative_lengths

from .variants import Variants

CPU = torch.device("cpu")
Wrong = tuple[type, Callable[[Any], bool]]
WRONG_PAIRS: list[Wrong] = []


def pairs(made: Variants, case: Any) -> list[Tensor]:
    """The permitted pairs on a case of attention, or of each sequence over a cache."""
    packed, keys = getattr(case, "packed", ()), getattr(case, "packed_keys", ())
    lengths = [(case.q_len, case.kv_len)] if hasattr(case, "kv_len") else case.sequences
    starts = cumulative_lengths(packed, CPU), cumulative_lengths(keys if keys != packed else (), CPU)
    found = []
    for q_len, kv_len in lengths:
        q, k = torch.empty(1, 1, q_len, 1), torch.empty(1, 1, kv_len, 1)
        found.append(made.permitted(AttentionInputs(q, k, k, case.mask, starts[0], 1.0, packed_keys=starts[1])))
    return found


def wrong_pairs_into(collected: list[Wrong]) -> Callable[[type], type]:
    """For a class that lets through other pairs: it applies where any differs."""

    def add(target: type) -> type:
        def differs(case: Any) -> bool:
            both = zip(pairs(target(), case), pairs(Variants(), case), strict=True)
            return any(not torch.equal(one, other) for one, other in both)

        collected.append((target, differs))
        return target

    return add


wrong_pairs = wrong_pairs_into(WRONG_PAIRS)


@wrong_pairs
class Causal(Variants):
    """A plain causal mask: documents, chunks and siblings are seen; a prefix is causal inside."""

    def sees(self, position: Tensor, key: Tensor, inputs: AttentionInputs) -> Tensor:
        return key <= position if inputs.mask.kind != "full" else super().sees(position, key, inputs)


@wrong_pairs
class ChunkBordersLate(Variants):
    def one_chunk(self, position: Tensor, key: Tensor, size: int) -> Tensor:
        return super().one_chunk(position - 1, key - 1, size)


@wrong_pairs
class ChunkBordersEarly(Variants):
    def one_chunk(self, position: Tensor, key: Tensor, size: int) -> Tensor:
        return super().one_chunk(position + 1, key + 1, size)


@wrong_pairs
class ChunksAsAWindow(Variants):
    def one_chunk(self, position: Tensor, key: Tensor, size: int) -> Tensor:
        return key > position - size


@wrong_pairs
class PrefixOneLonger(Variants):
    def in_prefix(self, key: Tensor, size: int) -> Tensor:
        return key < size + 1


@wrong_pairs
class PrefixOneShorter(Variants):
    def in_prefix(self, key: Tensor, size: int) -> Tensor:
        return key < size - 1


@wrong_pairs
class DocumentsOneTokenLate(Variants):
    """A document's first token belongs to the one before."""

    def document_ends(self, ends: Tensor) -> Tensor:
        return ends + 1


@wrong_pairs
class DocumentsOneTokenEarly(Variants):
    def document_ends(self, ends: Tensor) -> Tensor:
        return ends - 1


@wrong_pairs
class FirstDocumentSeenByTheSecond(Variants):
    def document_ends(self, ends: Tensor) -> Tensor:
        return ends[ends > ends[ends > 0][0]]


@wrong_pairs
class OwnNodeNotSeen(Variants):
    def path(self, parents: tuple[int, ...], node: int) -> list[int]:
        return super().path(parents, node)[1:] or [0] if node else [0]


@wrong_pairs
class ParentOnly(Variants):
    """Of a node's ancestors the nearest alone is seen."""

    def path(self, parents: tuple[int, ...], node: int) -> list[int]:
        return [node] if node == 0 else [node, parents[node - 1]]


@wrong_pairs
class ContextNotSeen(Variants):
    context_seen = False


@wrong_pairs
class PackOfQueriesForKeys(Variants):
    """Keys are cut where queries are."""

    def starts(self, inputs: AttentionInputs) -> tuple[list[int], list[int]]:
        return super().starts(replace(inputs, packed_keys=None))


@wrong_pairs
class TopLeft(Variants):
    """Queries stand at the first keys of their sequence."""

    def places(self, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
        position, key = super().places(inputs)
        q_starts, k_starts = (torch.tensor(starts) for starts in self.starts(inputs))
        return position - (k_starts.diff() - q_starts.diff())[self.numbers(inputs)[0]], key
