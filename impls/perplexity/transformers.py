"""Hugging Face transformers: its model around the same tensors, whose logits are read."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import Needs, PerplexityCase, PerplexityInputs, implements
from attnlab.bench.llm import SAME
from attnlab.impls.generate._transformers_model import attention_of, model_of


@implements("perplexity", name="transformers", needs=Needs(packages=("transformers",)))
class Transformers:
    """Hugging Face transformers: a pass with SDPA, or eager attention, over each window, on the same tensors."""

    def supports(self, case: PerplexityCase) -> str | None:
        return None if case.cache == SAME else f"cache {case.cache} is not served: the dtype only"

    def prepare(self, case: PerplexityCase, inputs: PerplexityInputs) -> Any:
        return model_of(inputs.weights)

    @torch.no_grad()
    def run(self, inputs: PerplexityInputs, model: Any) -> Tensor:
        found = []
        for window in inputs.ids.split(1):
            logits = model(window, use_cache=False, logits_to_keep=inputs.scored + 1).logits[0, :-1]
            found.append(logits.float().log_softmax(-1).gather(-1, window[0, -inputs.scored :, None])[:, 0])
        return torch.stack(found)

    def configuration(self, case: PerplexityCase) -> str | None:
        version = importlib.import_module("transformers").__version__
        return f"transformers {version}, weights {case.dtype}, {attention_of(case.config)}, no cache"
