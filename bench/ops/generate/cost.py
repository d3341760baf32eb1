"""Operations and bytes of a generation, counted from the model's shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attnlab.bench.llm.caches.costs import bytes_of_tokens
from attnlab.bench.llm.generation.stored import Q4_1, SAME, file_bytes
from attnlab.bench.llm.masks import mask_of
from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.ops.generate.case import recipe_of

if TYPE_CHECKING:
    import torch

    from attnlab.bench.llm.caches import Format, Layout
    from attnlab.bench.ops.generate.case import GenerateCase

ID_BYTES = 8


def token_operations(config: ModelConfig) -> int:
    """FLOP of the matrix products of all layers for one token, of experts of those it takes; the head is apart."""
    attention = config.hidden_size * config.head_dim * (2 * config.q_heads + 2 * config.kv_heads)
    mlp = 3 * config.hidden_size * config.intermediate_size
    if config.experts:
        mlp = config.experts_per_token * mlp + config.hidden_size * config.experts
    return 2 * config.layers * (attention + mlp)


def head_operations(config: ModelConfig) -> int:
    """FLOP of the output projection for one token."""
    return 2 * config.hidden_size * config.vocab_size


def attention_operations(config: ModelConfig, tokens: int) -> int:
    """FLOP of attention over a text, in all heads and layers, each of which sees what its window lets it."""
    pairs = sum(mask_of(config.window_of(layer)).pairs(tokens, tokens) for layer in range(config.layers))
    return 4 * config.head_dim * config.q_heads * pairs


def operations(case: GenerateCase) -> int:
    """FLOP of every request: each token but the last goes through the layers, each of the answer has had a head."""
    config, through = case.config, case.total - 1
    each = through * token_operations(config) + case.new_tokens * head_operations(config)
    return case.requests * (each + attention_operations(config, through))


def pass_bytes(config: ModelConfig, dtype: torch.dtype, weights: str = SAME) -> int:
    """Bytes of the weights that one pass must read: all layers and the head; of an embedding apart only rows, of
    experts those of one token."""
    if weights == Q4_1:
        return file_bytes(config)
    recipe = recipe_of(weights)
    if recipe is not None:
        return recipe.pass_bytes(config, dtype)
    table = 0 if config.tied_embeddings else config.vocab_size * config.hidden_size
    return (config.read_parameters - table) * dtype.itemsize


def cache_bytes(
    config: ModelConfig,
    layout: Layout,
    format: Format,
    dtype: torch.dtype,
    lengths: Sequence[int],
    new: Sequence[int] | None = None,
) -> int:
    """Bytes of the cached tokens that the last tokens of some sequences see, over all layers.

    lengths: of the sequences. new: how many of their tokens look, the last one where left out; in a layer with a window
    they see that many less one, and the window. A block table is read once a layer.
    """
    looking = [1] * len(lengths) if new is None else new
    windows = Counter(config.window_of(layer) for layer in range(config.layers))
    total = 0
    for window, layers in windows.items():
        seen = [n if window is None else window + k - 1 for n, k in zip(lengths, looking, strict=True)]
        ranges = [(max(0, n - most), n) for n, most in zip(lengths, seen, strict=True)]
        total += layers * bytes_of_tokens(
            layout, format, ranges, kv_heads=config.kv_heads, head_dim=config.head_dim, dtype=dtype
        )
    return total


def bytes_moved(case: GenerateCase) -> int:
    """The least that must be read: the weights once a pass, and every sequence's cache at its length in each pass.

    Full batches are assumed, one pass for all prompts of a batch; of speculative methods, that every guess is right.
    """
    config, dtype = case.config, case.torch_dtype
    batches = -(-case.requests // case.batch)
    steps = -(-(case.new_tokens - 1) // (case.decoding.guesses + 1))
    weights = batches * (1 + steps) * pass_bytes(config, dtype, case.weights)
    stride = case.decoding.guesses + 1
    lengths = [min(case.total - 1, case.prompt_len + stride * (step + 1)) for step in range(steps)]
    looking = [stride] * len(lengths)
    cached = cache_bytes(config, case.placing, case.format, dtype, lengths, looking) if lengths else 0
    return weights + case.requests * (cached + ID_BYTES * case.total)


def input_bytes(case: GenerateCase) -> int:
    """The weights as they are stored, with the embedding, and the caches of a full batch at their longest."""
    config, dtype = case.config, case.torch_dtype
    cached = cache_bytes(config, case.placing, case.format, dtype, [case.total] * case.batch)
    if case.recipe is None:
        return config.weight_bytes(dtype) + cached
    embedding = config.vocab_size * config.hidden_size * dtype.itemsize
    return case.recipe.pass_bytes(config, dtype) + embedding + cached
