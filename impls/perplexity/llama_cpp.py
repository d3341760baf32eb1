"""llama.cpp through llama-cpp-python, on the packaged file itself, whose logits are read."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import Needs, PerplexityCase, PerplexityInputs, implements
from attnlab.bench.llm import Q4_1, SAME, scored_places
from attnlab.impls._llama_cpp import open_llama


@implements(
    "perplexity",
    name="llama_cpp",
    needs=Needs(device="cpu", packages=("llama_cpp",)),
    memory_seen=False,
    serves={"weights": (Q4_1,)},
)
class LlamaCpp:
    """llama.cpp on the packaged file: weights of 4 bits, activations rounded to 8 bits in each product."""

    def supports(self, case: PerplexityCase) -> str | None:
        if case.weights != Q4_1:
            return f"weights {case.weights} are not served: {Q4_1} only"
        return None if case.cache == SAME else f"cache {case.cache} is not served: the dtype only"

    def prepare(self, case: PerplexityCase, inputs: PerplexityInputs) -> Any:
        return open_llama(case.dtype, case.window, n_batch=case.window, logits_all=True)

    def run(self, inputs: PerplexityInputs, llama: Any) -> Tensor:
        width = inputs.ids.shape[1]
        places, found = scored_places(width, inputs.scored), []
        for window in inputs.ids:
            llama.reset()  # forgets the last window
            llama.eval(window.tolist())
            logits = torch.from_numpy(llama.scores[:width][places]).float()
            found.append(logits.log_softmax(-1).gather(-1, window[-inputs.scored :, None])[:, 0])
        return torch.stack(found)

    def configuration(self, case: PerplexityCase) -> str | None:
        version = importlib.import_module("llama_cpp").__version__
        return f"llama-cpp-python {version}, weights as in the file (Q4_1, embedding and head Q8_0), cache {case.dtype}"
