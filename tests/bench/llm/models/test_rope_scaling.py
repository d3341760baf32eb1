"""Every rule of rope scaling is transformers', spelling by spelling, and llama.cpp's where a GGUF file says it."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.bench import load_model
from attnlab.bench.errors import ImpossibleCase, ModelError, UsageError
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.folder_config import config_of
from attnlab.bench.llm.models.huggingface import config_json, save_folder, state_dict
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import reference_greedy, reference_logits
from attnlab.bench.llm.models.rope_scaling import (
    DynamicScaling,
    FactorScaling,
    LinearScaling,
    LongRopeScaling,
    RopeScaling,
    YarnScaling,
    plain_frequencies,
)
from attnlab.bench.llm.models.rotary import rotary_tables
from attnlab.bench.ops.generate.case import GenerateCase
from tests.bench.llm.models.gguf_files import FIELDS, architecture_of, stored, write
from tests.bench.llm.models.gguf_files import fields_of as fields_of_gguf

pytestmark = pytest.mark.filterwarnings("error::attnlab.bench.errors.ModelWarning")
TOY = dataclasses.replace(PUBLISHED["toy"], layers=2, context_length=64)
PAIRS = TOY.head_dim // 2
SHORT, LONG = [1.0 + 0.1 * pair for pair in range(PAIRS)], [2.0 + pair for pair in range(PAIRS)]
ORIGINAL = "original_max_position_embeddings"
YARN = {"rope_type": "yarn", "factor": 4.0, ORIGINAL: 16}
LONGROPE = {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG, ORIGINAL: 16}
SPELLINGS: dict[str, dict[str, Any]] = {
    "linear": {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}},
    "linear, old": {"rope_scaling": {"type": "linear", "factor": 2}, "rope_theta": 500.0},
    "both names": {"rope_scaling": {"type": "dynamic", "rope_type": "linear", "factor": 2.0}},
    "dynamic": {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 500.0}},
    "dynamic, old": {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
    "yarn": {"rope_parameters": YARN | {"rope_theta": 500.0}},
    "yarn, old": {"rope_scaling": {"type": "yarn", "factor": 4.0, ORIGINAL: 16}, "rope_theta": 1e6},
    "yarn, attention": {"rope_parameters": YARN | {"attention_factor": 0.7}},
    "yarn, betas": {"rope_parameters": YARN | {"beta_fast": 3, "beta_slow": 0.2, "rope_theta": 50.0}},
    "yarn, scales": {"rope_parameters": YARN | {"mscale": 0.707, "mscale_all_dim": 1.3}},
    "yarn, one scale": {"rope_parameters": YARN | {"mscale": 0.707}},
    "yarn, whole": {"rope_parameters": YARN | {"truncate": False, "beta_fast": 2.0, "beta_slow": 0.3}},
    "yarn, no factor": {"rope_parameters": YARN | {"factor": None}},
    "yarn, no context": {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}},
    "yarn, beside": {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}, ORIGINAL: 32},
    "longrope": {"rope_parameters": LONGROPE},
    "longrope, factor": {"rope_parameters": LONGROPE | {"factor": 7.0, "rope_theta": 500.0}},
    "longrope, attention": {"rope_scaling": LONGROPE | {"attention_factor": 1.3}},
    "longrope, long alone": {"rope_parameters": LONGROPE | {ORIGINAL: 4}},
    "llama3": {
        "rope_parameters": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
        | {ORIGINAL: 32, "rope_theta": 500.0}
    },
    "llama3, no context": {
        "rope_scaling": {"type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    },
}


def fields_of(kind: str, spelled: dict[str, Any]) -> dict[str, Any]:
    whole = {**config_json(TOY), "model_type": kind} | ({"sliding_window": None} if kind == "mistral" else {})
    del whole["rope_parameters"], whole["architectures"]
    return whole | spelled


@pytest.mark.parametrize("length", [8, 30, 64, 100])
@pytest.mark.parametrize("name", SPELLINGS)
def test_angles_are_those_of_transformers_at_every_position(name: str, length: int, tmp_path: Path) -> None:
    modeling = pytest.importorskip("transformers.models.llama.modeling_llama")
    fields = fields_of("llama", SPELLINGS[name])
    (tmp_path / "config.json").write_text(json.dumps(fields))
    positions = torch.arange(length)
    cos, sin = rotary_tables(config_of(tmp_path, "toy").settled(length, length), positions)
    peer = modeling.LlamaRotaryEmbedding(modeling.LlamaConfig.from_pretrained(tmp_path))
    expected = peer(torch.zeros(1), positions[None])
    for table, other in zip((cos, sin), expected, strict=True):
        assert (table - other[0, :, :PAIRS]).abs().max() < 2e-5


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2"])
@pytest.mark.parametrize("name", ["linear", "dynamic", "yarn, scales", "yarn, old", "longrope"])
def test_logits_are_those_of_transformers(name: str, kind: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="package transformers is not installed")
    weights = random_weights(dataclasses.replace(TOY, qkv_bias=kind == "qwen2"), torch.float32, "cpu", seed=3)
    save_folder(weights, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(fields_of(kind, SPELLINGS[name])))
    read = load_model(str(tmp_path))
    for length in (12, 70):
        ids = torch.randint(0, 512, (2, length), generator=torch.Generator().manual_seed(2))
        peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
        with torch.no_grad():
            difference = (peer(ids).logits - reference_logits(read, ids)).abs().max()
        assert difference < 1e-4
        assert (reference_logits(weights, ids) - reference_logits(read, ids)).abs().max() > 1e-2 or (
            name == "dynamic" and length == 12
        )


RULES: dict[str, RopeScaling] = {
    "linear": LinearScaling(3.0),
    "dynamic": DynamicScaling(3.0, TOY.context_length),
    "yarn": YarnScaling(3.0, 20, 0.9, 8.0, 0.5, truncate=False),
    "longrope": LongRopeScaling(tuple(SHORT), tuple(LONG), 20, 1.2),
    "divisors": FactorScaling(tuple(LONG), 1.2),
}


@pytest.mark.parametrize("name", RULES)
def test_what_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    config = dataclasses.replace(TOY, rope_scaling=RULES[name], name=tmp_path.name)
    save_folder(random_weights(config, torch.float32, "cpu"), tmp_path)
    assert load_model(str(tmp_path)).config == config


@pytest.mark.parametrize("length", [2, 12, 70])
def test_divisors_of_their_own_are_written_for_transformers(length: int) -> None:
    transformers = pytest.importorskip("transformers", reason="package transformers is not installed")
    weights = random_weights(
        dataclasses.replace(TOY, rope_scaling=FactorScaling(tuple(LONG), 1.1)), torch.float32, "cpu", seed=3
    )
    config = transformers.AutoConfig.for_model(**config_json(weights.config))
    peer = transformers.AutoModelForCausalLM.from_config(config)
    peer.load_state_dict(state_dict(weights), strict=False)
    ids = torch.randint(0, 512, (1, length), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert (peer.eval()(ids).logits - reference_logits(weights, ids)).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("rope", "message"),
    [
        (YARN | {"beta_fast": 0.5}, "got beta_fast 0.5, expected at least beta_slow 1"),
        ({"rope_type": "yarn", ORIGINAL: 16}, "got None for factor, expected a number above 0"),
        (YARN | {"truncate": None}, "got truncate None, expected true or false"),
        (YARN | {"rope_theta": 1.0}, "got rope_theta 1 with YaRN, expected above 1"),
        (YARN | {ORIGINAL: 10**9, "rope_theta": 1.5}, "ramp over pairs of channels runs from .* expected it to rise"),
        (YARN | {"attention_factor": -1.0}, "got -1.0 for attention_factor, expected a number above 0"),
        (YARN | {ORIGINAL: 16.5}, f"got 16.5 for {ORIGINAL}, expected a whole number"),
        (YARN | {"finetuned": True}, "got finetuned with rope_type 'yarn', which does not take it"),
        ({"rope_type": "dynamic", "factor": 2.0, "alpha": 1000.0}, "got alpha with rope_type 'dynamic'"),
        (LONGROPE | {"short_factor": SHORT[:-1]}, r"got \[1.0, .* for short_factor, expected a list of 8 numbers"),
        (LONGROPE | {"long_factor": None}, "got None for long_factor, expected a list of 8 numbers above 0"),
        (LONGROPE | {"long_factor": [0.0] * 8}, "for long_factor, expected a list of 8 numbers above 0"),
        (LONGROPE | {ORIGINAL: 1}, f"got {ORIGINAL} 1, expected 2 or more"),
        ({"rope_type": "default", "mrope_section": [2, 3, 3]}, "got mrope_section with rope_type 'default'"),
        ({"rope_type": "linear", "factor": "2"}, "got '2' for factor"),
        ({"rope_type": "linear", "factor": 10**400}, "for factor, expected a number above 0, at most 1e13"),
        ({"rope_type": ["yarn"]}, r"got rope_type \['yarn'\], expected 'default' or 'linear'"),
    ],
)
def test_what_is_no_rule_is_refused(rope: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(fields_of("llama", {"rope_parameters": rope})))
    with pytest.raises(ModelError, match=message):
        config_of(tmp_path, "toy")


@pytest.mark.parametrize(
    "rope", [YARN, {"rope_type": "dynamic", "factor": 2.0}, {"rope_type": "linear", "factor": 2.0}]
)
def test_a_head_of_a_damaged_file_takes_no_time(rope: dict[str, Any], tmp_path: Path) -> None:
    fields = fields_of("llama", {"rope_parameters": rope, "head_dim": 2**40})
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with pytest.raises(ModelError, match="got head_dim 1099511627776, expected at most 65536"):
        config_of(tmp_path, "toy")


def test_two_lengths_of_the_first_training_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(fields_of("llama", {"rope_parameters": YARN, ORIGINAL: 32})))
    with pytest.raises(ModelError, match=f"got {ORIGINAL} 16 among the rotary parameters and 32 beside them"):
        config_of(tmp_path, "toy")


def test_a_rule_that_changes_on_the_way_is_refused(tmp_path: Path) -> None:
    """Keys in the cache were turned before by the frequencies of shorter sequences."""
    config = dataclasses.replace(TOY, rope_scaling=LongRopeScaling(tuple(SHORT), tuple(LONG), 20, 1.2))
    weights = random_weights(config, torch.float32, "cpu")
    save_folder(weights, tmp_path / "m")
    ids = torch.arange(19)[None]
    message = "grows from 19 to 21 tokens with rope_type 'longrope', whose frequencies change above 20"
    with pytest.raises(UsageError, match=message):
        reference_greedy(weights, ids, 3)
    assert torch.equal(reference_greedy(weights, ids, 2), reference_greedy(weights.settled(1, 20), ids, 2))
    with pytest.raises(ImpossibleCase, match="grows from 19 to 30 tokens with rope_type 'longrope'"):
        GenerateCase(model=str(tmp_path / "m"), prompts="random", prompt_len=19, new_tokens=11)
    GenerateCase(model=str(tmp_path / "m"), prompts="random", prompt_len=21, new_tokens=11)
    dynamic = dataclasses.replace(weights, config=dataclasses.replace(TOY, rope_scaling=DynamicScaling(2.0, 64)))
    with pytest.raises(UsageError, match=r"rope_type 'dynamic', .* expected at most 64 tokens in all$"):
        reference_greedy(dynamic, ids, 60)


def by_llama_cpp(
    length: int,
    theta: float,
    factor: float = 1.0,
    attention: float = 1.0,
    yarn: dict[str, float] | None = None,
    divisors: list[float] | None = None,
) -> tuple[Tensor, Tensor]:
    """Cosines and sines as `ggml_rope_cache_init` and `rope_yarn` of ggml-cpu/ops.cpp give them, in float64."""
    cos, sin = torch.zeros(length, PAIRS, dtype=torch.float64), torch.zeros(length, PAIRS, dtype=torch.float64)
    for position in range(length):
        for pair, plain in enumerate(plain_frequencies(theta, TOY.head_dim)):
            extrapolated = position * plain / (divisors[pair] if divisors else 1.0)
            angle, size = extrapolated / factor, attention
            if yarn is not None:
                ends = [
                    TOY.head_dim * math.log(yarn["context"] / (yarn[beta] * 2 * math.pi)) / (2 * math.log(theta))
                    for beta in ("fast", "slow")
                ]
                low, high = max(0, math.floor(ends[0])), min(TOY.head_dim - 1, math.ceil(ends[1]))
                mix = 1 - min(1, max(0, (pair - low) / max(0.001, high - low)))
                angle = angle * (1 - mix) + extrapolated * mix
                size *= 1 + 0.1 * math.log(factor)
            cos[position, pair], sin[position, pair] = math.cos(angle) * size, math.sin(angle) * size
    return cos, sin


GGUF_RULES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "type alone": ({"type": "linear"}, {}),
    "factor alone": ({"factor": 4.0}, {"factor": 4.0}),
    "linear": ({"type": "linear", "factor": 4.0}, {"factor": 4.0}),
    "none": ({"type": "none", "factor": 4.0}, {}),
    "factor of zero": ({"factor": 0.0}, {}),
    "attention": ({"attn_factor": 1.25}, {"attention": 1.25}),
    "linear, attention": ({"factor": 4.0, "attn_factor": 1.25}, {"factor": 4.0, "attention": 1.25}),
    "yarn": (
        {"type": "yarn", "factor": 4.0, "original_context_length": 16},
        {"factor": 4.0, "yarn": {"context": 16, "fast": 32, "slow": 1}},
    ),
    "yarn, all": (
        {"type": "yarn", "factor": 4.0, "original_context_length": 32, "attn_factor": 0.5, "yarn_beta_fast": 3.0}
        | {"yarn_beta_slow": 0.5, "finetuned": 1},
        {"factor": 4.0, "attention": 0.5, "yarn": {"context": 32, "fast": 3, "slow": 0.5}},
    ),
    "yarn, no context": (
        {"type": "yarn", "factor": 2.0},
        {"factor": 2.0, "yarn": {"context": 1024, "fast": 32, "slow": 1}},
    ),
}


@pytest.mark.parametrize("divisors", [None, LONG], ids=["", "rope_freqs"])
@pytest.mark.parametrize("name", GGUF_RULES)
def test_angles_of_a_gguf_file_are_those_of_llama_cpp(name: str, divisors: list[float] | None, tmp_path: Path) -> None:
    fields, rule = GGUF_RULES[name]
    weights = random_weights(TOY, torch.float32, "cpu")
    own = {} if divisors is None else {"rope_freqs.weight": torch.tensor(divisors)}
    spelled = {f"rope.scaling.{key}": value for key, value in fields.items()}
    path = write(tmp_path / "m.gguf", stored(weights) | own, fields=FIELDS | {"rope.freq_base": 500.0} | spelled)
    tables = rotary_tables(load_model(str(path)).config, torch.arange(70))
    for table, expected in zip(tables, by_llama_cpp(70, 500.0, divisors=divisors, **rule), strict=True):
        assert (table - expected).abs().max() < 1e-6


def test_an_older_name_of_the_factor_is_read(tmp_path: Path) -> None:
    weights = random_weights(TOY, torch.float32, "cpu")
    path = write(tmp_path / "m.gguf", stored(weights), fields=FIELDS | {"rope.scale_linear": 4.0})
    assert load_model(str(path)).config.rope_scaling == LinearScaling(4.0)
    path = write(
        tmp_path / "m.gguf", stored(weights), fields=FIELDS | {"rope.scale_linear": 4.0, "rope.scaling.factor": 2.0}
    )
    assert load_model(str(path)).config.rope_scaling == LinearScaling(2.0)


def test_longrope_of_a_gguf_file(tmp_path: Path) -> None:
    weights = random_weights(TOY, torch.float32, "cpu")
    fields = {"rope.scaling.type": "longrope", "rope.scaling.original_context_length": 16}
    own = {"rope_factors_short.weight": torch.tensor(SHORT), "rope_factors_long.weight": torch.tensor(LONG)}
    path = write(
        tmp_path / "m.gguf", stored(weights) | own, fields=FIELDS | fields | {"rope.scaling.attn_factor": 1.25}
    )
    config = load_model(str(path)).config
    for length, divisors in ((16, SHORT), (17, LONG)):
        tables = rotary_tables(config.settled(length, length), torch.arange(length))
        expected = by_llama_cpp(length, TOY.rope_theta, attention=1.25, divisors=divisors)
        for table, other in zip(tables, expected, strict=True):
            assert (table - other).abs().max() < 1e-5
    with pytest.raises(ModelError, match=r"holds the tensor rope_factors_short.weight and 1 more"):
        load_model(str(write(path, stored(weights) | own)))
    extra = {"rope_freqs.weight": torch.ones(PAIRS)}
    with pytest.raises(ModelError, match=r"holds the tensor rope_freqs.weight, which the model"):
        load_model(str(write(path, stored(weights) | own | extra, fields=FIELDS | fields)))


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (torch.ones(PAIRS + 1), r"tensor rope_freqs.weight has shape \[9\], expected \[8\]"),
        (torch.zeros(PAIRS), "holds factors that are not finite and above 0"),
        (torch.full((PAIRS,), torch.nan), "holds factors that are not finite and above 0"),
    ],
)
def test_divisors_that_are_none_are_refused(factors: Tensor, message: str, tmp_path: Path) -> None:
    weights = random_weights(TOY, torch.float32, "cpu")
    with pytest.raises(ModelError, match=message):
        load_model(str(write(tmp_path / "m.gguf", stored(weights) | {"rope_freqs.weight": factors})))


def in_gguf(path: Path, name: str, tensors: dict[str, Tensor] | None = None, **fields: Any) -> Path:
    """A published toy with more tensors and fields of rope scaling."""
    weights = random_weights(PUBLISHED[name], torch.float32, "cpu")
    said = fields_of_gguf(weights.config) | {f"rope.{key.replace('__', '.')}": value for key, value in fields.items()}
    return write(path, stored(weights) | (tensors or {}), architecture=architecture_of(weights.config), fields=said)


@pytest.mark.parametrize("name", ["toy_gemma2", "toy_gemma3"])
def test_layers_with_a_window_turn_as_in_llama_cpp(name: str, tmp_path: Path) -> None:
    """`src/models/gemma2.cpp` scales in all layers, `gemma3.cpp` in those without a window; neither has divisors."""
    path, config = tmp_path / "m.gguf", PUBLISHED[name]
    read = load_model(str(in_gguf(path, name, scaling__factor=4.0))).config
    assert (read.rope_scaling, read.local_rope_theta) == (LinearScaling(4.0), config.local_rope_theta)
    own = {"rope_freqs.weight": torch.ones(config.head_dim // 2)}
    with pytest.raises(ModelError, match=r"holds the tensor rope_freqs.weight, which the model"):
        load_model(str(in_gguf(path, name, own)))
    with pytest.raises(ModelError, match=r"got gemma\d.rope.scaling.type 'longrope', which is not computed here"):
        load_model(str(in_gguf(path, name, scaling__type="longrope")))
    if config.local_rope_theta is None:
        with pytest.raises(ModelError, match=r"got gemma2.rope.freq_base_swa 500 with rope scaling, which is not"):
            load_model(str(in_gguf(path, name, scaling__factor=4.0, freq_base_swa=500.0)))
