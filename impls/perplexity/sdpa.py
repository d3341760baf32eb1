"""Our decoder of `generate` on torch's SDPA, which reads each window as a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from attnlab.bench import Needs, PerplexityCase, PerplexityInputs, implements
from attnlab.bench.llm import Q4_1, scored_places
from attnlab.impls.generate._engine import variants
from attnlab.impls.generate._engine.attention import CachedAttention
from attnlab.impls.generate._engine.decoder import Attend, Decoder
from attnlab.impls.generate._engine.kv_caches import KVCaches
from attnlab.impls.generate._engine.parts import QUICK_ON_CPU

ROWS_AT_ONCE = 128
"""Whose logits are held at a time."""


@dataclass(frozen=True, eq=False)
class ReadingEngine:
    """A decoder with a cache for one window; attend: as the case's cache asks for."""

    decoder: Decoder
    attend: Attend


@implements("perplexity", name="sdpa", needs=Needs(device="cpu"), serves={"weights": True})
class Sdpa:
    """Our decoder on a CPU with its quickest parts, weights dequantised once, keys and values read from the cache."""

    def supports(self, case: PerplexityCase) -> str | None:
        if case.weights == Q4_1 or case.codes_activations:
            return f"weights {case.weights} are not served: its products do not make codes of activations"
        return variants.limits(case.config, QUICK_ON_CPU)

    def prepare(self, case: PerplexityCase, inputs: PerplexityInputs) -> ReadingEngine:
        weights = inputs.weights.to(inputs.ids.device, case.torch_dtype).joined()
        decoder = Decoder(weights, QUICK_ON_CPU, case.window)
        caches = KVCaches(weights.config, case.placing, case.format, weights.dtype, weights.device, 1, case.window)
        attention = CachedAttention(weights.config, QUICK_ON_CPU, caches, [w.sinks for w in weights.layers])
        decoder.kernels.of_shape(1, case.window)
        return ReadingEngine(decoder, attention.prefill if case.cache == "same" else partial(attend_stored, attention))

    def run(self, inputs: PerplexityInputs, engine: ReadingEngine) -> Tensor:
        positions = torch.arange(inputs.ids.shape[1], device=inputs.ids.device)[None]
        places = scored_places(inputs.ids.shape[1], inputs.scored)
        found = []
        for window in inputs.ids.split(1):
            hidden = engine.decoder.hidden_states(window, positions, engine.attend)[:, places]
            rights = window[0, -inputs.scored :].split(ROWS_AT_ONCE)
            for rows, right in zip(hidden.split(ROWS_AT_ONCE, 1), rights, strict=True):
                logs = engine.decoder.logits(rows)[0].float().log_softmax(-1)
                found.append(logs.gather(-1, right[:, None])[:, 0])
        return torch.cat(found).view(len(inputs.ids), inputs.scored)


def attend_stored(attention: CachedAttention, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Store a window's tokens [1, S, H, D], and attend over all as they come back; steps set once are set from them."""
    cache = attention.caches.layers[layer]
    counts = torch.full_like(cache.lengths, k.shape[1])
    cache.calibrate(k.transpose(1, 2), v.transpose(1, 2), counts)
    return attention.prefill_chunk(torch.zeros_like(counts), k.shape[1], layer, q, k, v)
