"""The wrong draws that the check of a sampling case must reject."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from attnlab.bench.distribution import Law
from attnlab.bench.error_budget import Outputs, Probe, zeros
from attnlab.bench.ops.sampling_math import draw, truncated_probabilities

if TYPE_CHECKING:
    from attnlab.bench.ops.sampling import SamplingCase, SamplingInputs

EQUAL = ("flat", "one_hot")  # any temperature gives the same, and no token is above another or only one


def _redrawn(inputs: SamplingInputs, **changed: object) -> Outputs:
    """Draws with other parameters."""
    params = replace(inputs.params, **changed)  # type: ignore[arg-type]
    return (draw(truncated_probabilities(inputs.logits, params, inputs.seen), inputs.uniforms),)


def _shifted(case: SamplingCase, inputs: SamplingInputs, law: Law, expected: Outputs) -> Outputs:
    return ((expected[0] + 1) % case.vocab,)


def _largest(case: SamplingCase, inputs: SamplingInputs, law: Law, expected: Outputs) -> Outputs:
    return (law.probabilities.argmax(-1, keepdim=True).expand(-1, case.draws).contiguous(),)


def _uniform(case: SamplingCase, inputs: SamplingInputs, law: Law, expected: Outputs) -> Outputs:
    return (draw((law.probabilities > 0).double(), inputs.uniforms),)


def _untruncated(case: SamplingCase, inputs: SamplingInputs, law: Law, expected: Outputs) -> Outputs:
    return _redrawn(inputs, top_k=None, top_p=1.0, min_p=0.0)


def _at_temperature_one(case: SamplingCase, inputs: SamplingInputs, law: Law, expected: Outputs) -> Outputs:
    return _redrawn(inputs, temperature=1.0)


def _unpenalised(case: SamplingCase, inputs: SamplingInputs, law: Law, expected: Outputs) -> Outputs:
    return _redrawn(inputs, repetition_penalty=1.0)


def _chooses(case: SamplingCase) -> bool:
    return not case.params.greedy and case.top_k != 1 and case.inputs != "one_hot"


def _cuts(case: SamplingCase) -> bool:
    """Equal tokens are cut by nothing; needles, which are not equal, know of top-k and min-p alone."""
    limited = case.top_k is not None and case.top_k < case.vocab
    return case.params.truncates and (limited or case.min_p > 0 or case.inputs not in EQUAL)


PROBES: tuple[Probe[SamplingCase, SamplingInputs], ...] = (
    Probe("zeros", lambda case: True, zeros),
    Probe("shifted by one token", lambda case: True, _shifted),
    Probe("always the largest", _chooses, _largest),
    Probe("any that is kept", lambda case: _chooses(case) and case.inputs != "flat", _uniform),
    Probe("nothing cut off", _cuts, _untruncated),
    Probe(
        "temperature 1",
        lambda case: _chooses(case) and case.temperature != 1 and case.inputs not in EQUAL,
        _at_temperature_one,
    ),
    Probe("no penalty", lambda case: case.params.penalises, _unpenalised),
)
