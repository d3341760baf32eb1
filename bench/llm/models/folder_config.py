"""The configuration in a Hugging Face folder: what changes the result is computed, or refused by name.

Fields are those of transformers 5.24, `configuration_*.py` and `modeling_rope_utils.py`; what a family has where a
field is left out stands in `families`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnlab.bench.errors import ModelError
from attnlab.bench.llm.models.assembly import tell_unknown
from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.families import FAMILIES, MOST_LAYERS, ModelFamily
from attnlab.bench.llm.models.quantised_files import QUANTISED_FIELDS, REMEDY, told
from attnlab.bench.llm.models.rope_fields import ORIGINAL, RopeFields, short
from attnlab.bench.llm.models.rope_scaling import RopeScaling

CONFIG_FILE, GENERATION_FILE, ADAPTER_FILE = "config.json", "generation_config.json", "adapter_config.json"


NEUTRAL: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "attn_logit_softcapping": (None, 0),
    "final_logit_softcapping": (None, 0),
    "logit_scale": (None, 1),
    "logits_scaling": (None, 1),
    "embedding_multiplier": (None, 1),
    "residual_multiplier": (None, 1),
    "attention_multiplier": (None,),
    "query_pre_attn_scalar": (None,),
    "use_qk_norm": (False, None),
    "use_bidirectional_attention": (False, None),
    "hidden_activation": (None,),
    "sliding_window_pattern": (None,),
    "rope_local_base_freq": (None,),
    "partial_rotary_factor": (1, None),
    "num_local_experts": (None, 0),
    "is_encoder_decoder": (False, None),
    "add_cross_attention": (False, None),
}
"""Fields that change what is computed, with the values at which they do not; others are refused.

Families add theirs."""

COMPUTED = frozenset(
    {
        "model_type",
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "rope_theta",
        "rope_scaling",
        "rope_parameters",
        "rms_norm_eps",
        "max_position_embeddings",
        "original_max_position_embeddings",
        "tie_word_embeddings",
        "sliding_window",
        "use_sliding_window",
        "max_window_layers",
        "layer_types",
        "bos_token_id",
        "eos_token_id",
    }
)
SILENT = frozenset(
    {
        "architectures",
        "attention_dropout",
        "initializer_range",
        "use_cache",
        "pad_token_id",
        "pretraining_tp",
        "dtype",
        "torch_dtype",
        "transformers_version",
        "_name_or_path",
        "name_or_path",
        "_attn_implementation",
        "_attn_implementation_autoset",
        "use_mrope",
        "unk_token_id",
        "return_dict",
        "output_attentions",
        "output_hidden_states",
        "chunk_size_feed_forward",
        "id2label",
        "label2id",
        "problem_type",
        "is_llama_config",
        "rope_interleaved",
        "transformers.js_config",
        "cache_implementation",
        "_sliding_window_pattern",
        "router_aux_loss_coef",
        "output_router_logits",
    }
)
"""Fields that do not change what is computed."""

LAYER_KINDS = ("full_attention", "sliding_attention")
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
    path, adapter = folder / CONFIG_FILE, folder / ADAPTER_FILE
    if adapter.is_file():
        raise ModelError(
            f"{adapter}: got an adapter, which changes the weights and is not computed here; merge it first"
        )
    values = read_json(path)
    return config_from(path, values, name, end_ids(folder, values))


def config_from(path: Path, values: dict[str, Any], name: str, end: tuple[int, ...]) -> ModelConfig:
    """The configuration of so many fields; `path` is what an error names. end: ids that end an answer."""
    fields = FolderFields(path, values)
    family = fields.family()
    fields.refuse_what_is_not_computed(family)
    q_heads = fields.whole("num_attention_heads")
    head_dim = fields.whole("head_dim", family.head_dim or fields.whole("hidden_size") // max(1, q_heads))
    window, windowed = fields.windows(family)
    rope, local = fields.rope(family)
    theta = fields.real("rope_theta", family.rope_theta, rope)
    scaling = fields.rope_scaling(rope, head_dim, theta)
    experts, per_token = fields.experts(family)
    scalar = fields.real("query_pre_attn_scalar", family.query_scalar or head_dim)
    return ModelConfig(
        name=name,
        vocab_size=fields.whole("vocab_size"),
        hidden_size=fields.whole("hidden_size"),
        intermediate_size=fields.whole("intermediate_size"),
        layers=fields.whole("num_hidden_layers"),
        q_heads=q_heads,
        kv_heads=fields.kv_heads(family, q_heads),
        head_dim=head_dim,
        rope_theta=theta,
        norm_eps=fields.real("rms_norm_eps", 1e-6),
        context_length=fields.whole("max_position_embeddings"),
        tied_embeddings=fields.flag("tie_word_embeddings", family.tied),
        rope_scaling=scaling,
        sliding_window=window,
        windowed=windowed,
        local_rope_theta=None if window is None or (local == theta and scaling is None) else local,
        query_scalar=None if scalar == head_dim else scalar,
        score_softcap=fields.cap("attn_logit_softcapping", family.score_softcap, family),
        logit_softcap=fields.cap("final_logit_softcapping", family.logit_softcap, family),
        experts=experts,
        experts_per_token=per_token,
        bos_id=fields.token("bos_token_id"),
        eos_ids=end,
        source=str(path),
        **family.features,
    )


@dataclass(frozen=True)
class FolderFields:
    """The fields of a `config.json`; each method raises ModelError, naming file and field."""

    path: Path
    values: dict[str, Any]

    def family(self) -> ModelFamily:
        kind = self.values.get("model_type")
        if not isinstance(kind, str) or kind not in FAMILIES:
            raise ModelError(f"{self.path}: got model_type {short(kind)}, expected one of {', '.join(FAMILIES)}")
        return FAMILIES[kind]

    def whole(self, key: str, default: int | None = None) -> int:
        value = default if self.values.get(key) is None else self.values[key]
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST:
            raise ModelError(f"{self.path}: got {short(value)} for {key}, expected a whole number")
        return value

    def real(self, key: str, default: float | None, among: dict[str, Any] | None = None) -> float:
        """A field that is left out has its default; null is no number."""
        value = (self.values if among is None else among).get(key, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < math.inf:
            raise ModelError(f"{self.path}: got {short(value)} for {key}, expected a number above 0")
        if value > 1e30:
            raise ModelError(f"{self.path}: got {short(value)} for {key}, expected at most 1e30")
        return float(value)

    def cap(self, key: str, default: float | None, family: ModelFamily) -> float | None:
        """A soft cap; null is none."""
        return None if key not in family.takes or self.values.get(key, default) is None else self.real(key, default)

    def experts(self, family: ModelFamily) -> tuple[int, int]:
        """How many there are, and how many a token takes."""
        if "num_local_experts" not in family.takes:
            return 0, 0
        many, some = family.experts
        return self.whole("num_local_experts", many), self.whole("num_experts_per_tok", some)

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise ModelError(f"{self.path}: got {short(value)} for {key}, expected true or false")
        return default if value is None else value

    def token(self, key: str) -> int | None:
        value = self.values.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise ModelError(f"{self.path}: got {short(value)} for {key}, expected a token's id")
        return value

    def kv_heads(self, family: ModelFamily, q_heads: int) -> int:
        """Left out it is the family's own number; null is one for each query head."""
        default = family.kv_heads if "num_key_value_heads" not in self.values else None
        return self.whole("num_key_value_heads", q_heads if default is None else default)

    def refuse_what_is_not_computed(self, family: ModelFamily) -> None:
        for key in QUANTISED_FIELDS:
            if self.values.get(key) is not None:
                raise ModelError(
                    f"{self.path}: got {key}, {told(self.values[key])}; expected weights that are stored as numbers: "
                    f"{REMEDY}"
                )
        known = {key: values for key, values in NEUTRAL.items() if key not in family.takes} | dict(family.neutral)
        for key, neutral in known.items():
            value = self.values.get(key, neutral[0])
            if value not in neutral:
                raise ModelError(f"{self.path}: got {key} {short(value)}, expected {_words(neutral)}")
        read = {*known, *family.takes, *COMPUTED, *SILENT, *QUANTISED_FIELDS}
        tell_unknown(str(self.path), [key for key in self.values if key not in read])

    def rope(self, family: ModelFamily) -> tuple[dict[str, Any], float | None]:
        """All of rotary embedding: under `rope_parameters`, or beside each other in older files.

        And the base in layers with a window, where the family has another one there.
        """
        given: list[dict[str, Any]] = []
        for key in ("rope_scaling", "rope_parameters"):
            value = self.values.get(key)
            if value is not None and not isinstance(value, dict):
                raise ModelError(f"{self.path}: got {key} {short(value)}, expected an object or null")
            given += [value] if value else []
        if len(given) == 2 and given[0] != given[1]:
            raise ModelError(f"{self.path}: got rope_scaling and rope_parameters that differ; expected one of them")
        if family.needs_rope and not given:
            raise ModelError(f"{self.path}: got no rope_scaling and no rope_parameters; expected one of them")
        local = None
        if family.local_rope_theta is not None:
            given, local = self.rope_by_layer(family, given)
        found = {"rope_theta": self.values["rope_theta"]} if "rope_theta" in self.values else {}
        found |= given[0] if given else {}
        nested = next((key for key, value in found.items() if isinstance(value, dict)), None)
        if nested is not None:
            raise ModelError(
                f"{self.path}: got rotary parameters for {nested!r} alone, expected the same in all layers"
            )
        if found.get("partial_rotary_factor", 1) not in (1, None):
            raise ModelError(f"{self.path}: got partial_rotary_factor {found['partial_rotary_factor']!r}, expected 1")
        return found, local

    def rope_by_layer(self, family: ModelFamily, given: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], float]:
        """Of a family with two bases: the parameters of layers without a window, and the base of those with one."""
        if self.values.get("rope_parameters"):
            parts = given[0]
            if not set(parts) <= {*LAYER_KINDS} or not all(isinstance(part, dict) for part in parts.values()):
                raise ModelError(
                    f"{self.path}: got rope_parameters {short(parts)}, expected an object each for "
                    f"{' and '.join(LAYER_KINDS)}"
                )
            full, sliding = (parts.get(kind, {}) for kind in LAYER_KINDS)
        else:
            full, sliding = given[0] if given else {}, {}
        kind = sliding.get("rope_type", sliding.get("type", "default"))
        if kind != "default":
            raise ModelError(f"{self.path}: got rope_type {short(kind)} in layers with a window, expected 'default'")
        elsewhere = self.real("rope_local_base_freq", family.local_rope_theta)
        return [full], self.real("rope_theta", elsewhere, sliding)

    def rope_scaling(self, rope: dict[str, Any], head_dim: int, theta: float) -> RopeScaling | None:
        context = self.whole("max_position_embeddings")
        return RopeFields(str(self.path), rope, context, head_dim, theta, self.values.get(ORIGINAL)).scaling()

    def windows(self, family: ModelFamily) -> tuple[int | None, tuple[bool, ...]]:
        """Keys that a query sees in layers with a window, and which layers have it: nothing where all have.

        None, and nothing, where no layer has one.
        """
        layers = self.whole("num_hidden_layers")
        if layers > MOST_LAYERS:
            raise ModelError(f"{self.path}: got {layers} for num_hidden_layers, expected at most {MOST_LAYERS}")
        size = None
        if family.window is not None and self.values.get("sliding_window", family.window) is not None:
            size = self.whole("sliding_window", family.window)
        if family.switch and not self.flag("use_sliding_window"):
            size = None
        usual = self.usual_windows(family, layers) if size is not None else (False,) * layers
        windowed = self.said_windows(usual)
        if any(windowed) and size is None:
            raise ModelError(f"{self.path}: got layers of sliding_attention without a sliding_window")
        if windowed != usual and not (family.switch or family.period):
            raise ModelError(
                f"{self.path}: got layer_types {short(self.values['layer_types'])} with sliding_window {size}; "
                "expected a window in all layers of such a model or in none"
            )
        if not any(windowed):
            return None, ()
        return size, () if windowed == (True,) * layers else windowed

    def usual_windows(self, family: ModelFamily, layers: int) -> tuple[bool, ...]:
        """For each layer whether it has a window, where `layer_types` does not say it."""
        if family.switch:
            first = self.whole("max_window_layers", 28)
            return tuple(layer >= first for layer in range(layers))
        if family.period is None:
            return (True,) * layers
        period = self.whole("sliding_window_pattern", family.period)
        if period < 1:
            raise ModelError(f"{self.path}: got sliding_window_pattern {period}, expected 1 or more")
        return tuple((layer + 1) % period != 0 for layer in range(layers))

    def said_windows(self, usual: tuple[bool, ...]) -> tuple[bool, ...]:
        """The same by `layer_types`, where they are there."""
        kinds = self.values.get("layer_types")
        if kinds is None:
            return usual
        if not isinstance(kinds, list) or not all(kind in LAYER_KINDS for kind in kinds):
            raise ModelError(
                f"{self.path}: got layer_types {short(kinds)}, expected a list of {' or '.join(LAYER_KINDS)}"
            )
        if len(kinds) != len(usual):
            raise ModelError(f"{self.path}: got {len(kinds)} layer_types, expected one for each of {len(usual)} layers")
        return tuple(kind == LAYER_KINDS[1] for kind in kinds)


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
