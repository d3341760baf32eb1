"""More of what a kernel may do wrongly with masks and packs: mistakes that are easily made."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.ops.attention.case import AttentionInputs

from .variants import Variants
from .wrong_pairs import Wrong, wrong_pairs_into

ODD_PAIRS: list[Wrong] = []
odd_pairs = wrong_pairs_into(ODD_PAIRS)


@odd_pairs
class ChunksByQueryNumber(Variants):
    """Of the query's own number, not of its place among the keys."""

    def one_chunk(self, position: Tensor, key: Tensor, size: int) -> Tensor:
        return super().one_chunk(position - position[0], key, size)


@odd_pairs
class ChunksBothWays(Variants):
    """The whole chunk, with what lies ahead in it."""

    def sees(self, position: Tensor, key: Tensor, inputs: AttentionInputs) -> Tensor:
        seen = super().sees(position, key, inputs)
        return self.one_chunk(position, key, inputs.mask.size or 1) if inputs.mask.kind == "chunked" else seen


@odd_pairs
class ChunkAndTheOneBefore(Variants):
    def one_chunk(self, position: Tensor, key: Tensor, size: int) -> Tensor:
        return position // size - key // size <= 1


@odd_pairs
class PrefixInPlaceOfCausal(Variants):
    """Behind the prefix nothing is seen."""

    def sees(self, position: Tensor, key: Tensor, inputs: AttentionInputs) -> Tensor:
        seen = super().sees(position, key, inputs)
        return self.in_prefix(key, inputs.mask.size or 0).expand_as(seen) if inputs.mask.kind == "prefix" else seen


@odd_pairs
class DocumentsBothWays(Variants):
    """A document's tokens see those that follow."""

    def sees(self, position: Tensor, key: Tensor, inputs: AttentionInputs) -> Tensor:
        if inputs.mask.kind != "document":
            return super().sees(position, key, inputs)
        ends = torch.tensor(inputs.mask.documents).cumsum(0)
        document, other = (torch.bucketize(x.contiguous(), ends, right=True) for x in (position, key))
        return document == other


@odd_pairs
class LastDocumentSeesAll(Variants):
    def sees(self, position: Tensor, key: Tensor, inputs: AttentionInputs) -> Tensor:
        seen = super().sees(position, key, inputs)
        if inputs.mask.kind != "document":
            return seen
        return seen | ((position >= sum(inputs.mask.documents) - inputs.mask.documents[-1]) & (key <= position))


@odd_pairs
class SiblingsSeen(Variants):
    """A node sees the other children of its parent."""

    def path(self, parents: tuple[int, ...], node: int) -> list[int]:
        siblings = [other + 1 for other, parent in enumerate(parents) if node and parent == parents[node - 1]]
        return [*super().path(parents, node), *siblings]


@odd_pairs
class EarlierNodesOfATreeSeen(Variants):
    """All nodes before it, as if guesses were one line."""

    def path(self, parents: tuple[int, ...], node: int) -> list[int]:
        return list(range(node + 1))


@odd_pairs
class ChildrenSeen(Variants):
    def path(self, parents: tuple[int, ...], node: int) -> list[int]:
        children = [other + 1 for other, parent in enumerate(parents) if parent == node]
        return [*super().path(parents, node), *children]


@odd_pairs
class GrandparentNotSeen(Variants):
    def path(self, parents: tuple[int, ...], node: int) -> list[int]:
        path = super().path(parents, node)
        return path[:2] + path[3:]


@odd_pairs
class RootNotSeen(Variants):
    """By nodes two steps below it or more."""

    def path(self, parents: tuple[int, ...], node: int) -> list[int]:
        path = super().path(parents, node)
        return path[:-1] if len(path) > 2 else path


@odd_pairs
class KeysOfTheSequenceBefore(Variants):
    """Queries of a pack are given the keys of the sequence before theirs."""

    def permitted(self, inputs: AttentionInputs) -> Tensor:
        if inputs.packed_keys is None:
            return super().permitted(inputs)
        row, column = self.numbers(inputs)
        position, key = self.places(inputs)
        return (row == column + 1) & self.sees(position, key, inputs)


@odd_pairs
class PacksByPlaceInTheRow(Variants):
    """Positions are those in the whole row."""

    def places(self, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
        if inputs.packed is None:
            return super().places(inputs)
        return torch.arange(inputs.q.shape[2])[:, None], torch.arange(inputs.k.shape[2])[None, :]
