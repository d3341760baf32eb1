"""Operator `rmsnorm`: each row over its root mean square, times a weight (Zhang, Sennrich; arXiv:1910.07467)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import Operator, columns, constant, dynamic, static
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared import norms
from attnlab.bench.ops._shared.rowwise import MatrixCase, OutputTerms, changed, one_output, row_budget, weight_generator


@dataclass(frozen=True)
class RmsNormCase(MatrixCase):
    """One shape, dtype and source of data for rmsnorm."""

    kind = "rmsnorm"


@dataclass(frozen=True)
class RmsNormInputs:
    """Inputs of rmsnorm: x [M, N] and weight [N] in the case's dtype; the output is [M, N] in x's dtype.

    Squares are summed in float32 or better.
    """

    x: Tensor = dynamic("rows [M, N]")
    weight: Tensor = static("what columns are multiplied by, [N]")
    eps: float = constant("added to the mean square", default=norms.EPS)


def make_inputs(case: RmsNormCase, draw: str, seed: int, device: torch.device) -> RmsNormInputs:
    """Seeded inputs, drawn on the CPU."""
    weight = norms.draw_weight(case.width, weight_generator())
    x, weight = (t.to(device, case.torch_dtype) for t in (norms.draw_rows(case, draw, seed), weight))
    return RmsNormInputs(x, weight)


def operations(case: RmsNormCase) -> int:
    """FLOP: square and sum, times the row's factor, times the weight; four a number."""
    return 4 * case.numbers


def bytes_moved(case: RmsNormCase) -> int:
    """Rows read and written, the weight read."""
    return (2 * case.numbers + case.width) * case.element_bytes


def compute(inputs: RmsNormInputs, rows: Tensor, dtype: torch.dtype) -> OutputTerms:
    """The sampled rows in `dtype`, and the size of their numbers."""
    x = inputs.x.index_select(0, rows.to(inputs.x.device)).to(dtype)
    mean_square = x.square().mean(-1, keepdim=True)
    out = x / (mean_square + inputs.eps).sqrt() * inputs.weight.to(dtype)
    return OutputTerms((out,), (out.abs(),))


RMSNORM: Operator[RmsNormCase, RmsNormInputs] = Operator(
    name="rmsnorm",
    summary="rows over their root mean square, times a weight",
    case_type=RmsNormCase,
    inputs_type=RmsNormInputs,
    outputs=one_output,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    check=row_budget(
        compute,
        changed("weight forgotten", compute, lambda inputs: replace(inputs, weight=torch.ones_like(inputs.weight))),
        changed("eps forgotten", compute, lambda inputs: replace(inputs, eps=0.0)),
        norms.statistics_without_last(compute),
    ),
    length_axis="rows",
    needle_draws=norms.KINDS,
    mixed=lambda case, inputs: columns(inputs, "x"),
)
registry.operators.add(RMSNORM.name, RMSNORM, __name__)
