"""Products in plain torch, on the sampled rows and columns of the output: the oracle and the yardstick of `linear`.

Both multiply what the codes of a quantised weight stand for, so that the budget is the kernel's own error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import EPSILON, Outputs
from attnlab.bench.llm.quantization.activations import GRIDS, activation_codes, quantised
from attnlab.bench.ops._shared.rowwise import OutputTerms, edges, in_float32, named

if TYPE_CHECKING:
    from attnlab.bench.llm.quantization.coding import Planes
    from attnlab.bench.llm.quantization.weight import QuantizedWeight
    from attnlab.bench.ops.linear.case import LinearCase
    from attnlab.bench.ops.linear.inputs import LinearInputs

    Change = Callable[[Tensor, Planes], tuple[Tensor, Planes]]
    """Other codes [n, G, g] and steps than the weight's."""

FULL_CHECK_OPERATIONS = 2_000_000_000  # beyond, rows and columns are sampled
MOST_WEIGHTS = 1 << 22  # numbers of a quantised weight that are compared: each is decoded for every probe
FEWEST_SAMPLED = 64
ROUNDED = 0.29  # of the unit roundoff: the least root mean square of numbers' rounding
TIE = 2.0**-21  # of a quotient of activation and scale: as far apart as float32 has it, divided in whatever way


@dataclass(frozen=True)
class OutputSample:
    """The rows and columns of the output that are compared."""

    rows: Tensor
    columns: Tensor


def sample(case: LinearCase) -> OutputSample:
    """All of a small case; else every edge and a seeded sample: first fewer columns, then fewer rows."""
    products = FULL_CHECK_OPERATIONS // (2 * case.k)
    wanted = products // case.m
    columns = _some(case.n, wanted if case.stored_as is None else min(wanted, MOST_WEIGHTS // case.k))
    return OutputSample(_some(case.m, products // len(columns)), columns)


def _some(length: int, wanted: int) -> Tensor:
    wanted = max(FEWEST_SAMPLED, wanted)
    if wanted >= length:
        return torch.arange(length)
    others = torch.randperm(length, generator=torch.Generator().manual_seed(length)).tolist()
    return torch.tensor(sorted(list(dict.fromkeys([*edges(length), *others]))[:wanted]))


def select(outputs: Outputs, taken: OutputSample) -> Outputs:
    return tuple(out[taken.rows.to(out.device)][:, taken.columns.to(out.device)] for out in outputs)


def compute(inputs: LinearInputs, taken: OutputSample, dtype: torch.dtype) -> OutputTerms:
    """The sampled outputs in `dtype`, and the root of the sum of squares of the products of each.

    In float32 a weight with codes is rounded to the dtype of x, as careful code may, where x has none.
    """
    device = inputs.x.device
    rows, columns = taken.rows.to(device), taken.columns.to(device)
    if inputs.quantized is None:
        return products(inputs.x[rows].to(dtype), inputs.weight[columns].to(dtype), inputs, columns)
    x = quantised(inputs.x, inputs.quantized.format.activations, dtype)[rows]
    weight = decoded(inputs.quantized, columns)
    if inputs.quantized.format.activations != "same":
        return products(x, weight.to(dtype), inputs, columns)
    rounded = weight.to(inputs.x.dtype).to(dtype)
    lost = x.square() @ (weight.to(dtype) - rounded).square().mT
    made = products(x, rounded if dtype == torch.float32 else weight.to(dtype), inputs, columns)
    one = ROUNDED * EPSILON[named(inputs.x.dtype)]
    return OutputTerms(made.outputs, (torch.maximum(made.terms[0], lost.sqrt() / one),))


def exact(inputs: LinearInputs, taken: OutputSample, change: Change) -> Outputs:
    """The sampled outputs in float64 of a weight with other codes or steps: what a probe is, without its terms."""
    assert inputs.quantized is not None
    device = inputs.x.device
    rows, columns = taken.rows.to(device), taken.columns.to(device)
    x = quantised(inputs.x, inputs.quantized.format.activations, torch.float64)[rows]
    out = x @ decoded(inputs.quantized, columns, change).double().mT
    return (out if inputs.bias is None else out + inputs.bias[columns].double(),)


def products(x: Tensor, weight: Tensor, inputs: LinearInputs, columns: Tensor) -> OutputTerms:
    """x [m, K] times weight [n, K] plus the bias, in their dtype."""
    out, squares = x @ weight.mT, x.square() @ weight.square().mT
    if inputs.bias is not None:
        bias = inputs.bias[columns].to(x.dtype)
        out, squares = out + bias, squares + bias.square()
    return OutputTerms((out,), (in_float32(squares.sqrt(), inputs.x.dtype),))


def decoded(weight: QuantizedWeight, rows: Tensor, change: Change | None = None) -> Tensor:
    """What the codes of some rows stand for, [n, K] in float32."""
    codec, planes, (n, k) = weight.format.codec, weight.planes, weight.shape
    if weight.format.rows_apart:
        codes, steps = codec.unpack({name: plane[rows] for name, plane in planes.items()}, len(rows), k)
    else:
        codes, steps = codec.unpack(planes, n, k)
        codes, steps = codes[rows], {name: step[rows] if step.shape[0] == n else step for name, step in steps.items()}
    if change is not None:
        codes, steps = change(codes, steps)
    return codec.values(codes, steps).flatten(1)


def slack(case: LinearCase, inputs: LinearInputs, taken: OutputSample) -> Outputs:
    """How far outputs may move where activations lie at a boundary between two codes: float32 decides which it is."""
    device = inputs.x.device
    rows, columns = taken.rows.to(device), taken.columns.to(device)
    if inputs.quantized is None or inputs.quantized.format.activations == "same":
        return (torch.zeros(len(rows), len(columns), dtype=torch.float64, device=device),)
    grid, _ = GRIDS[inputs.quantized.format.activations]
    _, scale = activation_codes(inputs.x, inputs.quantized.format.activations)
    x, scale = inputs.x[rows].float(), scale.expand(len(inputs.x), 1)[rows]
    below, above = (grid.codes(x * (1.0 + nudge), scale).double() for nudge in (-TIE, TIE))
    unsure = (above - below).abs() * scale.double()
    return (unsure @ decoded(inputs.quantized, columns).double().abs().mT,)
