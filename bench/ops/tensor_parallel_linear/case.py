"""Cases and inputs of operator `tensor_parallel_linear`: two linear layers with an activation, on several ranks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attnlab.bench.contract.axes import dtype_axis, size
from attnlab.bench.contract.operator_spec import constant, dynamic, static
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.ops._shared.ranks import world_size_axis
from attnlab.bench.ops._shared.rowwise import choice
from attnlab.bench.ops._shared.typed import TypedCase

SWIGLU, GELU = "swiglu", "gelu"
FORWARD, BOTH = "forward", "forward_backward"
BIAS = "bias"


@dataclass(frozen=True)
class TensorParallelCase(TypedCase):
    """One shape, dtype and activation of an MLP whose intermediate columns ranks share."""

    kind = "tensor_parallel_linear"

    world_size: int = world_size_axis()
    rows: int = size("M", help="rows of x: tokens", default=256)
    hidden: int = size("H", help="columns of x and of the output", default=576)
    intermediate: int = size("I", help="columns between the two layers, of all ranks together", default=1536)
    dtype: str = dtype_axis()
    activation: str = choice(SWIGLU, GELU, help="between the two layers", default=SWIGLU)
    bias: str = choice("none", BIAS, help="of both layers", default="none")
    passes: str = choice(FORWARD, BOTH, help="what a call does", default=FORWARD)

    def validate(self) -> None:
        if self.intermediate % self.world_size:
            raise ImpossibleCase(
                f"got intermediate={self.intermediate} with world_size={self.world_size}; expected a multiple of it: "
                f"each rank has as many columns"
            )

    @property
    def parts(self) -> int:
        """First layers side by side: a gate and what it gates, or one."""
        return 2 if self.activation == SWIGLU else 1

    @property
    def has_bias(self) -> bool:
        return self.bias == BIAS

    @property
    def goes_back(self) -> bool:
        """Whether gradients are asked for."""
        return self.passes == BOTH


@dataclass(frozen=True)
class TensorParallelInputs:
    """Inputs of an MLP on one device; C first layers side by side: gate and up of SwiGLU, one of GELU (exact).

    x [M, H], up [C, I, H], down [H, I], up_bias [C, I] and down_bias [H] or None, dout [M, H] or None, all in the
    case's dtype. down(activation(up x + up_bias)) + down_bias is [M, H] and every rank has all of it: the outputs are
    out [p, M, H]; with dout also dx [p, M, H], of every rank too, dup [C, I, H] and ddown [H, I]. Products are summed
    in float32 or better; what is between layers, and each rank's part of a sum over ranks, may be rounded to the dtype.
    """

    x: Tensor = dynamic("rows [M, H]")
    up: Tensor = static("weights of the first layers [C, I, H]")
    down: Tensor = static("weight of the second layer [H, I]")
    up_bias: Tensor | None = static("[C, I], or None")
    down_bias: Tensor | None = static("[H], or None")
    dout: Tensor | None = dynamic("gradient of the output [M, H], or None")
    activation: str = constant("swiglu or gelu")


@dataclass(frozen=True)
class TensorParallelShard:
    """What one rank holds: all rows, its J = I / p columns of the first layers and rows of the second, views of the
    whole; the bias of the second layer whole, which is added once.

    The rank gives (out [M, H],), and with dout (out, dx [M, H], dup [C, J, H], ddown [H, J]).
    """

    x: Tensor = dynamic("rows [M, H]")
    up: Tensor = static("the rank's columns of the first layers [C, J, H]")
    down: Tensor = static("the rank's rows of the second layer [H, J]")
    up_bias: Tensor | None = static("[C, J], or None")
    down_bias: Tensor | None = static("[H], or None, the same on every rank")
    dout: Tensor | None = dynamic("gradient of the output [M, H], or None")
    activation: str = constant("swiglu or gelu")
    rank: int = constant("which rank this is")
    world_size: int = constant("how many there are")
