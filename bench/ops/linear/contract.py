"""Operator `linear`: x Wᵀ + bias, the matrix products in which a decoder spends its time."""

from __future__ import annotations

from dataclasses import replace

import torch

from attnlab.bench.contract.operator_spec import Fact, Operator, TensorSpec, columns
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops._shared.rowwise import budget
from attnlab.bench.ops.linear.case import LinearCase
from attnlab.bench.ops.linear.inputs import NEEDLE_DRAWS, LinearInputs, make_inputs, redrawn
from attnlab.bench.ops.linear.losses import format_error
from attnlab.bench.ops.linear.probes import PROBES
from attnlab.bench.ops.linear.reference import compute, sample, select, slack


def outputs(case: LinearCase) -> tuple[TensorSpec, ...]:
    return (TensorSpec("out", (case.m, case.n), case.torch_dtype),)


def operations(case: LinearCase) -> int:
    """FLOP: two for each multiply-add, one for each number that a bias is added to."""
    return case.m * case.n * (2 * case.k + case.bias)


def bytes_moved(case: LinearCase) -> int:
    """x, weight as it is stored and bias read, the output written."""
    numbers = case.m * case.k + case.bias * case.n + case.m * case.n
    format, dtype = case.stored_as, case.torch_dtype
    weight = case.n * case.k * dtype.itemsize if format is None else format.nbytes(case.n, case.k, dtype)
    return numbers * case.element_bytes + weight


def facts(case: LinearCase, seed: int, device: torch.device) -> tuple[Fact, ...]:
    """What the format costs, and what it and the method lose, whoever computes: see `format_error`."""
    format = case.stored_as
    if format is None:
        return ()
    return (
        Fact("format_error", "ratio", "lower", format_error(case, seed)),
        Fact("weight_bits", "bit", "lower", format.bits_a_weight(case.n, case.k, case.torch_dtype)),
    )


LINEAR: Operator[LinearCase, LinearInputs] = Operator(
    name="linear",
    summary="x Wᵀ + bias",
    case_type=LinearCase,
    inputs_type=LinearInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    facts=facts,
    check=replace(budget(compute, sample=sample, select=select, probes=PROBES), slack=slack),
    length_axis="m",
    needle_draws=NEEDLE_DRAWS,
    mixed=lambda case, inputs: columns(inputs, "x"),
    redrawn=redrawn,
)
registry.operators.add(LINEAR.name, LINEAR, __name__)
