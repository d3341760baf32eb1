"""Operator `gelu`: x times the normal distribution function of x, or its approximation by tanh (arXiv:1606.08415)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attnlab.bench.contract.axes import size
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, Operator, columns, constant, dynamic
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared.rowwise import (
    MatrixCase,
    OutputTerms,
    changed,
    choice,
    draw,
    edges,
    one_output,
    row_budget,
)

CUBE = 0.044715  # of the approximation
OPERATIONS = {"none": 5, "tanh": 9}
STEEP = 30.0


@dataclass(frozen=True)
class GeluCase(MatrixCase):
    """One shape, dtype, form and source of data for gelu."""

    kind = "gelu"

    width: int = size("N", help="columns", default=14336)
    approximate: str = choice("none", "tanh", help="which form", default="none")


@dataclass(frozen=True)
class GeluInputs:
    """Inputs of gelu: x [M, N] in the case's dtype, and which form; the output is [M, N] in x's dtype."""

    x: Tensor = dynamic("rows [M, N]")
    approximate: str = constant("`none`, by the error function, or `tanh`", default="none")


def make_inputs(case: GeluCase, which: str, seed: int, device: torch.device) -> GeluInputs:
    """Seeded inputs, drawn on the CPU; among needles every third row has steep edges, by turns of both signs."""
    x = draw(torch.Generator().manual_seed(seed), case.rows, case.width, source=case.inputs, draw=which)
    if which == NEEDLE_DRAW:
        x[seed % 3 :: 3, edges(case.width)] = STEEP if seed % 2 else -STEEP
    return GeluInputs(x.to(device, case.torch_dtype), case.approximate)


def operations(case: GeluCase) -> int:
    """FLOP, a function counted as one: x/√2, erf, plus one, times x, halved; by tanh nine."""
    return OPERATIONS[case.approximate] * case.numbers


def bytes_moved(case: GeluCase) -> int:
    return 2 * case.numbers * case.element_bytes


def compute(inputs: GeluInputs, rows: Tensor, dtype: torch.dtype) -> OutputTerms:
    x = inputs.x.index_select(0, rows.to(inputs.x.device)).to(dtype)
    if inputs.approximate == "tanh":
        share = (math.sqrt(2 / math.pi) * (x + CUBE * x.pow(3))).tanh()
    else:
        share = (x / math.sqrt(2)).erf()
    half = 0.5 * x
    out = half * (1 + share)  # far below zero the two terms cancel, and what is left is rounding
    return OutputTerms((out,), (torch.maximum(out.abs(), half.hypot(half * share)),))


def other_form(inputs: GeluInputs) -> GeluInputs:
    return replace(inputs, approximate="none" if inputs.approximate == "tanh" else "tanh")


GELU: Operator[GeluCase, GeluInputs] = Operator(
    name="gelu",
    summary="x times the normal distribution function of x, exact or by tanh",
    case_type=GeluCase,
    inputs_type=GeluInputs,
    outputs=one_output,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    # the forms lie 5e-4 apart at most, which half precision does not show
    check=row_budget(compute, changed("the other form", compute, other_form, lambda case: case.dtype == "float32")),
    length_axis="rows",
    needle_draws=3,
    mixed=lambda case, inputs: columns(inputs, "x"),
)
registry.operators.add(GELU.name, GELU, __name__)
