"""What one of several ranks holds of a model: some heads of each layer, some columns of its MLP, some rows of the head.

The first projections of a layer are cut by outputs and the second by inputs, so that a rank's part of attention and of
the MLP is whole but for a sum over ranks at the end of each (Shoeybi et al., arXiv:1909.08053, section 3).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from attnlab.bench import ModelWeights
from attnlab.bench.llm import LayerWeights

BY_OUTPUT = ("query", "key", "value", "gate", "up", "query_bias", "key_bias", "value_bias", "sinks")
BY_INPUT = ("output", "down")


def weights_of_rank(weights: ModelWeights, rank: int, ranks: int) -> ModelWeights:
    """Copies of what the rank holds, with all norms, and the embedding itself.

    `config` has the rank's heads and columns. The rows of `head` are those of `vocabulary_of_rank`. Projections must be
    in the dtype, and there may be no experts.
    """
    config = weights.config
    return replace(
        weights,
        config=replace(
            config,
            q_heads=config.q_heads // ranks,
            kv_heads=config.kv_heads // ranks,
            intermediate_size=config.intermediate_size // ranks,
        ),
        layers=tuple(_of_rank(layer, rank, ranks) for layer in weights.layers),
        output_norm=weights.output_norm.clone(),
        head=weights.head[vocabulary_of_rank(config.vocab_size, rank, ranks)].clone(),
    )


def vocabulary_of_rank(vocab_size: int, rank: int, ranks: int) -> slice:
    """The tokens whose logits a rank computes."""
    return slice(vocab_size * rank // ranks, vocab_size * (rank + 1) // ranks)


def _of_rank(layer: LayerWeights, rank: int, ranks: int) -> LayerWeights:
    def part(name: str, x: Tensor) -> Tensor:
        dim = 0 if name in BY_OUTPUT else 1 if name in BY_INPUT else None
        return (x if dim is None else x.chunk(ranks, dim)[rank]).clone(memory_format=torch.contiguous_format)

    held: dict[str, Tensor | None] = {name: part(name, x) for name, x in layer.dense.items()}
    if rank:
        held["output_bias"] = None  # added once to the sum
    return layer.changed(held)
