"""The contract of sampling: ids that stay, costs by hand, cases that cannot be, and the sources of logits."""

from __future__ import annotations

import math

import pytest
import torch

from attnlab.bench import SamplingCase, SamplingParams
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, NORMAL_DRAW, tensors
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.ops.sampling.case import SOURCES
from attnlab.bench.ops.sampling.contract import SAMPLING, make_inputs

CPU = torch.device("cpu")

FROZEN = {
    "fp32": {},
    "B64-V32000-k50-p0.95-bf16": {"batch": 64, "vocab": 32000, "top_k": 50, "top_p": 0.95, "dtype": "bfloat16"},
    "V49152-N8-t0.6-m0.05-fp16-peaked": {
        "vocab": 49152,
        "draws": 8,
        "temperature": 0.6,
        "min_p": 0.05,
        "dtype": "float16",
        "inputs": "peaked",
    },
    "t0-r1.1-H512-fp32-minus_inf": {"temperature": 0, "repetition_penalty": 1.1, "history": 512, "inputs": "minus_inf"},
}


@pytest.mark.parametrize(("id", "axes"), FROZEN.items())
def test_ids_stay_what_they_are(id, axes):
    case = SamplingCase.build(axes)
    assert case.id == id
    assert SamplingCase.parse(id) == case
    assert SamplingCase.build(case.values()) == case


def test_the_case_has_the_parameters():
    case = SamplingCase.parse("t0.7-k50-p0.9-m0.02-r1.2")
    assert case.params == SamplingParams(0.7, 50, 0.9, 0.02, 1.2)
    assert SamplingCase(top_k="none").top_k is None


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"top_p": 0}, "axis top_p: got top_p=0.0; expected a number above 0"),
        ({"top_p": "1.5"}, "axis top_p: got top_p=1.5"),
        ({"top_p": math.nan}, "axis top_p: got top_p=nan"),
        ({"top_k": 0}, "axis top_k: got top_k=0; expected a whole number"),
        ({"top_k": "2.5"}, "axis top_k: got top_k='2.5'; expected a whole number"),
        ({"temperature": -1}, "axis temperature: got temperature=-1.0"),
        ({"temperature": "cold"}, "axis temperature: got temperature='cold'; expected a number"),
        ({"min_p": 1}, "axis min_p: got min_p=1.0"),
        ({"repetition_penalty": 0}, "axis repetition_penalty"),
        ({"inputs": "zipf"}, "unknown source of inputs 'zipf'; expected one of normal, peaked, flat"),
        ({"vocab": 1}, "at least 2 tokens"),
        ({"history": 5}, "history=5 with repetition_penalty 1"),
    ],
)
def test_cases_that_cannot_be(axes, said):
    with pytest.raises(ImpossibleCase, match=said):
        SamplingCase.build(axes)


def test_bytes_by_hand():
    def moved(text: str) -> int:
        return SAMPLING.bytes_moved(SamplingCase.parse(text))

    assert moved("V1000-fp32") == 1000 * 4 + 4 + 8
    assert moved("B3-V1000-N5-k7-bf16") == 3 * (1000 * 2 + 5 * 4 + 5 * 8)
    assert moved("V1000-t0-fp32") == 1000 * 4 + 8  # greedy needs no randomness
    assert moved("B2-V1000-r1.1-H30-fp16") == 2 * (1000 * 2 + 30 * 8 + 4 + 8)
    assert SAMPLING.operations(SamplingCase()) == 0


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("draw", [NORMAL_DRAW, NEEDLE_DRAW])
def test_logits_give_a_distribution_and_follow_the_seed(source, draw):
    case = SamplingCase(batch=3, vocab=50, draws=4, inputs=source, top_k=5, dtype="float16", repetition_penalty=1.2)
    inputs, again, other = (make_inputs(case, draw, seed, CPU) for seed in (5, 5, 6))
    assert inputs.logits.dtype == torch.float16
    assert bool((inputs.logits < math.inf).all())
    assert bool(inputs.logits.isfinite().any(-1).all())
    assert inputs.seen is not None
    assert (tuple(inputs.uniforms.shape), tuple(inputs.seen.shape)) == ((3, 4), (3, 128))
    assert all(torch.equal(a, b) for a, b in zip(tensors(inputs).values(), tensors(again).values(), strict=True))
    assert not torch.equal(inputs.uniforms, other.uniforms)
    assert not torch.equal(inputs.logits, other.logits)


def test_sources_are_what_they_say():
    def made(source: str) -> torch.Tensor:
        return make_inputs(SamplingCase(batch=2, vocab=2000, inputs=source), NORMAL_DRAW, 0, CPU).logits

    assert bool((made("flat") == made("flat")[:, :1]).all())
    assert made("ties").unique().numel() < 20
    assert bool((made("one_hot").softmax(-1).amax(-1) > 1 - 1e-6).all())
    assert 0.85 < made("minus_inf").isinf().float().mean() < 0.95
    assert bool((made("peaked").softmax(-1).amax(-1) > 0.05).all())
    assert bool((made("normal").softmax(-1).amax(-1) < 0.05).all())
