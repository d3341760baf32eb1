"""A model in a Hugging Face folder, `config.json` beside `*.safetensors`: read, and written back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.errors import ModelError
from attnlab.bench.models.assembly import HUGGINGFACE_NAMES, assemble
from attnlab.bench.models.config import ModelConfig
from attnlab.bench.models.folder_config import CONFIG_FILE, FAMILIES, config_of
from attnlab.bench.models.rope_fields import written
from attnlab.bench.models.rotary import inverse_frequencies
from attnlab.bench.models.safetensors_folder import INDEX_FILE, ONE_FILE, SafetensorsFolder
from attnlab.bench.models.weights import ModelWeights, layer_shapes


def load_folder(folder: Path, dtype: torch.dtype, device: torch.device | str, origin: str, name: str) -> ModelWeights:
    """The model in `folder`; raises ModelError, naming file and tensor, where it cannot be read or is another."""
    config = config_of(folder, name)
    source = SafetensorsFolder(folder)
    derived = frozenset(_derived(config, source))
    return assemble(config, source, HUGGINGFACE_NAMES, dtype, device, origin, derived)


def _derived(config: ModelConfig, source: SafetensorsFolder) -> Iterator[str]:
    """Tensors that follow from others or from the configuration; raises ModelError where they do not.

    A tied head that is stored again, and the rotary frequencies that old releases of transformers wrote.
    """
    shapes = source.shapes()
    head, embedding = (HUGGINGFACE_NAMES.outer[role] for role in ("head", "embedding"))
    if config.tied_embeddings and head in shapes and embedding in shapes:
        source.check(head)
        if not torch.equal(source.tensor(head), source.tensor(embedding)):
            raise ModelError(
                f"{source.place(head)}: tie_word_embeddings is true, and {head} is not the embedding; expected one head"
            )
        yield head
    for name in shapes:
        if name.endswith(".rotary_emb.inv_freq"):
            source.check(name)
            expected = inverse_frequencies(config.settled(1, 1))  # as transformers makes them first
            stored = source.tensor(name).double()
            if stored.shape != expected.shape or not torch.allclose(stored, expected, rtol=1e-2):
                raise ModelError(f"{source.place(name)}: tensor {name} holds other frequencies than the configuration")
            yield name


def state_dict(weights: ModelWeights) -> dict[str, Tensor]:
    """The weights under Hugging Face's names, the same tensors; a tied head is left out."""
    names = HUGGINGFACE_NAMES
    state = {names.outer["embedding"]: weights.embedding, names.outer["output_norm"]: weights.output_norm}
    if weights.head is not weights.embedding:
        state[names.outer["head"]] = weights.head
    roles = layer_shapes(weights.config)
    for index, layer in enumerate(weights.layers):
        state |= {names.layer[role].format(index): getattr(layer, role) for role in roles}
    return state


def config_json(config: ModelConfig) -> dict[str, Any]:
    """`config.json` of the model; `transformers.AutoConfig.for_model(**config_json(config))` takes it, too."""
    kind = "qwen2" if config.qkv_bias else "mistral" if config.sliding_window else "llama"
    fields: dict[str, Any] = {
        "model_type": kind,
        "architectures": [FAMILIES[kind].architecture],
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.q_heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "rms_norm_eps": config.norm_eps,
        "max_position_embeddings": config.context_length,
        "tie_word_embeddings": config.tied_embeddings,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "hidden_act": "silu",
        "bos_token_id": config.bos_id,
        "eos_token_id": list(config.eos_ids) or None,
    }
    if config.rope_scaling is not None:
        fields["rope_parameters"] |= written(config.rope_scaling)
    if config.sliding_window is not None:
        fields["sliding_window"] = config.sliding_window
    return fields


def save_folder(weights: ModelWeights, folder: Path, files: int = 1) -> None:
    """Writes `config.json` and the weights, in so many safetensors files, for `load_folder` and others."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(json.dumps(config_json(weights.config), indent=2), encoding="utf-8")
    state = {name: tensor.contiguous() for name, tensor in state_dict(weights).items()}
    if files == 1:
        save_file(state, folder / ONE_FILE, metadata={"format": "pt"})
        return
    places = {name: f"model-{1 + i % files:05d}-of-{files:05d}.safetensors" for i, name in enumerate(state)}
    for file_name in set(places.values()):
        part = {name: tensor for name, tensor in state.items() if places[name] == file_name}
        save_file(part, folder / file_name, metadata={"format": "pt"})
    index = {"metadata": {"total_size": weights.nbytes}, "weight_map": places}
    (folder / INDEX_FILE).write_text(json.dumps(index, indent=2), encoding="utf-8")
