"""What collectives share as operators: axes, shards, needles at borders of blocks, and the budget of a reduction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.axes import dtype_axis, size
from attnlab.bench.contract.error_budget import ErrorBudget, Outputs, Probe, YardstickOutput, zeros
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, Fact, Ranks, TensorSpec, constant, dynamic
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.ops._shared.rowwise import FULL_CHECK_NUMBERS, NEEDLE, choice, edges
from attnlab.bench.ops._shared.typed import TypedCase
from attnlab.bench.ranks.quantities import BUS, MESSAGE

HEADLINES = ("latency_ns", "rank_skew_ns", "bus_gb_per_s", "speedup", "error_of_budget")
FEW = 8  # numbers of a block, below which a wrong block may be right by chance


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


def ranks_of(outputs: Callable[[Any, int], tuple[TensorSpec, ...]]) -> Ranks[Any, CollectiveInputs]:
    """A row in, and an output out, of each rank."""
    return Ranks(world_size, shard, outputs, join)


def drawn(case: CollectiveCase, width: int, draw: str, seed: int, device: torch.device) -> CollectiveInputs:
    """Rows [p, width] of normal numbers, drawn on the CPU; of needles those about borders of blocks are larger."""
    x = torch.randn(case.world_size, width, generator=torch.Generator().manual_seed(seed))
    if draw == NEEDLE_DRAW:
        x[:, borders(width, case.world_size)] *= NEEDLE
    return CollectiveInputs(x.to(device, case.torch_dtype), getattr(case, "op", "sum"))


def borders(width: int, parts: int) -> list[int]:
    """Both sides of where each part begins, and of where the last tile of each size does."""
    starts = {part * width // parts for part in range(parts)}
    return sorted({*edges(width), *starts, *(start - 1 for start in starts if start)})


def sampled(case: CollectiveCase, width: int) -> Tensor:
    """The columns of [p, width] that are compared: all of small outputs, else those at borders and a seeded sample."""
    wanted = max(1, FULL_CHECK_NUMBERS // case.world_size)
    if wanted >= width:
        return torch.arange(width)
    others = torch.randint(width, (wanted,), generator=torch.Generator().manual_seed(width))
    taken: Tensor = torch.cat([torch.tensor(borders(width, case.world_size)), others]).unique()
    return taken


def select(outputs: Outputs, taken: Tensor) -> Outputs:
    """The sampled columns."""
    return tuple(out.index_select(1, taken.to(out.device)) for out in outputs)


def reduced(op: str, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Rows [p, n] taken together in `dtype`, the first with the second and so on, each sum rounded to it -> [n]."""
    if op == "max":
        return rows.amax(0)
    total: Tensor = rows[0].to(dtype)
    for row in rows[1:]:
        total = total + row.to(dtype)
    return total.div(len(rows)) if op == "avg" else total


def reduced_terms(op: str, rows: Tensor) -> Tensor:
    """For each column the root of the sum of squares of what is added up [n], in float64."""
    if op == "max":
        return rows.amax(0).double().abs()
    return rows.double().square().sum(0).sqrt() / (rows.shape[0] if op == "avg" else 1)


def reduction_budget(
    rows: Callable[[Any, CollectiveInputs, Tensor], Tensor], width: Callable[[Any], int]
) -> ErrorBudget[Any, CollectiveInputs]:
    """The check of a reduction: in float64 the oracle; the yardstick rounds each sum of two to the case's dtype.

    rows(case, inputs, taken): what is taken together for the sampled columns of each rank's output, [p, p, taken], a
    summand first.
    """

    def oracle(case: Any, inputs: CollectiveInputs, taken: Tensor) -> Outputs:
        return (reduced(inputs.op, rows(case, inputs, taken).double(), torch.float64),)

    def yardstick(case: Any, inputs: CollectiveInputs, taken: Tensor) -> YardstickOutput:
        given = rows(case, inputs, taken)
        return YardstickOutput((reduced(inputs.op, given, case.torch_dtype),), (reduced_terms(inputs.op, given),))

    def without(change: Callable[[Tensor], Tensor], op: str | None = None) -> Callable[..., Outputs]:
        def outputs(case: Any, inputs: CollectiveInputs, taken: Tensor, expected: Outputs) -> Outputs:
            return (reduced(op or inputs.op, change(rows(case, inputs, taken)).double(), torch.float64),)

        return outputs

    def own_only(case: Any, inputs: CollectiveInputs, taken: Tensor, expected: Outputs) -> Outputs:
        given, out = rows(case, inputs, taken).double(), expected[0].clone()
        for rank in range(1, case.world_size):
            out[rank] = given[rank, rank]
        return (out,)

    def several(case: CollectiveCase) -> bool:
        return case.world_size > 1 and case.block >= FEW

    return ErrorBudget(
        sample=lambda case: sampled(case, width(case)),
        select=select,
        oracle=oracle,
        yardstick=yardstick,
        probes=(
            Probe("zeros", lambda case: True, zeros),
            Probe("last rank dropped", several, without(lambda given: given[:-1])),
            Probe("a rank twice", several, without(lambda given: torch.cat([given[:-1], given[:1]]))),
            Probe("average forgotten", lambda case: several(case) and case.op == "avg", without(lambda x: x, "sum")),
            Probe("right on rank 0 only", several, own_only),
            Probe("columns shifted", lambda case: several(case), shifted),
        ),
        dtype=lambda case: case.dtype,
    )


def shifted(case: Any, inputs: Any, taken: Any, expected: Outputs) -> Outputs:
    """The probe of blocks that begin one number too late."""
    return tuple(out.roll(1, 1) for out in expected)


def facts_of(bus_factor: Callable[[int], float]) -> Callable[[Any, int, torch.device], tuple[Fact, ...]]:
    """Bytes of a message, and those that each rank's link has to carry at least, as nccl-tests count them."""

    def facts(case: CollectiveCase, seed: int, device: torch.device) -> tuple[Fact, ...]:
        carried = case.message_bytes * bus_factor(case.world_size)
        return (Fact(MESSAGE, "B", "lower", float(case.message_bytes)), Fact(BUS, "B", "lower", carried))

    return facts
