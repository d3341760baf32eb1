"""Operator `embedding`: the rows of a table that token ids name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attnlab.bench.contract.axes import dtype_axis, size
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, NORMAL_DRAW, Operator, dynamic, static
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared.rowwise import (
    OutputTerms,
    RowCase,
    changed,
    draw,
    one_output,
    row_budget,
    source_axis,
    weight_generator,
)

ID_BYTES = 8


@dataclass(frozen=True)
class EmbeddingCase(RowCase):
    """One number of ids, one table and dtype for embedding."""

    kind = "embedding"

    rows: int = size("M", help="ids", default=1024)
    width: int = size("N", help="columns of the table", default=4096)
    vocabulary: int = size("V", help="rows of the table", default=32000)
    dtype: str = dtype_axis()
    inputs: str = source_axis()

    @property
    def distinct(self) -> int:
        """Rows of the table that are read: drawn ids repeat only where there are more of them than rows."""
        return min(self.rows, self.vocabulary)


@dataclass(frozen=True)
class EmbeddingInputs:
    """Inputs of embedding: ids int64 [M], each from 0 to V - 1, and table [V, N]; the output is [M, N] of the table's
    dtype."""

    ids: Tensor = dynamic("token ids [M], int64")
    table: Tensor = static("a row for each id, [V, N]")


def draw_ids(case: EmbeddingCase, which: str, seed: int) -> Tensor:
    """Ids [M] on the CPU: see `make_inputs`."""
    order = torch.randperm(case.vocabulary, generator=torch.Generator().manual_seed(seed))
    ids = order[torch.arange(case.rows) % case.vocabulary]
    if which == NEEDLE_DRAW:
        ids[seed % 2 :: 4] = case.vocabulary - 1
        ids[(seed + 1) % 2 :: 4] = 0
    return ids


def redrawn(case: EmbeddingCase, inputs: EmbeddingInputs, seed: int) -> EmbeddingInputs:
    """Other ids for the same table."""
    return replace(inputs, ids=draw_ids(case, NORMAL_DRAW, seed).to(inputs.ids.device))


def make_inputs(case: EmbeddingCase, which: str, seed: int, device: torch.device) -> EmbeddingInputs:
    """A table, and seeded ids that are all different; among needles the last, the first, and repeated ones."""
    table = draw(weight_generator(), case.vocabulary, case.width, source=case.inputs)
    return EmbeddingInputs(draw_ids(case, which, seed).to(device), table.to(device, case.torch_dtype))


def operations(case: EmbeddingCase) -> int:
    """None: numbers are copied."""
    return 0


def bytes_moved(case: EmbeddingCase) -> int:
    """Ids and the rows that they name, each row read once; the output written."""
    return ID_BYTES * case.rows + (case.distinct + case.rows) * case.width * case.element_bytes


def input_bytes(case: EmbeddingCase) -> int:
    """The ids and the whole table."""
    return ID_BYTES * case.rows + case.vocabulary * case.width * case.element_bytes


def compute(inputs: EmbeddingInputs, rows: Tensor, dtype: torch.dtype) -> OutputTerms:
    out = inputs.table.index_select(0, inputs.ids[rows.to(inputs.ids.device)]).to(dtype)
    return OutputTerms((out,), (out.abs(),))


def next_row(inputs: EmbeddingInputs) -> EmbeddingInputs:
    return replace(inputs, table=inputs.table.roll(-1, dims=0))


EMBEDDING: Operator[EmbeddingCase, EmbeddingInputs] = Operator(
    name="embedding",
    summary="the rows of a table that token ids name",
    case_type=EmbeddingCase,
    inputs_type=EmbeddingInputs,
    outputs=one_output,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    input_bytes=input_bytes,
    check=row_budget(compute, changed("one id further", compute, next_row, lambda case: case.vocabulary > 1)),
    length_axis="rows",
    needle_draws=2,
    redrawn=redrawn,  # nothing is mixed: ids that all differ hang on each other
)
registry.operators.add(EMBEDDING.name, EMBEDDING, __name__)
