"""What implementations of collectives share: reductions by torch.distributed, and step by step."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def take_into(total: Tensor, other: Tensor, op: str) -> Tensor:
    """The running sum or maximum, in place."""
    return torch.maximum(total, other, out=total) if op == "max" else total.add_(other)


def finished(total: Tensor, op: str) -> Tensor:
    """The average of a sum, in place; any other reduction as it is."""
    return total.div_(dist.get_world_size()) if op == "avg" else total


def of_sums(op: str) -> dist.ReduceOp.RedOpType:
    """What torch.distributed is asked for where it has no average: `finished` makes one of the sum."""
    return dist.ReduceOp.MAX if op == "max" else dist.ReduceOp.SUM
