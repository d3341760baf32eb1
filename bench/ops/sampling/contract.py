"""Operator `sampling`: drawing next tokens from logits, cut off by top-k, top-p and min-p."""

from __future__ import annotations

import torch

from attnlab.bench.contract.distribution import Distribution
from attnlab.bench.contract.operator_spec import DrawMix, Operator, TensorSpec, columns
from attnlab.bench.contract.registry import registry
from attnlab.bench.ops.sampling import data as sampling_data
from attnlab.bench.ops.sampling import probes as sampling_probes
from attnlab.bench.ops.sampling.case import SamplingCase, SamplingInputs
from attnlab.bench.ops.sampling.edges import law_of

TOKEN_BYTES = 8


def make_inputs(case: SamplingCase, draw: str, seed: int, device: torch.device) -> SamplingInputs:
    """Seeded logits, uniform numbers and tokens seen."""
    generator = torch.Generator().manual_seed(seed)
    logits = sampling_data.logits(case, draw, seed, generator).to(case.torch_dtype)
    uniforms = sampling_data.uniforms(case, draw, seed, generator)
    seen = None
    if case.params.penalises:
        seen = sampling_data.tokens_seen(case, draw, logits, seed, generator).to(device)
    return SamplingInputs(logits.to(device), uniforms.to(device), case.params, seen)


def mixed(case: SamplingCase, inputs: SamplingInputs) -> dict[str, DrawMix]:
    """Logits that are each drawn for themselves; in other sources they hang on each other."""
    return columns(inputs, "logits", "uniforms", "seen") if case.inputs in sampling_data.EACH_BY_ITSELF else {}


def outputs(case: SamplingCase) -> tuple[TensorSpec, ...]:
    return (TensorSpec("tokens", (case.batch, case.draws), torch.int64),)


def operations(case: SamplingCase) -> int:
    """None that count: no products of matrices, one exponential a logit at most."""
    return 0


def bytes_moved(case: SamplingCase) -> int:
    """Logits and the tokens seen, read once; uniforms, where they matter; tokens written."""
    logits = case.batch * case.vocab * case.torch_dtype.itemsize
    seen = case.batch * case.history * TOKEN_BYTES if case.params.penalises else 0
    uniforms = 0 if case.params.greedy else case.batch * case.draws * torch.float32.itemsize
    return logits + seen + uniforms + case.batch * case.draws * TOKEN_BYTES


SAMPLING: Operator[SamplingCase, SamplingInputs] = Operator(
    name="sampling",
    summary="drawing the next token: temperature, top-k, top-p, min-p and a penalty of repetition",
    case_type=SamplingCase,
    inputs_type=SamplingInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    check=Distribution(law=law_of, probes=sampling_probes.PROBES),
    length_axis="vocab",
    needle_draws=sampling_data.NEEDLE_KINDS,
    needle_cases=sampling_data.needle_cases,
    mixed=mixed,
)
registry.operators.add(SAMPLING.name, SAMPLING, __name__)
