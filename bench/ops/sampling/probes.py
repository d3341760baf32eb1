"""The wrong draws that the check of a sampling case must reject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.distribution import Law
from attnlab.bench.contract.error_budget import Outputs, Probe, zeros
from attnlab.bench.llm.sampling_math import draw, truncated_probabilities
from attnlab.bench.ops.sampling.data import MANY_DRAWS

if TYPE_CHECKING:
    from attnlab.bench.ops.sampling.case import SamplingCase, SamplingInputs

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


def _scaled(name: str, factor: float) -> Callable[[SamplingCase, SamplingInputs, Law, Outputs], Outputs]:
    """Draws with one parameter a little off."""

    def outputs(case: SamplingCase, inputs: SamplingInputs, law: Law, expected: Outputs) -> Outputs:
        return _redrawn(inputs, **{name: getattr(inputs.params, name) * factor})

    return outputs


def _ranked(step: int) -> Callable[[SamplingCase, SamplingInputs, Law, Outputs], Outputs]:
    """Draws of more or fewer tokens than top-k says."""

    def outputs(case: SamplingCase, inputs: SamplingInputs, law: Law, expected: Outputs) -> Outputs:
        assert case.top_k is not None
        return _redrawn(inputs, top_k=case.top_k + step)

    return outputs


def _by(inputs: SamplingInputs, law: Law, uniforms: Tensor) -> Outputs:
    return (draw(law.probabilities, uniforms),)


def _numbers_of_the_first(case: SamplingCase, inputs: SamplingInputs, law: Law, expected: Outputs) -> Outputs:
    return _by(inputs, law, inputs.uniforms[:1].expand_as(inputs.uniforms).contiguous())


def _numbers_of_the_next(case: SamplingCase, inputs: SamplingInputs, law: Law, expected: Outputs) -> Outputs:
    return _by(inputs, law, inputs.uniforms.roll(1, 0))


def _numbers_of_its_own(case: SamplingCase, inputs: SamplingInputs, law: Law, expected: Outputs) -> Outputs:
    generator = torch.Generator(inputs.uniforms.device).manual_seed(case.batch)
    return _by(inputs, law, torch.rand(inputs.uniforms.shape, generator=generator, device=inputs.uniforms.device))


def _numbers_of_eight_bits(case: SamplingCase, inputs: SamplingInputs, law: Law, expected: Outputs) -> Outputs:
    return _by(inputs, law, (inputs.uniforms * 256).floor() / 256)


def _penalty_of_the_next(case: SamplingCase, inputs: SamplingInputs, law: Law, expected: Outputs) -> Outputs:
    assert inputs.seen is not None
    return (draw(truncated_probabilities(inputs.logits, inputs.params, inputs.seen.roll(1, 0)), inputs.uniforms),)


def _ranks(case: SamplingCase, step: int) -> bool:
    kept, alone = case.top_k, case.top_p == 1 and case.min_p == 0
    return (
        alone
        and _chooses(case)
        and kept is not None
        and 1 <= kept + step < case.vocab
        and case.inputs not in (*EQUAL, "ties")
    )


def _enough(case: SamplingCase) -> bool:
    """Whether a parameter that is a little off shows: see docs/sampling.md."""
    return _chooses(case) and case.batch * case.draws >= MANY_DRAWS and case.inputs not in EQUAL


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
    Probe("temperature 10 % low", lambda case: _enough(case) and case.temperature > 0, _scaled("temperature", 0.9)),
    Probe("temperature 10 % high", lambda case: _enough(case) and case.temperature > 0, _scaled("temperature", 1.1)),
    Probe("top-k one more", lambda case: _enough(case) and _ranks(case, 1), _ranked(1)),
    Probe("top-k one less", lambda case: _enough(case) and _ranks(case, -1), _ranked(-1)),
    Probe("numbers of the first row", lambda case: _chooses(case) and case.batch > 1, _numbers_of_the_first),
    Probe("numbers of the row before", lambda case: _chooses(case) and case.batch > 2, _numbers_of_the_next),
    Probe("numbers of its own", lambda case: _chooses(case) and case.batch > 1, _numbers_of_its_own),
    Probe("numbers of eight bits", lambda case: _enough(case) and case.vocab > 256, _numbers_of_eight_bits),
    Probe(
        "another row's penalty",
        lambda case: _enough(case) and case.params.penalises and case.batch > 1,
        _penalty_of_the_next,
    ),
    Probe("no penalty", lambda case: case.params.penalises, _unpenalised),
)
