"""What a format and a method lose of a layer's output, against the weight as it was before it was stored."""

from __future__ import annotations

from dataclasses import replace

import torch

from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.llm.quantization.activations import quantised
from attnlab.bench.llm.quantization.captured_linear import captured_linear
from attnlab.bench.llm.quantization.choosing import quantisation_method, quantise
from attnlab.bench.llm.quantization.losses import output_error
from attnlab.bench.ops.linear.case import LinearCase
from attnlab.bench.ops.linear.inputs import calibration_rows, draw_rows, weight_and_bias

ROWS = 256  # of x, where it is drawn
FIRST_SEED = 0x0DD5EED  # of these rows: weights of a case are drawn like the rows of seed 0


def format_error(case: LinearCase, seed: int) -> float:
    """Root mean square of what outputs differ by over that of the outputs, without bias, in float64.

    On rows that no method was calibrated on: of a captured layer all that are held out. The weight before is the one
    in the case's dtype. Where the format has codes for activations, their rounding is counted too.
    """
    assert case.stored_as is not None
    weight = weight_and_bias(case)[0].to(case.torch_dtype)
    chosen = quantise(weight, case.stored_as, quantisation_method(case.method), calibration_rows(case))
    if case.captured is None:
        x = draw_rows(replace(case, m=ROWS), NORMAL_DRAW, FIRST_SEED + seed).double()
    else:
        x = captured_linear(*case.captured).held_out.double()
    divided = x if chosen.column_scale is None else x / chosen.column_scale
    stored = quantised(divided, case.stored_as.activations, torch.float64) @ chosen.weight.dequantised(torch.float64).mT
    return output_error(stored, x @ weight.double().mT)
