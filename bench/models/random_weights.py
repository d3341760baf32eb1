"""Random weights of a configuration: seeded, finite through all layers, and with logits that choose."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.models.config import ModelConfig
from attnlab.bench.models.weights import LayerWeights, ModelWeights, layer_shapes, model_shapes

LOGIT_STD = 3.0
"""Of the logits: some tens of tokens share the probability, as in a trained model's answers."""

SCORE_STD = 1.5
"""Of the attention scores: a query prefers some of its keys, and the context shows in what is generated. Much sharper
attention makes rounding grow from layer to layer: at 3, bfloat16 moves 56 % of the tokens of 30 layers off the argmax,
at 1.5, 12 %."""

BRANCH_GAIN = 3.0
"""Of what attention and SwiGLU add, beside the embedding, which would have a tied head repeat the last token."""

SPREAD = 0.1
"""Of norm weights around one, so that a norm without its weight is seen."""

BIAS_STD = 0.2
"""Seen in the logits, and too little to have every query pick the same keys."""

GAINS = {
    "embedding": LOGIT_STD,
    "head": LOGIT_STD,
    "query": SCORE_STD,
    "output": BRANCH_GAIN,
    "down": BRANCH_GAIN,
}


def random_weights(config: ModelConfig, dtype: torch.dtype, device: torch.device | str, seed: int = 0) -> ModelWeights:
    """Weights drawn on `device`; the same for a seed, up to rounding, in every dtype.

    Normed activations have unit variance, and projections keep it, so that the residual stream grows with the
    root of the layers.
    """
    generator = torch.Generator(device).manual_seed(seed)

    def draw(role: str, shape: tuple[int, ...]) -> Tensor:
        x = torch.empty(shape, dtype=torch.float32, device=device)
        if role.endswith("norm"):
            x.normal_(1.0, SPREAD, generator=generator)
        else:
            x.normal_(0.0, standard_deviation(role, shape), generator=generator)
        return x.to(dtype)

    outer = {role: draw(role, shape) for role, shape in model_shapes(config).items()}
    layers = tuple(
        LayerWeights(**{role: draw(role, shape) for role, shape in layer_shapes(config).items()}).joined()
        for _ in range(config.layers)
    )
    return ModelWeights(
        config=config,
        embedding=outer["embedding"],
        layers=layers,
        output_norm=outer["output_norm"],
        head=outer.get("head", outer["embedding"]),
        origin=f"random, seed {seed}",
    )


def standard_deviation(role: str, shape: tuple[int, ...]) -> float:
    if role.endswith("bias"):
        return BIAS_STD
    return float(GAINS.get(role, 1.0) / shape[-1] ** 0.5)
