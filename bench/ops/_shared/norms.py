"""What rmsnorm and layernorm share: rows whose norm hangs on one column, or on epsilon, and rows of zeros."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import Outputs, Probe
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW
from attnlab.bench.ops._shared.rowwise import OutputTerms, RowCase, draw, edges

EPS = 1e-5  # as Llama 3 and SmolLM2 have it
KINDS = 6  # of rows among needles
DOMINANT = 3.0  # times the norm of all other columns
LARGE_MEAN = {"float32": 1000.0, "float16": 60.0, "bfloat16": 32.0}
"""Times the standard deviation: it shows a variance taken as mean of squares minus square of mean in float32, and a
mean summed in parts of a narrower type; in half precision it is what mantissas can hold beside numbers of size one."""


def draw_rows(case: RowCase, which: str, seed: int) -> Tensor:
    """x [M, N] in float32 on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    if which != NEEDLE_DRAW:
        return draw(generator, case.rows, case.width, source=case.inputs)
    x = draw(generator, case.rows, case.width)
    for row in range(case.rows):
        _hide(x[row], (row + seed) % KINDS, row + seed, case)
    return x


def _hide(x: Tensor, kind: int, turn: int, case: RowCase) -> None:
    """Make one row [N] a needle, in place."""
    width = x.shape[0]
    if kind <= 2:
        at = edges(width)
        column = (width - 1, 0, at[turn // KINDS % len(at)])[kind]
        x[column] = DOMINANT * width**0.5 * (1.0 if x[column] > 0 else -1.0)
    elif kind == 3:
        x *= EPS**0.5
    elif kind == 4:
        x.zero_()
    else:
        x += LARGE_MEAN[case.dtype]


def draw_weight(width: int, generator: torch.Generator) -> Tensor:
    """Around one, as of a trained model, [N] in float32."""
    return 1.0 + 0.25 * torch.randn(width, generator=generator)


def statistics_without_last(compute: Callable[[Any, Tensor, torch.dtype], OutputTerms]) -> Probe[Any, Any]:
    """The probe that normalises every column, by a norm that the last one had no part in."""

    def outputs(case: Any, inputs: Any, rows: Tensor, expected: Outputs) -> Outputs:
        x = inputs.x.clone()
        x[:, -1] = 0.0
        (wrong,) = compute(replace(inputs, x=x), rows, torch.float64).outputs
        return (torch.cat([wrong[:, :-1], expected[0][:, -1:]], dim=1),)

    return Probe("norm without the last column", lambda case: case.width > 1, outputs)
