"""Writes GGUF files of toy models, as llama.cpp's converter does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.bench.llm.models.assembly import GGUF_NAMES
from attnlab.bench.llm.models.config import PUBLISHED, ModelConfig
from attnlab.bench.llm.models.families import kind_of
from attnlab.bench.llm.models.weights import ModelWeights, layer_shapes, model_shapes

gguf = pytest.importorskip("gguf", reason="package gguf is not installed")

TOY = dataclasses.replace(PUBLISHED["toy"], layers=2)
FIELDS = {
    "context_length": TOY.context_length,
    "embedding_length": TOY.hidden_size,
    "feed_forward_length": TOY.intermediate_size,
    "block_count": TOY.layers,
    "attention.head_count": TOY.q_heads,
    "attention.head_count_kv": TOY.kv_heads,
    "rope.freq_base": TOY.rope_theta,
    "attention.layer_norm_rms_epsilon": TOY.norm_eps,
}


def interleaved(weight: Tensor, heads: int) -> Tensor:
    """`[heads * D, in]` in the order in which GGUF keeps queries and keys: rows that turn together in pairs."""
    return weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def architecture_of(config: ModelConfig) -> str:
    """What llama.cpp's converter calls such a model."""
    kind = kind_of(config)
    return {"mistral": "llama", "gemma3_text": "gemma3"}.get(kind, kind)


def fields_of(config: ModelConfig) -> dict[str, Any]:
    """What llama.cpp's converter writes of a model without rope scaling."""
    fields = {
        "context_length": config.context_length,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "block_count": config.layers,
        "attention.head_count": config.q_heads,
        "attention.head_count_kv": config.kv_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "rope.freq_base": config.rope_theta,
        "attention.layer_norm_rms_epsilon": config.norm_eps,
    }
    if config.sliding_window is not None:
        fields["attention.sliding_window"] = config.sliding_window
        fields["attention.sliding_window_pattern"] = [
            config.window_of(layer) is not None for layer in range(config.layers)
        ]
    if config.local_rope_theta is not None:
        fields["rope.freq_base_swa"] = config.local_rope_theta
    for key, cap in (
        ("attn_logit_softcapping", config.score_softcap),
        ("final_logit_softcapping", config.logit_softcap),
    ):
        if cap is not None:
            fields[key] = cap
    return fields


def stored(weights: ModelWeights) -> dict[str, Tensor]:
    """The tensors under GGUF's names, in its order."""
    config = weights.config
    heads_of = {"query": config.q_heads, "key": config.kv_heads} if architecture_of(config) == "llama" else {}
    tensors = {GGUF_NAMES.outer[role]: getattr(weights, role) for role in model_shapes(config)}
    for index, layer in enumerate(weights.layers):
        for role in layer_shapes(config):
            heads = heads_of.get(role)
            x = getattr(layer, role)
            tensors[GGUF_NAMES.layer[role].format(index)] = x if heads is None else interleaved(x, heads)
    return tensors


def write(
    path: Path,
    tensors: Mapping[str, Tensor],
    quantisation: str = "F32",
    architecture: str = "llama",
    fields: Mapping[str, Any] = FIELDS,
    tensors_a_shard: int = 0,
) -> Path:
    """Shards, where a number of tensors is given, have names such as `m-00001-of-00003.gguf` for `m.gguf`."""
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=tensors_a_shard)
    for key, value in fields.items():
        adds = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string, list: writer.add_array}
        add: Any = adds[type(value)]
        add(f"{architecture}.{key}", value)
    writer.add_eos_token_id(2)
    writer.add_bos_token_id(1)
    writer.add_token_list(["<a>", "b" * 300])
    kind = gguf.GGMLQuantizationType[quantisation]
    for name, x in tensors.items():
        if x.ndim == 1 or quantisation == "F32":
            writer.add_tensor(name, x.numpy())
        else:
            writer.add_tensor(name, gguf.quantize(x.numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_model(path: Path, weights: ModelWeights) -> Path:
    """A whole model in float32."""
    wide = weights.to("cpu", torch.float32)
    return write(path, stored(wide), architecture=architecture_of(weights.config), fields=fields_of(weights.config))
