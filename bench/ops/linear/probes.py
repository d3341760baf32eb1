"""Wrong products that the check of every case of `linear` must reject."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import Outputs, Probe
from attnlab.bench.llm.codes import PACKED
from attnlab.bench.llm.quantization.activations import activation_codes
from attnlab.bench.llm.quantization.coding import CODES
from attnlab.bench.llm.quantization.grouped import MINIMUM, SCALE
from attnlab.bench.ops._shared.rowwise import LAST_COLUMN_DROPPED, ROWS_SHIFTED, changed
from attnlab.bench.ops.linear.case import LinearCase
from attnlab.bench.ops.linear.inputs import LinearInputs
from attnlab.bench.ops.linear.reference import OutputSample, compute, decoded, exact, products

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnlab.bench.llm.quantization.coding import Planes, WeightPlane
    from attnlab.bench.ops.linear.reference import Change

LinearProbe = Probe[LinearCase, LinearInputs]
INDICES = "indices"  # of a sparse weight's plane
FEWEST_COLUMNS = 16  # of an output: a code of fewer may be zero, or two scales alike
PER_TOKEN = ("int8_token", "fp8_token")


def without_last_product(inputs: LinearInputs) -> LinearInputs:
    x = inputs.x.clone()
    x[:, -1] = 0.0
    return replace(inputs, x=x)


def _decoded(name: str, applies: Callable[[LinearCase], bool], change: Change) -> LinearProbe:
    """The probe of a kernel that takes other codes or steps."""

    def outputs(case: LinearCase, inputs: LinearInputs, taken: OutputSample, expected: Outputs) -> Outputs:
        return exact(inputs, taken, change)

    return Probe(name, lambda case: case.stored_as is not None and case.n >= FEWEST_COLUMNS and applies(case), outputs)


def planes_of(case: LinearCase) -> dict[str, WeightPlane]:
    """What is stored of the weight, by name; nothing where it is in the dtype."""
    format = case.stored_as
    planes = () if format is None else format.codec.planes(case.n, case.k, case.torch_dtype)
    return {plane.name: plane for plane in planes}


def is_grouped(case: LinearCase) -> bool:
    """Whether a row of the weight has several scales."""
    scale = planes_of(case).get(SCALE)
    return scale is not None and scale.shape[-1] > 1


def has_row_scales(case: LinearCase) -> bool:
    scale = planes_of(case).get(SCALE)
    return scale is not None and scale.shape[0] > 1


def is_nibbles(case: LinearCase) -> bool:
    """Whether two codes share a byte."""
    codes = planes_of(case).get(CODES)
    return codes is not None and codes.dtype == torch.uint8 and 2 * codes.shape[-1] == case.k


def has_signed_codes(case: LinearCase) -> bool:
    codes = planes_of(case).get(CODES)
    return codes is not None and codes.dtype in (torch.int8, torch.float8_e4m3fn)


def has_minimum(case: LinearCase) -> bool:
    return MINIMUM in planes_of(case)


def has_indices(case: LinearCase) -> bool:
    return INDICES in planes_of(case)


def steps_of_group_before(codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
    return codes, {name: step.roll(1, 1) for name, step in steps.items()}


def steps_of_row_before(codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
    return codes, {name: step.roll(1, 0) for name, step in steps.items()}


def groups_one_column_late(codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
    """The first column of each group has the steps of the group before."""
    spread = {name: step.expand(codes.shape).flatten(1).roll(1, 1) for name, step in steps.items()}
    return codes, {name: step.unflatten(1, codes.shape[1:]) for name, step in spread.items()}


def nibbles_swapped(codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
    halves: Tensor = codes.flatten(1).unflatten(1, (-1, 2, PACKED))
    return halves.flip(-2).flatten(1).unflatten(1, codes.shape[1:]), steps


def top_bit_lost(codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
    return codes & 7, steps


def sign_lost(codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
    return codes.float().abs().to(codes.dtype), steps


def indices_shifted(codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
    """Each number that is kept stands one place later within its four."""
    return codes.roll(1, -1), steps


def minimum_forgotten(codes: Tensor, steps: Planes) -> tuple[Tensor, Planes]:
    return codes, {name: torch.zeros_like(step) if name == MINIMUM else step for name, step in steps.items()}


def _scale_of_token_before(case: LinearCase, inputs: LinearInputs, taken: OutputSample, expected: Outputs) -> Outputs:
    assert inputs.quantized is not None
    codes, scale = activation_codes(inputs.x, inputs.quantized.format.activations)
    x = (codes.double() * scale.double().roll(1, 0))[taken.rows.to(codes.device)]
    columns = taken.columns.to(codes.device)
    return products(x, decoded(inputs.quantized, columns).double(), inputs, columns).outputs


def has_scales_of_tokens(case: LinearCase) -> bool:
    return case.m > 1 and case.stored_as is not None and case.stored_as.activations in PER_TOKEN


def loses_a_product(case: LinearCase) -> bool:
    """Codes of few columns may all be zero."""
    return case.stored_as is None or case.n >= FEWEST_COLUMNS


PROBES = (
    ROWS_SHIFTED,
    LAST_COLUMN_DROPPED,
    changed("last product dropped", compute, without_last_product, loses_a_product),
    changed("bias forgotten", compute, lambda inputs: replace(inputs, bias=None), lambda case: case.bias),
    _decoded("scale of the group before", is_grouped, steps_of_group_before),
    _decoded("scale of the row before", has_row_scales, steps_of_row_before),
    _decoded("groups one column late", is_grouped, groups_one_column_late),
    _decoded("nibbles swapped", is_nibbles, nibbles_swapped),
    _decoded("top bit lost", is_nibbles, top_bit_lost),
    _decoded("sign lost", has_signed_codes, sign_lost),
    _decoded("minimum forgotten", has_minimum, minimum_forgotten),
    _decoded("indices shifted", has_indices, indices_shifted),
    Probe("scale of the token before", has_scales_of_tokens, _scale_of_token_before),
)
