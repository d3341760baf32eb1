"""Biases of attention scores: what is added to a scaled score before the softmax, by head and by distance.

Sources: ALiBi (Press, Smith and Lewis, 2022, arXiv:2108.12409); T5's relative buckets (Raffel et al., 2020,
arXiv:1910.10683), whose bucket of a distance is worked out here in whole numbers where T5 takes logarithms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import ImpossibleCase

if TYPE_CHECKING:
    from torch import Tensor

KINDS = ("none", "alibi", "relative", "dense")
FARTHEST = 128  # distance from which all are in the last bucket, as in T5
MOST_BUCKETS = 1024


@dataclass(frozen=True)
class Bias:
    """`none`, or what is added to a score by query head h, query position p and key position j.

    alibi              −slope[h] · |p − j|, slopes as `alibi_slopes` gives them
    relative:BUCKETS   table[h, bucket of j − p], see `bucket_of`; half of the buckets are of keys ahead, but where no
                       query sees one
    dense              bias[h, i, j], a number for each query and key
    """

    kind: str = "none"
    buckets: int | None = None

    def __str__(self) -> str:
        return self.kind if self.buckets is None else f"{self.kind}:{self.buckets}"

    def __bool__(self) -> bool:
        return self.kind != "none"

    @classmethod
    def read(cls, value: Any) -> Bias:
        """From `none`, `alibi`, `relative:32` or `dense`; raises ImpossibleCase."""
        if isinstance(value, Bias):
            return value
        kind, colon, rest = str(value).partition(":")
        if kind not in KINDS or (bool(colon) and kind != "relative"):
            raise ImpossibleCase(f"unknown bias {value!r}; expected none, alibi, relative:BUCKETS or dense")
        if kind != "relative":
            return cls(kind)
        if not rest.isdecimal() or int(rest) < 4 or int(rest) % 4 or int(rest) > MOST_BUCKETS:
            raise ImpossibleCase(
                f"got {rest!r} buckets in {value!r}; expected a multiple of 4 from 4 to {MOST_BUCKETS}, such as "
                f"relative:32"
            )
        return cls(kind, int(rest))

    def table_shape(self, q_heads: int, q_len: int, kv_len: int) -> tuple[int, ...] | None:
        """The shape of the numbers that the inputs hold: slopes, a table of buckets, or the bias; None without one."""
        shapes = {
            "alibi": (q_heads,),
            "relative": (q_heads, self.buckets or 0),
            "dense": (q_heads, q_len, kv_len),
        }
        return shapes.get(self.kind)

    def of(self, table: Tensor, distance: Tensor, causal: bool) -> Tensor:
        """Biases [Hq, …] of distances j − p, whole numbers of any shape; `alibi` and `relative` only.

        table: as `table_shape` says. causal: whether no query sees a key ahead.
        """
        if self.kind == "alibi":
            return -table.reshape(-1, *[1] * distance.dim()) * distance.abs()
        if self.kind != "relative" or self.buckets is None:
            raise ImpossibleCase(f"got bias {self}; expected alibi or relative, which hang on the distance")
        return table[:, bucket_of(distance, self.buckets, causal)]

    def by_distance(self, table: Tensor, q_len: int, kv_len: int, causal: bool) -> Tensor:
        """Biases [Hq, Sq + Sk − 1] of every distance from −(Sk − 1) to Sq − 1 between a query and a key."""
        import torch

        return self.of(table, torch.arange(1 - kv_len, q_len, device=table.device), causal)


def alibi_slopes(heads: int) -> list[float]:
    """A slope for each head: 2^(−8·(h + 1)/H) where H is a power of two.

    Else those of the power below, then every second one of twice that power, as the paper's own code has it.
    """
    power = 1 << heads.bit_length() - 1
    slopes = [2.0 ** (-8 * (head + 1) / power) for head in range(power)]
    between = [2.0 ** (-4 * (head + 1) / power) for head in range(0, 2 * (heads - power), 2)]
    return slopes + between


def bucket_of(distance: Tensor, buckets: int, causal: bool) -> Tensor:
    """The bucket of distances j − p, int64, of the same shape.

    The nearer half have a bucket each. The others grow by equal factors up to a distance of 128.
    """
    import torch

    ahead = torch.zeros_like(distance)
    if causal:
        away = (-distance).clamp_min(0)
    else:
        buckets //= 2
        ahead = buckets * (distance > 0)
        away = distance.abs()
    edges = torch.tensor(_bucket_edges(buckets), device=distance.device)
    return (ahead + torch.searchsorted(edges, away.contiguous(), right=True)).long()


def _bucket_edges(buckets: int) -> list[int]:
    """The least distance of bucket 1, of bucket 2 and so on."""
    near = buckets // 2
    far = buckets - near
    steps = [math.log(max(FARTHEST, near + 1) / near) * step / far for step in range(1, far)]
    return [*range(1, near + 1), *(math.ceil(round(near * math.exp(step), 9)) for step in steps)]
