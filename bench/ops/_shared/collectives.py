"""What collectives share as operators: axes, shards, and needles at borders of blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.axes import dtype_axis, size
from attnlab.bench.contract.operator_spec import (
    NEEDLE_DRAW,
    Fact,
    Ranks,
    TensorSpec,
    columns,
    constant,
    dynamic,
)
from attnlab.bench.contract.ranks import whole_outputs
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.ops._shared.rowwise import NEEDLE, choice, edges
from attnlab.bench.ops._shared.typed import TypedCase
from attnlab.bench.ranks.quantities import BUS, MESSAGE

HEADLINES = ("latency_ns", "rank_skew_ns", "bus_gb_per_s", "speedup", "error_of_budget")


@dataclass(frozen=True)
class CollectiveCase(TypedCase):
    """One size of a message, dtype and number of ranks; a message is the larger of what a rank gives and gets."""

    message_bytes: int = size("S", help="bytes of the larger buffer of a rank", default=1 << 20)
    dtype: str = dtype_axis("float32")
    world_size: int = size("p", help="ranks", default=2)

    def validate(self) -> None:
        if self.message_bytes % self.element_bytes:
            raise ImpossibleCase(
                f"axis message_bytes: got {self.message_bytes}, not a whole number of {self.dtype}; expected "
                f"a multiple of {self.element_bytes}"
            )

    @property
    def count(self) -> int:
        """Numbers of a message."""
        return self.message_bytes // self.element_bytes

    @property
    def block(self) -> int:
        """Numbers of a rank's part of a message."""
        return self.count // self.world_size

    @property
    def gives(self) -> int:
        """Numbers that a rank puts in."""
        return self.count

    @property
    def gets(self) -> int:
        """Numbers that a rank gets out."""
        return self.count


class InBlocks(CollectiveCase):
    """A case whose messages have a block of each rank."""

    def validate(self) -> None:
        super().validate()
        if self.count % self.world_size:
            raise ImpossibleCase(
                f"axes message_bytes and world_size: {self.count} numbers of {self.dtype} give no equal blocks to "
                f"{self.world_size} ranks; expected a multiple of {self.world_size * self.element_bytes} bytes"
            )


def op_axis() -> Any:
    """How a reduction takes numbers together."""
    return choice("sum", "avg", "max", help="reduction", default="sum")


@dataclass(frozen=True)
class CollectiveInputs:
    """What all ranks give: x [p, n] in the case's dtype, a row of each rank; op: of a reduction."""

    x: Tensor = dynamic("what each rank gives [p, n]")
    op: str = constant("how numbers are taken together", default="sum")


@dataclass(frozen=True)
class CollectiveShard:
    """What one rank gives: x [n] in the case's dtype; op: of a reduction."""

    x: Tensor = dynamic("what this rank gives [n]")
    op: str = constant("how numbers are taken together", default="sum")


def shard(case: CollectiveCase, inputs: CollectiveInputs, rank: int) -> CollectiveShard:
    """A row."""
    return CollectiveShard(inputs.x[rank], inputs.op)


def join(case: CollectiveCase, outputs: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Outputs of ranks one above the other."""
    return (torch.stack([out for (out,) in outputs]),)


def world_size(case: CollectiveCase) -> int:
    return case.world_size


def outputs(case: CollectiveCase) -> tuple[TensorSpec, ...]:
    """out [p, n]: a row of each rank."""
    return (TensorSpec("out", (case.world_size, case.gets), case.torch_dtype),)


def outputs_of_rank(case: CollectiveCase, rank: int) -> tuple[TensorSpec, ...]:
    return (TensorSpec("out", (case.gets,), case.torch_dtype),)


def make_inputs(case: CollectiveCase, draw: str, seed: int, device: torch.device) -> CollectiveInputs:
    """Rows [p, n] of normal numbers, drawn on the CPU; of needles those about borders of blocks are larger."""
    x = torch.randn(case.world_size, case.gives, generator=torch.Generator().manual_seed(seed))
    if draw == NEEDLE_DRAW:
        x[:, borders(case.gives, case.world_size)] *= NEEDLE
    return CollectiveInputs(x.to(device, case.torch_dtype), getattr(case, "op", "sum"))


def borders(width: int, parts: int) -> list[int]:
    """Both sides of where each part begins, and of where the last tile of each size does."""
    starts = {part * width // parts for part in range(parts)}
    return sorted({*edges(width), *starts, *(start - 1 for start in starts if start)})


def bytes_moved(case: CollectiveCase) -> int:
    """What each rank gives, read; what each gets, written."""
    return case.world_size * (case.gives + case.gets) * case.element_bytes


def no_operations(case: CollectiveCase) -> int:
    """None: numbers are moved."""
    return 0


def shared(bus_factor: Callable[[int], float]) -> dict[str, Any]:
    """What operators whose ranks have a row of x each, and get a row of out, have in common. bus_factor: `facts_of`."""
    return {
        "inputs_type": CollectiveInputs,
        "outputs": outputs,
        "make_inputs": make_inputs,
        "bytes_moved": bytes_moved,
        "length_axis": "message_bytes",
        "headlines": HEADLINES,
        "facts": facts_of(bus_factor),
        "results": whole_outputs,
        "mixed": lambda case, inputs: columns(inputs, "x"),
        "ranks": Ranks(world_size, shard, outputs_of_rank, join),
    }


def facts_of(bus_factor: Callable[[int], float]) -> Callable[[Any, int, torch.device], tuple[Fact, ...]]:
    """Bytes of a message, and those that each rank's link has to carry at least, as nccl-tests count them."""

    def facts(case: CollectiveCase, seed: int, device: torch.device) -> tuple[Fact, ...]:
        carried = case.message_bytes * bus_factor(case.world_size)
        return (Fact(MESSAGE, "B", "lower", float(case.message_bytes)), Fact(BUS, "B", "lower", carried))

    return facts
