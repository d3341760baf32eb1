"""Random weights of a configuration: seeded, finite through all layers, and with logits that choose."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.weights import LayerWeights, ModelWeights, layer_shapes, model_shapes

LOGIT_STD = 3.0
"""Of the logits: some tens of tokens share the probability, as in a trained model's answers."""

SCORE_STD = 1.5
"""Of the attention scores: a query prefers some of its keys, and the context shows in what is generated. Much sharper
attention makes rounding grow from layer to layer: at 3, bfloat16 moves 56 % of the tokens of 30 layers off the argmax,
at 1.5, 12 %."""

BRANCH_GAIN = 3.0
"""Of what attention and MLP add, beside the embedding, which would have a tied head repeat the last token."""

SCALED_BRANCH_GAIN = 36.0
"""The same beside an embedding that is scaled, whose channels have a standard deviation of 3 and not of 3/√H."""

SPREAD = 0.1
"""Of norm weights around one, so that a norm without its weight is seen."""

SINK_STD = 2.0
"""Of sinks: some heads hardly have one, others look away."""

BIAS_STD = 0.2
"""Seen in the logits, and too little to have every query pick the same keys."""


def random_weights(config: ModelConfig, dtype: torch.dtype, device: torch.device | str, seed: int = 0) -> ModelWeights:
    """Weights drawn on `device`; the same for a seed, up to rounding, in every dtype.

    Normed activations have unit variance, and projections keep it, so that the residual stream grows with the
    root of the layers.
    """
    generator, gains = torch.Generator(device).manual_seed(seed), gains_of(config)

    def draw(role: str, shape: tuple[int, ...]) -> Tensor:
        x = torch.empty(shape, dtype=torch.float32, device=device)
        gain = gains.get(role, 1.0)
        if role.endswith("norm"):
            x.normal_(1.0, SPREAD, generator=generator).mul_(gain)
        else:
            x.normal_(0.0, BIAS_STD if role.endswith("bias") else gain / shape[-1] ** 0.5, generator=generator)
        return x.to(dtype)

    outer = {role: draw(role, shape) for role, shape in model_shapes(config).items()}
    layers = tuple(
        LayerWeights.of({role: draw(role, shape) for role, shape in layer_shapes(config).items()}).joined()
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


def gains_of(config: ModelConfig) -> dict[str, float]:
    """By role, what its output is larger by than its input; a norm behind a projection has the projection's."""
    score = SCORE_STD * ((config.query_scalar or config.head_dim) / config.head_dim) ** 0.5
    branch = SCALED_BRANCH_GAIN if config.scaled_embedding else BRANCH_GAIN
    branches = (
        ("attention_branch_norm", "mlp_branch_norm")
        if config.branch_norms
        else ("output", "expert_down" if config.experts else "down")
    )
    return {
        "embedding": LOGIT_STD,
        "head": LOGIT_STD,
        "sinks": SINK_STD * config.q_heads**0.5,
        "query_norm" if config.qk_norm else "query": score,
        **dict.fromkeys(branches, branch),
    }
