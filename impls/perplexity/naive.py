"""The plain decoder in the case's dtype, window by window; keys and values go through the cache's format."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import PerplexityCase, PerplexityInputs, implements
from attnlab.bench.llm import ModelWeights, reading_of, right_logs, rounding


@implements("perplexity", name="naive", serves={"weights": True})
class Naive:
    """Plain torch in the case's dtype on dequantised weights, for every format of weights and cache; the baseline."""

    def prepare(self, case: PerplexityCase, inputs: PerplexityInputs) -> tuple[PerplexityCase, ModelWeights]:
        """Weights are dequantised once."""
        return case, inputs.weights.to(inputs.ids.device, case.torch_dtype)

    def run(self, inputs: PerplexityInputs, state: tuple[PerplexityCase, ModelWeights]) -> Tensor:
        case, weights = state
        reading, rounded = reading_of(case.format), rounding(case.weights)
        return right_logs(weights, inputs.ids, inputs.scored, case.torch_dtype, rounded, reading).float()
