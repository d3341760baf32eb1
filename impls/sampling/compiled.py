"""The eager sampler through torch.compile."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from attnlab.bench import Needs, SamplingCase, SamplingInputs, SamplingParams, implements
from attnlab.impls import _compile
from attnlab.impls.sampling._sorted import sample_sorted

Sample = Callable[[Tensor, Tensor, SamplingParams, Tensor | None], Tensor]


@implements("sampling", name="compiled", needs=Needs(compiler=True), compiled=True)
class Compiled:
    """What `naive` does through torch.compile: all but the sort and the sums fused."""

    def prepare(self, case: SamplingCase, inputs: SamplingInputs) -> Sample:
        sample: Sample = _compile.compile_whole(sample_sorted)
        sample(inputs.logits, inputs.uniforms, inputs.params, inputs.seen)  # compiles
        return sample

    def run(self, inputs: SamplingInputs, sample: Sample) -> Tensor:
        return sample(inputs.logits, inputs.uniforms, inputs.params, inputs.seen)
