"""Cases and inputs of operator `pipeline`: a stack of MLP blocks in stages, through which micro-batches go."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attnlab.bench.contract.axes import dtype_axis, size
from attnlab.bench.contract.operator_spec import constant, dynamic, static
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.ops._shared.ranks import world_size_axis
from attnlab.bench.ops._shared.rowwise import choice
from attnlab.bench.ops._shared.typed import TypedCase

FORWARD, BOTH = "forward", "forward_backward"
WIDER = 4  # columns between the two products of a block, over those outside


@dataclass(frozen=True)
class PipelineCase(TypedCase):
    """One stack, dtype and number of micro-batches; each rank is a stage with as many of the layers."""

    kind = "pipeline"

    world_size: int = world_size_axis()
    layers: int = size("L", help="blocks of the whole stack", default=8)
    micro_batches: int = size("mb", help="micro-batches of a call", default=8)
    rows: int = size("M", help="rows of a micro-batch: tokens", default=64)
    hidden: int = size("H", help="columns of x and of the output; between the two products of a block 4 H", default=256)
    dtype: str = dtype_axis()
    passes: str = choice(FORWARD, BOTH, help="what a call does", default=FORWARD)

    def validate(self) -> None:
        if self.layers < self.world_size:
            raise ImpossibleCase(
                f"got world_size={self.world_size} stages of {self.layers} layers; expected at least a layer a stage"
            )
        if self.layers % self.world_size:
            raise ImpossibleCase(
                f"got layers={self.layers} with world_size={self.world_size}; expected a multiple of it: each "
                f"stage has as many layers"
            )

    @property
    def wide(self) -> int:
        """Columns between the two products of a block."""
        return WIDER * self.hidden

    @property
    def goes_back(self) -> bool:
        """Whether gradients are asked for."""
        return self.passes == BOTH

    @property
    def ideal_bubble(self) -> float:
        """The share of a call that a stage must wait for others: (p − 1) / (m + p − 1)."""
        return (self.world_size - 1) / (self.micro_batches + self.world_size - 1)


@dataclass(frozen=True)
class PipelineInputs:
    """Inputs of a stack on one device, all in the case's dtype.

    x [m, M, H], up [L, 4H, H], down [L, H, 4H], dout [m, M, H] or None. Block l gives x + downₗ(gelu(upₗ x)), with the
    exact gelu. The output is out [m, M, H]; with dout also dx [m, M, H], dup [L, 4H, H] and ddown [L, H, 4H], summed
    over micro-batches. Products are summed in float32 or better; what goes from one product to the next, from one
    stage to the next, and a micro-batch's part of a gradient may be rounded to the dtype.
    """

    x: Tensor = dynamic("micro-batches [m, M, H]")
    up: Tensor = static("weights [L, 4H, H]")
    down: Tensor = static("weights [L, H, 4H]")
    dout: Tensor | None = dynamic("gradient of the output [m, M, H], or None")


@dataclass(frozen=True)
class PipelineShard:
    """What one stage holds, views of the whole: the weights of its N = L / p layers; the first one x, the last dout.

    With shapes as in `PipelineInputs`, the last stage gives out; with gradients the first gives dx, and every stage dup
    [N, 4H, H] and ddown [N, H, 4H]; in that order.
    """

    x: Tensor | None = dynamic("of the first stage: micro-batches [m, M, H]")
    up: Tensor = static("weights of the stage [N, 4H, H]")
    down: Tensor = static("weights of the stage [N, H, 4H]")
    dout: Tensor | None = dynamic("of the last stage: gradient of the output [m, M, H]")
    rank: int = constant("which stage this is")
    world_size: int = constant("how many there are")
    micro_batches: int = constant("how many come in a call")
    rows: int = constant("rows of each")
    goes_back: bool = constant("whether gradients are asked for")
