"""Our own kernels in Triton for sampling, which sort nothing."""

from __future__ import annotations

import math

from torch import Tensor

from attnlab.bench import Needs, SamplingCase, SamplingInputs, implements
from attnlab.impls import _triton

PROGRAM_S = 0.01  # the interpreter's time for a program
CHECK_RUNS = 8  # two draws and two sets of needles, each run twice
PASSES = 6
CHUNK = 2048  # logits of a program, which draws from 4 times as many at once


@implements("sampling", name="triton", needs=Needs(packages=("triton",)))
class Triton:
    """Our Triton kernels: thresholds by search over chunks of a row; interpreted and untimed without a GPU."""

    def supports(self, case: SamplingCase) -> str | None:
        programs = PASSES * math.ceil(case.vocab / CHUNK) + case.draws * min(case.vocab, CHUNK) / (4 * CHUNK)
        return _triton.too_slow(CHECK_RUNS * case.batch * programs * PROGRAM_S)

    def prepare(self, case: SamplingCase, inputs: SamplingInputs) -> None:
        _triton.require_device(inputs.logits)
        if inputs.logits.is_cuda:
            self.run(inputs, None)  # compiles

    def run(self, inputs: SamplingInputs, state: None) -> Tensor:
        from attnlab.kernels.triton.sampling import sample

        params = inputs.params
        return sample(
            inputs.logits,
            inputs.uniforms,
            temperature=params.temperature,
            top_k=params.top_k,
            top_p=params.top_p,
            min_p=params.min_p,
            repetition_penalty=params.repetition_penalty,
            seen=inputs.seen,
        )

    def untimed(self, device_kind: str) -> str | None:
        return _triton.untimed(device_kind)
