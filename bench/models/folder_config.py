"""The configuration in a Hugging Face folder: what changes the result is computed, or refused by name.

Fields, and what a family has where a field is left out, are those of transformers 5.24: `configuration_llama.py`,
`configuration_mistral.py`, `configuration_qwen2.py`, `modeling_rope_utils.py`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnlab.bench.errors import ModelError
from attnlab.bench.models.assembly import tell_unknown
from attnlab.bench.models.config import ModelConfig
from attnlab.bench.models.rope_fields import ORIGINAL, RopeFields, short
from attnlab.bench.models.rope_scaling import RopeScaling

CONFIG_FILE, GENERATION_FILE = "config.json", "generation_config.json"


@dataclass(frozen=True)
class Family:
    """What a `model_type` stands for where its configuration leaves a field out.

    kv_heads: None for as many as query heads. window: None for no window.
    """

    architecture: str
    kv_heads: int | None
    window: int | None
    windowed_from: int | None = None
    """Qwen2's `max_window_layers`: layers from that one on have the window."""


FAMILIES = {
    "llama": Family("LlamaForCausalLM", kv_heads=None, window=None),
    "mistral": Family("MistralForCausalLM", kv_heads=8, window=4096),
    "qwen2": Family("Qwen2ForCausalLM", kv_heads=32, window=4096, windowed_from=28),
}
"""By `model_type`."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "quantization_config": (None,),
    "attn_logit_softcapping": (None, 0),
    "final_logit_softcapping": (None, 0),
    "logit_scale": (None, 1),
    "logits_scaling": (None, 1),
    "embedding_multiplier": (None, 1),
    "residual_multiplier": (None, 1),
    "attention_multiplier": (None,),
    "query_pre_attn_scalar": (None,),
    "use_qk_norm": (False, None),
    "partial_rotary_factor": (1, None),
    "num_local_experts": (None, 0),
    "is_encoder_decoder": (False, None),
    "add_cross_attention": (False, None),
}
"""Fields that change what is computed, with the values at which they do not; others are refused."""

COMPUTED = frozenset({
    "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "rope_theta", "rope_scaling", "rope_parameters", "rms_norm_eps",
    "max_position_embeddings", "original_max_position_embeddings", "tie_word_embeddings", "sliding_window",
    "use_sliding_window", "max_window_layers", "layer_types", "bos_token_id", "eos_token_id",
})  # fmt: skip
SILENT = frozenset({
    "architectures", "attention_dropout", "initializer_range", "use_cache", "pad_token_id", "pretraining_tp", "dtype",
    "torch_dtype",
    "transformers_version", "_name_or_path", "name_or_path", "_attn_implementation", "_attn_implementation_autoset",
    "use_mrope", "unk_token_id", "return_dict", "output_attentions", "output_hidden_states", "chunk_size_feed_forward",
    "id2label", "label2id", "problem_type", "is_llama_config", "rope_interleaved", "transformers.js_config",
})  # fmt: skip
"""Fields that do not change what is computed."""

MOST = 2**40
"""Above it a count is no count, and would not fit torch's indices."""


def read_json(path: Path) -> dict[str, Any]:
    """An object; raises ModelError where `path` holds anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(f"{path.parent} has no {path.name}; expected a Hugging Face folder or a .gguf file") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except RecursionError:
        raise ModelError(f"{path} is nested too deep to be read; expected an object of settings") from None
    except (UnicodeDecodeError, ValueError) as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: got a {type(content).__name__}, expected an object")
    return content


def optional_json(path: Path) -> dict[str, Any]:
    """As `read_json`; nothing where there is no such file."""
    return read_json(path) if path.is_file() else {}


def config_of(folder: Path, name: str) -> ModelConfig:
    """The configuration in `config.json`; raises ModelError for what the decoder here does not compute."""
    path = folder / CONFIG_FILE
    fields = Fields(path, read_json(path))
    kind, family = fields.family()
    fields.refuse_what_is_not_computed()
    q_heads = fields.whole("num_attention_heads")
    rope = fields.rope()
    head_dim = fields.whole("head_dim", fields.whole("hidden_size") // max(1, q_heads))
    return ModelConfig(
        name=name,
        vocab_size=fields.whole("vocab_size"),
        hidden_size=fields.whole("hidden_size"),
        intermediate_size=fields.whole("intermediate_size"),
        layers=fields.whole("num_hidden_layers"),
        q_heads=q_heads,
        kv_heads=fields.kv_heads(family, q_heads),
        head_dim=head_dim,
        rope_theta=fields.real("rope_theta", 10_000.0, rope),
        norm_eps=fields.real("rms_norm_eps", 1e-6),
        context_length=fields.whole("max_position_embeddings"),
        tied_embeddings=fields.flag("tie_word_embeddings"),
        rope_scaling=fields.rope_scaling(rope, head_dim),
        sliding_window=fields.window(family),
        qkv_bias=kind == "qwen2",
        bos_id=fields.token("bos_token_id"),
        eos_ids=end_ids(folder, fields.values),
        source=str(path),
    )


@dataclass(frozen=True)
class Fields:
    """The fields of a `config.json`; each method raises ModelError, naming file and field."""

    path: Path
    values: dict[str, Any]

    def family(self) -> tuple[str, Family]:
        kind = self.values.get("model_type")
        if not isinstance(kind, str) or kind not in FAMILIES:
            raise ModelError(f"{self.path}: got model_type {kind!r}, expected one of {', '.join(FAMILIES)}")
        return kind, FAMILIES[kind]

    def whole(self, key: str, default: int | None = None) -> int:
        value = default if self.values.get(key) is None else self.values[key]
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST:
            raise ModelError(f"{self.path}: got {short(value)} for {key}, expected a whole number")
        return value

    def real(self, key: str, default: float, among: dict[str, Any] | None = None) -> float:
        """A field that is left out has its default; null is no number."""
        value = (self.values if among is None else among).get(key, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < math.inf:
            raise ModelError(f"{self.path}: got {short(value)} for {key}, expected a number above 0")
        if value > 1e30:
            raise ModelError(f"{self.path}: got {short(value)} for {key}, expected at most 1e30")
        return float(value)

    def flag(self, key: str) -> bool:
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise ModelError(f"{self.path}: got {short(value)} for {key}, expected true or false")
        return bool(value)

    def token(self, key: str) -> int | None:
        value = self.values.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise ModelError(f"{self.path}: got {short(value)} for {key}, expected a token's id")
        return value

    def kv_heads(self, family: Family, q_heads: int) -> int:
        """Left out it is the family's own number; null is one for each query head."""
        default = family.kv_heads if "num_key_value_heads" not in self.values else None
        return self.whole("num_key_value_heads", q_heads if default is None else default)

    def refuse_what_is_not_computed(self) -> None:
        for key, neutral in NEUTRAL.items():
            value = self.values.get(key, neutral[0])
            if value not in neutral:
                raise ModelError(f"{self.path}: got {key} {short(value)}, expected {_words(neutral)}")
        tell_unknown(str(self.path), [key for key in self.values if key not in {*NEUTRAL, *COMPUTED, *SILENT}])

    def rope(self) -> dict[str, Any]:
        """All of rotary embedding: under `rope_parameters`, or beside each other in older files."""
        given: list[dict[str, Any]] = []
        for key in ("rope_scaling", "rope_parameters"):
            value = self.values.get(key)
            if value is not None and not isinstance(value, dict):
                raise ModelError(f"{self.path}: got {key} {short(value)}, expected an object or null")
            given += [value] if value else []
        if len(given) == 2 and given[0] != given[1]:
            raise ModelError(f"{self.path}: got rope_scaling and rope_parameters that differ; expected one of them")
        found = {"rope_theta": self.values["rope_theta"]} if "rope_theta" in self.values else {}
        found |= given[0] if given else {}
        nested = next((key for key, value in found.items() if isinstance(value, dict)), None)
        if nested is not None:
            raise ModelError(
                f"{self.path}: got rotary parameters for {nested!r} alone, expected the same in all layers"
            )
        if found.get("partial_rotary_factor", 1) not in (1, None):
            raise ModelError(f"{self.path}: got partial_rotary_factor {found['partial_rotary_factor']!r}, expected 1")
        return found

    def rope_scaling(self, rope: dict[str, Any], head_dim: int) -> RopeScaling | None:
        context = self.whole("max_position_embeddings")
        theta = self.real("rope_theta", 10_000.0, rope)
        return RopeFields(str(self.path), rope, context, head_dim, theta, self.values.get(ORIGINAL)).scaling()

    def window(self, family: Family) -> int | None:
        """Keys that a query sees, where all layers have that window; raises ModelError where only some have."""
        window = self.values.get("sliding_window", family.window) if family.window is not None else None
        if family.windowed_from is not None and not self.flag("use_sliding_window"):
            window = None
        if window is not None:
            window = self.whole("sliding_window", family.window)
        layers = self.whole("num_hidden_layers")
        kinds = self.values.get("layer_types")
        if kinds is None:
            first = 0 if family.windowed_from is None else self.whole("max_window_layers", family.windowed_from)
            windowed = max(0, layers - first) if window is not None else 0
        elif isinstance(kinds, list) and all(kind in ("full_attention", "sliding_attention") for kind in kinds):
            windowed, layers = kinds.count("sliding_attention"), len(kinds)
        else:
            raise ModelError(
                f"{self.path}: got layer_types {short(kinds)}, expected a list of full_attention or sliding_attention"
            )
        if 0 < windowed < layers:
            raise ModelError(f"{self.path}: got a sliding window in some layers, expected it in all or none")
        if windowed and window is None:
            raise ModelError(f"{self.path}: got layers of sliding_attention without a sliding_window")
        return window if windowed else None


def end_ids(folder: Path, fields: dict[str, Any]) -> tuple[int, ...]:
    """Ids that end an answer; the generation's own where a file gives them."""
    path = folder / GENERATION_FILE
    ids = optional_json(path).get("eos_token_id", fields.get("eos_token_id"))
    found = ids if isinstance(ids, list) else [] if ids is None else [ids]
    if not all(isinstance(index, int) and not isinstance(index, bool) for index in found):
        raise ModelError(f"{folder}: got eos_token_id {short(ids)}, expected a token's id, or a list of them")
    return tuple(found)


def _words(values: tuple[Any, ...]) -> str:
    return " or ".join("none" if value is None else repr(value) for value in values)
