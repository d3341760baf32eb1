"""The model of transformers around our tensors, for all that ask it for something."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from attnlab.bench import ModelConfig, ModelWeights
from attnlab.bench.llm import config_json, kind_of, state_dict


def attention_of(config: ModelConfig) -> str:
    """SDPA, or the eager formula where scores have a soft cap or sinks, which SDPA has not."""
    return "eager" if kind_of(config) in ("gemma2", "gpt_oss") else "sdpa"


def model_of(weights: ModelWeights) -> Any:
    """The model of transformers that holds our tensors themselves, but for Gemma's norms, which it keeps less one."""
    transformers = importlib.import_module("transformers")
    ending = {"bos_token_id": None, "eos_token_id": None}  # no token ends an answer
    config = transformers.AutoConfig.for_model(**config_json(weights.config) | ending)
    attention = attention_of(weights.config)
    with torch.device("meta"):
        automatic = transformers.AutoModelForCausalLM
        model = automatic.from_config(config, dtype=weights.dtype, attn_implementation=attention)
    model.load_state_dict(state_dict(weights) | {"lm_head.weight": weights.head}, assign=True)
    rotary = model.model.rotary_emb  # what is no weight was not computed on the meta device
    with weights.device:
        model.model.rotary_emb = type(rotary)(config)
        if weights.config.scaled_embedding:
            model.model.embed_tokens.embed_scale = torch.tensor(weights.config.hidden_size**0.5)
    return model.eval().requires_grad_(False)
