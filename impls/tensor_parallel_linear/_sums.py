"""The two ends of a tensor-parallel part: what comes in is the same on every rank, what goes out is summed over them.

Forward one copies and the other sums; backward the first sums gradients and the second copies (Shoeybi et al.,
arXiv:1909.08053, section 3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

Sum = Callable[[Tensor], Tensor]
"""The sum over ranks of a tensor that each has, on every rank; may be made in place."""


def all_reduced(x: Tensor) -> Tensor:
    """[M, H], summed by one all-reduce, in place."""
    dist.all_reduce(x)
    return x


def scattered_and_gathered(x: Tensor) -> Tensor:
    """[M, H], M a multiple of the ranks: each sums its rows of it, and gets those of the others."""
    rows = list(x.chunk(dist.get_world_size()))
    own = torch.empty_like(rows[0])
    dist.reduce_scatter(own, rows)
    dist.all_gather(rows, own)
    return x


class Copied(torch.autograd.Function):
    """The same on every rank; its gradient is the sum of what ranks find."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, total: Sum) -> Tensor:
        ctx.total = total
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.total(grad.contiguous()), None


class Summed(torch.autograd.Function):
    """Summed over ranks; the gradient of every part is that of the sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, total: Sum) -> Tensor:
        return total(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def copied(x: Tensor, total: Sum) -> Tensor:
    """x, whose gradient is summed over ranks."""
    out: Tensor = Copied.apply(x, total)  # type: ignore[no-untyped-call]
    return out


def summed(x: Tensor, total: Sum) -> Tensor:
    """The sum of x over ranks, whose gradient each part has."""
    out: Tensor = Summed.apply(x, total)  # type: ignore[no-untyped-call]
    return out
