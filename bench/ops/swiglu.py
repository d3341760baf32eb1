"""Operator `swiglu`: silu(gate) · up, the gated activation of Llama's feed-forward part (Shazeer, arXiv:2002.05202)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attnlab.bench.contract.axes import size
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, Operator, columns, dynamic
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared.rowwise import MatrixCase, OutputTerms, changed, draw, edges, one_output, row_budget

STEEP = 100.0  # e to this is beyond float32


@dataclass(frozen=True)
class SwigluCase(MatrixCase):
    """One shape, dtype and source of data for swiglu; the input is twice as wide as the output."""

    kind = "swiglu"

    width: int = size("N", help="columns of the output, half of those of the input", default=14336)


@dataclass(frozen=True)
class SwigluInputs:
    """Inputs of swiglu: x [M, 2N] in the case's dtype, the gate in the first N columns and what it gates in the others.

    The output is [M, N] in x's dtype.
    """

    x: Tensor = dynamic("gate columns, then up columns, [M, 2N]")


def make_inputs(case: SwigluCase, which: str, seed: int, device: torch.device) -> SwigluInputs:
    """Seeded inputs, drawn on the CPU; among needles every third row has steep gates, by turns of both signs."""
    generator = torch.Generator().manual_seed(seed)
    gate, up = (draw(generator, case.rows, case.width, source=case.inputs, draw=which) for _ in range(2))
    if which == NEEDLE_DRAW:
        columns = edges(case.width)
        signs = torch.ones(len(columns)).mul_(STEEP)
        signs[seed % 2 :: 2] *= -1
        gate[seed % 3 :: 3, columns] = signs
    return SwigluInputs(torch.cat([gate, up], dim=1).to(device, case.torch_dtype))


def operations(case: SwigluCase) -> int:
    """FLOP: exponential, plus one, quotient, product; four a number, a function counted as one."""
    return 4 * case.numbers


def bytes_moved(case: SwigluCase) -> int:
    """Gate and up read, the product written."""
    return 3 * case.numbers * case.element_bytes


def compute(inputs: SwigluInputs, rows: Tensor, dtype: torch.dtype) -> OutputTerms:
    gate, up = inputs.x.index_select(0, rows.to(inputs.x.device)).to(dtype).chunk(2, dim=-1)
    out = gate * gate.sigmoid() * up
    half = 0.5 * gate * up  # the sigmoid is (1 + tanh) / 2 as well, whose terms cancel far below zero
    return OutputTerms((out,), (torch.maximum(out.abs(), half.hypot(half * (gate / 2).tanh())),))


def halves_swapped(inputs: SwigluInputs) -> SwigluInputs:
    return replace(inputs, x=inputs.x.roll(inputs.x.shape[1] // 2, dims=1))


SWIGLU: Operator[SwigluCase, SwigluInputs] = Operator(
    name="swiglu",
    summary="silu of one half of each row times the other half",
    case_type=SwigluCase,
    inputs_type=SwigluInputs,
    outputs=one_output,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    check=row_budget(compute, changed("halves swapped", compute, halves_swapped)),
    length_axis="rows",
    needle_draws=3,
    mixed=lambda case, inputs: columns(inputs, "x"),
)
registry.operators.add(SWIGLU.name, SWIGLU, __name__)
