"""A model in a Hugging Face folder, `config.json` beside `*.safetensors`: read, and written back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.errors import ModelError
from attnlab.bench.llm.models.assembly import BRANCH_NORM_NAMES, HUGGINGFACE_NAMES, Naming, TensorSource, assemble
from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.expert_files import EXPERT_NAMES, ExpertTensors, written_experts
from attnlab.bench.llm.models.families import FAMILIES, TANH, kind_of
from attnlab.bench.llm.models.folder_config import CONFIG_FILE, LAYER_KINDS, config_from, config_of
from attnlab.bench.llm.models.rope_fields import written
from attnlab.bench.llm.models.rotary import inverse_frequencies
from attnlab.bench.llm.models.safetensors_folder import INDEX_FILE, ONE_FILE, SafetensorsFolder
from attnlab.bench.llm.models.weights import ModelWeights, layer_shapes


def load_folder(folder: Path, dtype: torch.dtype, device: torch.device | str, origin: str, name: str) -> ModelWeights:
    """The model in `folder`; raises ModelError, naming file and tensor, where it cannot be read or is another."""
    config = config_of(folder, name)
    source = SafetensorsFolder(folder)
    derived = frozenset(_derived(config, source))
    read: TensorSource = NormsFromZero(source) if FAMILIES[kind_of(config)].norms_from_zero else source
    if config.experts:
        read = ExpertTensors(source)
    return assemble(config, read, names_of(config), dtype, device, origin, derived)


class NormsFromZero:
    """Tensors of a file that keeps the weights of norms less one, with the one added.

    Source: transformers, `GemmaRMSNorm` and those of Gemma 2 and 3. The sum is in float32 or wider.
    """

    def __init__(self, source: TensorSource) -> None:
        self._source = source
        self.shapes, self.place, self.check = source.shapes, source.place, source.check

    def tensor(self, name: str) -> Tensor:
        stored = self._source.tensor(name)
        return widened(stored) + 1 if name.endswith("norm.weight") else stored


def widened(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def names_of(config: ModelConfig) -> Naming:
    if config.experts:
        return EXPERT_NAMES
    return BRANCH_NORM_NAMES if config.branch_norms else HUGGINGFACE_NAMES


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
    """The weights under Hugging Face's names, the same tensors but for Gemma's norms; a tied head is left out."""
    names, less = names_of(weights.config), FAMILIES[kind_of(weights.config)].norms_from_zero
    state = {names.outer["embedding"]: weights.embedding, names.outer["output_norm"]: weights.output_norm}
    if weights.head is not weights.embedding:
        state[names.outer["head"]] = weights.head
    roles = layer_shapes(weights.config)
    for index, layer in enumerate(weights.layers):
        state |= {names.layer[role].format(index): layer.named(role) for role in roles}
    if weights.config.experts:
        return written_experts(state)
    if not less:
        return state
    return {name: (widened(x) - 1).to(x.dtype) if name.endswith("norm.weight") else x for name, x in state.items()}


def config_json(config: ModelConfig) -> dict[str, Any]:
    """`config.json` of the model; `transformers.AutoConfig.for_model(**config_json(config))` takes it, too.

    Raises ModelError for a model that no family of transformers has.
    """
    kind = kind_of(config)
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
        "hidden_act": TANH if config.activation == "gelu_tanh" else "silu",
        "bos_token_id": config.bos_id,
        "eos_token_id": list(config.eos_ids) or None,
        **_rope_json(config),
        **_window_json(config),
        **_scores_json(config),
        **_experts_json(config),
    }
    read = config_from(Path(config.name), fields, config.name, config.eos_ids)
    compared = [f.name for f in dataclasses.fields(config) if f.compare]
    lost = [f"{name} {getattr(config, name)}" for name in compared if getattr(read, name) != getattr(config, name)]
    if lost:
        raise ModelError(f"model {config.name}: got {', '.join(lost)}, which models of model_type {kind} cannot have")
    return fields


def _rope_json(config: ModelConfig) -> dict[str, Any]:
    """Rotary parameters, for each kind of layer in a family with two bases."""
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": config.rope_theta}
    if config.rope_scaling is not None:
        rope |= written(config.rope_scaling)
    if FAMILIES[kind_of(config)].local_rope_theta is None:
        return {"rope_parameters": rope}
    sliding = {"rope_type": "default", "rope_theta": config.local_rope_theta or config.rope_theta}
    return {"rope_parameters": dict(zip(LAYER_KINDS, (rope, sliding), strict=True))}


def _window_json(config: ModelConfig) -> dict[str, Any]:
    """The window, and in families that have it in some layers, in which."""
    family = FAMILIES[kind_of(config)]
    if family.window is None:
        return {}
    fields: dict[str, Any] = {"sliding_window": config.sliding_window}
    if family.switch:
        fields["use_sliding_window"] = config.sliding_window is not None
    if family.period:
        fields["sliding_window"] = config.sliding_window or family.window
    if family.switch or family.period:
        windows = [config.window_of(layer) is not None for layer in range(config.layers)]
        fields["layer_types"] = [LAYER_KINDS[windowed] for windowed in windows]
    return fields


def _scores_json(config: ModelConfig) -> dict[str, Any]:
    """What only some families say of scores, logits and the gate."""
    takes = FAMILIES[kind_of(config)].takes
    scalar = config.query_scalar or config.head_dim
    fields = {
        "query_pre_attn_scalar": int(scalar) if scalar == int(scalar) else scalar,
        "attn_logit_softcapping": config.score_softcap,
        "final_logit_softcapping": config.logit_softcap,
    }
    said = {key: value for key, value in fields.items() if key in takes}
    return said | {"hidden_activation": TANH} if said else said


def _experts_json(config: ModelConfig) -> dict[str, Any]:
    """What only families with experts say."""
    if not config.experts:
        return {}
    return {
        "num_local_experts": config.experts,
        "num_experts_per_tok": config.experts_per_token,
        "attention_bias": config.qkv_bias and config.output_bias,
    }


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
