"""What implementations of collectives share: reductions by torch.distributed, and step by step."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

NAMES = {"sum": dist.ReduceOp.SUM, "avg": dist.ReduceOp.AVG, "max": dist.ReduceOp.MAX}
all_gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)  # the later name, where there is one
reduce_scatter = getattr(dist, "reduce_scatter_single", dist.reduce_scatter_tensor)
UNVERIFIED = "torch 2.13, torch.distributed over NCCL"


def take_into(total: Tensor, other: Tensor, op: str) -> Tensor:
    """The running sum or maximum, in place."""
    return torch.maximum(total, other, out=total) if op == "max" else total.add_(other)


def finished(total: Tensor, op: str) -> Tensor:
    """The average of a sum, in place; any other reduction as it is."""
    return total.div_(dist.get_world_size()) if op == "avg" else total


def given_to(rank: int, x: Tensor) -> Tensor:
    """The block of a rank in a message [n]."""
    block = len(x) // dist.get_world_size()
    return x[rank * block : (rank + 1) * block]


def of_sums(op: str) -> dist.ReduceOp.RedOpType:
    """What torch.distributed is asked for where it has no average: `finished` makes one of the sum."""
    return dist.ReduceOp.MAX if op == "max" else dist.ReduceOp.SUM


def reduced_on_first(x: Tensor, op: str) -> Tensor | None:
    """All messages [n] reduced, on rank 0, to which the others send theirs one after another; None on those."""
    if dist.get_rank():
        dist.send(x, 0)
        return None
    total, other = x.clone(), torch.empty_like(x)
    for rank in range(1, dist.get_world_size()):
        dist.recv(other, rank)
        take_into(total, other, op)
    return finished(total, op)


def from_first(like: Tensor) -> Tensor:
    """What rank 0 sends to this one, of that shape."""
    out = torch.empty_like(like)
    dist.recv(out, 0)
    return out
