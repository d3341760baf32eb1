"""Operator `layernorm`: each row less its mean over its deviation, times a weight, plus a bias (arXiv:1607.06450)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import Operator, columns, constant, dynamic, static
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared import norms
from attnlab.bench.ops._shared.rowwise import (
    MatrixCase,
    OutputTerms,
    changed,
    in_float32,
    one_output,
    row_budget,
    weight_generator,
)


@dataclass(frozen=True)
class LayerNormCase(MatrixCase):
    """One shape, dtype and source of data for layernorm."""

    kind = "layernorm"


@dataclass(frozen=True)
class LayerNormInputs:
    """Inputs of layernorm: x [M, N], weight and bias [N] in the case's dtype; the output is [M, N] in x's dtype.

    The variance is that of all N numbers (over N, not N - 1); mean and variance are summed in float32 or better.
    """

    x: Tensor = dynamic("rows [M, N]")
    weight: Tensor = static("what columns are multiplied by, [N]")
    bias: Tensor = static("what is added to columns, [N]")
    eps: float = constant("added to the variance", default=norms.EPS)


def make_inputs(case: LayerNormCase, draw: str, seed: int, device: torch.device) -> LayerNormInputs:
    """Seeded inputs, drawn on the CPU."""
    generator = weight_generator()
    weight = norms.draw_weight(case.width, generator)
    bias = 0.5 * torch.randn(case.width, generator=generator)
    x, weight, bias = (t.to(device, case.torch_dtype) for t in (norms.draw_rows(case, draw, seed), weight, bias))
    return LayerNormInputs(x, weight, bias)


def operations(case: LayerNormCase) -> int:
    """FLOP: sum, less the mean, square and sum, times the row's factor, times the weight, plus the bias; seven a
    number."""
    return 7 * case.numbers


def bytes_moved(case: LayerNormCase) -> int:
    """Rows read and written, weight and bias read."""
    return (2 * case.numbers + 2 * case.width) * case.element_bytes


def compute(inputs: LayerNormInputs, rows: Tensor, dtype: torch.dtype) -> OutputTerms:
    """The sampled rows in `dtype`, and the size of what each number adds up: itself less the mean, and the bias."""
    x = inputs.x.index_select(0, rows.to(inputs.x.device)).to(dtype)
    weight, bias = inputs.weight.to(dtype), inputs.bias.to(dtype)
    mean = x.mean(-1, keepdim=True)
    centred = x - mean
    factor = weight / (centred.square().mean(-1, keepdim=True) + inputs.eps).sqrt()
    difference = in_float32((x.square() + mean.square()).sqrt(), inputs.x.dtype)
    terms = ((difference.square() + centred.square()) * factor.square() + bias.square()).sqrt()
    return OutputTerms((centred * factor + bias,), (terms,))


def without_weight(inputs: LayerNormInputs) -> LayerNormInputs:
    return replace(inputs, weight=torch.ones_like(inputs.weight))


LAYERNORM: Operator[LayerNormCase, LayerNormInputs] = Operator(
    name="layernorm",
    summary="rows less their mean over their deviation, times a weight, plus a bias",
    case_type=LayerNormCase,
    inputs_type=LayerNormInputs,
    outputs=one_output,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    check=row_budget(
        compute,
        changed("weight forgotten", compute, without_weight, lambda case: case.width > 1),
        changed("bias forgotten", compute, lambda inputs: replace(inputs, bias=torch.zeros_like(inputs.bias))),
        changed("eps forgotten", compute, lambda inputs: replace(inputs, eps=0.0)),
        norms.statistics_without_last(compute),
    ),
    length_axis="rows",
    needle_draws=norms.KINDS,
    mixed=lambda case, inputs: columns(inputs, "x"),
)
registry.operators.add(LAYERNORM.name, LAYERNORM, __name__)
