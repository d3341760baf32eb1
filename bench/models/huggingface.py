"""A model in a Hugging Face folder, `config.json` beside `*.safetensors`: read, and written back."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.errors import ModelError
from attnlab.bench.models.assembly import HUGGINGFACE_NAMES, assemble
from attnlab.bench.models.config import ModelConfig, RopeScaling
from attnlab.bench.models.weights import ModelWeights, layer_shapes

CONFIG_FILE, GENERATION_FILE = "config.json", "generation_config.json"
ONE_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
ARCHITECTURES = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM"}
"""By `model_type`."""

LLAMA_3_FIELDS = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
"""In the order of `RopeScaling`."""


class SafetensorsFolder:
    """The tensors of one safetensors file, or of several with an index."""

    def __init__(self, folder: Path) -> None:
        from safetensors import SafetensorError, safe_open

        self.folder = folder
        self._files: dict[str, Any] = {}
        self._file_of: dict[str, str] = {}
        for file_name in self._listed():
            path = folder / file_name
            try:
                opened: Any = safe_open(path, framework="pt", device="cpu")
            except FileNotFoundError:
                raise ModelError(f"{folder / INDEX_FILE} names {file_name}, which is not in the folder") from None
            except SafetensorError as error:
                raise ModelError(f"{path} is cut short or no safetensors file: {error}; fetch it again") from error
            self._files[file_name] = opened
            self._file_of |= dict.fromkeys(opened.keys(), file_name)

    def _listed(self) -> list[str]:
        """Names of the files that hold tensors."""
        index = self.folder / INDEX_FILE
        if index.is_file():
            places = read_json(index).get("weight_map")
            if not isinstance(places, dict):
                raise ModelError(f"{index}: got weight_map {places!r}, expected tensors' names and files")
            return sorted({str(file_name) for file_name in places.values()})
        if (self.folder / ONE_FILE).is_file():
            return [ONE_FILE]
        raise ModelError(f"{self.folder} has neither {ONE_FILE} nor {INDEX_FILE}; expected a model's weights there")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(self._slice(name).get_shape()) for name in self._file_of}

    def place(self, name: str) -> str:
        return str(self.folder / self._file_of[name]) if name in self._file_of else str(self.folder)

    def check(self, name: str) -> None:
        kind = self._slice(name).get_dtype()
        if kind not in ("F64", "F32", "F16", "BF16"):
            raise ModelError(f"{self.place(name)}: tensor {name} is of {kind}, expected F32, F16 or BF16")

    def tensor(self, name: str) -> Tensor:
        tensor: Tensor = self._files[self._file_of[name]].get_tensor(name)
        return tensor

    def _slice(self, name: str) -> Any:
        return self._files[self._file_of[name]].get_slice(name)


def load_folder(folder: Path, dtype: torch.dtype, device: torch.device | str, origin: str, name: str) -> ModelWeights:
    """The model in `folder`; raises ModelError, naming file and tensor, where it cannot be read or is another.

    A head that the folder holds although it is tied is not read.
    """
    config = config_of(folder, name)
    return assemble(config, SafetensorsFolder(folder), HUGGINGFACE_NAMES, dtype, device, origin)


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path.parent} has no {path.name}; expected a Hugging Face folder or a .gguf file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: got a {type(content).__name__}, expected an object")
    return content


def config_of(folder: Path, name: str) -> ModelConfig:
    """The configuration in `config.json`; raises ModelError for what the decoder here does not compute."""
    path = folder / CONFIG_FILE
    fields = read_json(path)
    kind = fields.get("model_type")
    if kind not in ARCHITECTURES:
        raise ModelError(f"{path}: got model_type {kind!r}, expected one of {', '.join(ARCHITECTURES)}")

    def number(key: str, default: int | None = None) -> int:
        value = default if fields.get(key) is None else fields[key]
        if not isinstance(value, int):
            raise ModelError(f"{path}: got {value!r} for {key}, expected a whole number")
        return value

    refuse_what_is_not_computed(path, fields)
    q_heads = number("num_attention_heads")
    rope = rope_fields(fields)
    return ModelConfig(
        name=name,
        vocab_size=number("vocab_size"),
        hidden_size=number("hidden_size"),
        intermediate_size=number("intermediate_size"),
        layers=number("num_hidden_layers"),
        q_heads=q_heads,
        kv_heads=number("num_key_value_heads", q_heads),
        head_dim=number("head_dim", number("hidden_size") // max(1, q_heads)),
        rope_theta=float(rope.get("rope_theta", 10_000.0)),
        norm_eps=float(fields.get("rms_norm_eps", 1e-6)),
        context_length=number("max_position_embeddings"),
        tied_embeddings=bool(fields.get("tie_word_embeddings", False)),
        rope_scaling=rope_scaling(path, rope),
        sliding_window=sliding_window(path, fields),
        qkv_bias=kind == "qwen2",
        bos_id=fields.get("bos_token_id"),
        eos_ids=end_ids(folder, fields),
        source=str(path),
    )


def refuse_what_is_not_computed(path: Path, fields: dict[str, Any]) -> None:
    activation = fields.get("hidden_act", "silu")
    if activation != "silu":
        raise ModelError(f"{path}: got hidden_act {activation!r}, expected 'silu'")
    for key in ("attention_bias", "mlp_bias", "quantization_config"):
        if fields.get(key):
            raise ModelError(f"{path}: got {key} {fields[key]!r}, expected none")


def rope_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """All of rotary embedding: under `rope_parameters`, or beside each other in older files."""
    older = {"rope_theta": fields["rope_theta"]} if "rope_theta" in fields else {}
    return older | (fields.get("rope_scaling") or {}) | (fields.get("rope_parameters") or {})


def rope_scaling(path: Path, rope: dict[str, Any]) -> RopeScaling | None:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    if kind != "llama3":
        raise ModelError(f"{path}: got rope_type {kind!r}, expected 'default' or 'llama3'")
    missing = [key for key in LLAMA_3_FIELDS if not isinstance(rope.get(key), (int, float))]
    if missing:
        raise ModelError(f"{path}: rope_type 'llama3' lacks a number for {' and '.join(missing)}")
    factor, low, high, original_context = (rope[key] for key in LLAMA_3_FIELDS)
    return RopeScaling(float(factor), float(low), float(high), int(original_context))


def sliding_window(path: Path, fields: dict[str, Any]) -> int | None:
    """Mistral's window; Qwen2's where it is switched on, which must then be so in all layers."""
    window = fields.get("sliding_window")
    if fields["model_type"] == "llama" or window is None:
        return None
    if fields["model_type"] == "qwen2":
        if not fields.get("use_sliding_window"):
            return None
        if fields.get("max_window_layers", 0) > 0:
            raise ModelError(f"{path}: got a sliding window in some layers, expected it in all or none")
    return int(window)


def end_ids(folder: Path, fields: dict[str, Any]) -> tuple[int, ...]:
    """Ids that end an answer; the generation's own where a file gives them."""
    path = folder / GENERATION_FILE
    ids = (read_json(path) if path.is_file() else {}).get("eos_token_id", fields.get("eos_token_id"))
    return tuple(ids) if isinstance(ids, list) else (() if ids is None else (int(ids),))


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
        "architectures": [ARCHITECTURES[kind]],
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
        scaling = dict(zip(LLAMA_3_FIELDS, astuple(config.rope_scaling), strict=True))
        fields["rope_parameters"] |= {"rope_type": "llama3"} | scaling
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
