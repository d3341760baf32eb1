"""A Hugging Face folder: what is written is read again, as one file or several, and what is wrong is named."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnlab.bench import load_model
from attnlab.bench.errors import ModelError, ModelWarning, Unavailable
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.folder_config import COMPUTED, NEUTRAL, config_of
from attnlab.bench.llm.models.huggingface import config_json, save_folder
from attnlab.bench.llm.models.load import model_config
from attnlab.bench.llm.models.quantised_files import QUANTISED_FIELDS
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.rope_scaling import Llama3Scaling
from attnlab.bench.llm.models.rotary import inverse_frequencies
from attnlab.bench.llm.models.safetensors_folder import INDEX_FILE, ONE_FILE
from attnlab.bench.llm.models.weights import ModelWeights, layer_shapes

safetensors = pytest.importorskip("safetensors.torch", reason="package safetensors is not installed")

TOY = dataclasses.replace(PUBLISHED["toy"], layers=2)
MODELS = {
    "llama": TOY,
    "llama3": dataclasses.replace(TOY, rope_scaling=Llama3Scaling(8.0, 1.0, 4.0, 64), tied_embeddings=False),
    "mistral": dataclasses.replace(TOY, sliding_window=16, tied_embeddings=False),
    "qwen2": dataclasses.replace(TOY, qkv_bias=True, eos_ids=(2, 7)),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_folder(random_weights(TOY, torch.float32, "cpu"), tmp_path / "model")
    return tmp_path / "model"


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def assert_same(got: ModelWeights, expected: ModelWeights) -> None:
    assert torch.equal(got.embedding, expected.embedding)
    assert torch.equal(got.head, expected.head)
    assert torch.equal(got.output_norm, expected.output_norm)
    for layer, other in zip(got.layers, expected.layers, strict=True):
        for role in layer_shapes(expected.config):
            assert torch.equal(getattr(layer, role), getattr(other, role)), role


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back(name: str, files: int, tmp_path: Path) -> None:
    weights = random_weights(MODELS[name], torch.bfloat16, "cpu")
    save_folder(weights, tmp_path / name, files)
    assert len(list((tmp_path / name).glob("*.safetensors"))) == files
    read = load_model(str(tmp_path / name), torch.bfloat16)
    assert read.config == dataclasses.replace(MODELS[name], name=name) == model_config(str(tmp_path / name))
    assert_same(read, weights)
    assert read.fingerprint.startswith(f"{name}, {name} sampled sha256 ")


@pytest.mark.parametrize("name", MODELS)
def test_transformers_writes_what_is_read(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="package transformers is not installed")
    config = transformers.AutoConfig.for_model(**config_json(MODELS[name]))
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path, max_shard_size="150KB")
    assert (tmp_path / INDEX_FILE).is_file()
    read = load_model(str(tmp_path))
    assert read.config == dataclasses.replace(MODELS[name], name=tmp_path.name)
    state = model.state_dict()
    assert torch.equal(read.embedding, state["model.embed_tokens.weight"])
    assert torch.equal(read.layers[1].query, state["model.layers.1.self_attn.q_proj.weight"])
    assert torch.equal(read.head, state["lm_head.weight"])


def test_older_files_say_it_otherwise(folder: Path) -> None:
    path = folder / "config.json"
    fields = json.loads(path.read_text())
    rope = {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    del fields["rope_parameters"], fields["head_dim"], fields["num_key_value_heads"]
    path.write_text(json.dumps(fields | {"rope_theta": 5e5, "rope_scaling": rope, "eos_token_id": 9}))
    config = config_of(folder, "toy")
    assert (config.rope_theta, config.head_dim, config.kv_heads, config.eos_ids) == (5e5, 16, 4, (9,))
    assert config.rope_scaling == PUBLISHED["llama32_1b"].rope_scaling
    (folder / "generation_config.json").write_text('{"eos_token_id": [3, 4]}')
    assert config_of(folder, "toy").eos_ids == (3, 4)


@pytest.mark.parametrize(
    ("fields", "window"),
    [
        ({"model_type": "qwen2", "sliding_window": 32, "use_sliding_window": False}, None),
        ({"model_type": "qwen2", "sliding_window": 32, "use_sliding_window": True, "max_window_layers": 0}, 32),
        ({"model_type": "mistral", "sliding_window": None}, None),
        ({"model_type": "mistral", "sliding_window": 32}, 32),
        ({"model_type": "mistral"}, 4096),
        ({"model_type": "qwen2", "use_sliding_window": True}, None),
        ({"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 0}, 4096),
        (
            {
                "model_type": "qwen2",
                "use_sliding_window": True,
                "sliding_window": 8,
                "layer_types": ["sliding_attention"] * 2,
            },
            8,
        ),
    ],
)
def test_a_window_holds_where_it_is_switched_on(fields: dict[str, Any], window: int | None, folder: Path) -> None:
    edit(folder / "config.json", **fields)
    assert config_of(folder, "toy").sliding_window == window


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "gpt2"}, "got model_type 'gpt2', expected one of llama, mistral, qwen2"),
        ({"hidden_act": "gelu"}, "got hidden_act 'gelu', expected 'silu'"),
        ({"attention_bias": True}, "got attention_bias True, expected False or none"),
        ({"mlp_bias": True}, "got mlp_bias True, expected False or none"),
        ({"final_logit_softcapping": 30.0}, "got final_logit_softcapping 30.0, expected none or 0"),
        ({"partial_rotary_factor": 0.5}, "got partial_rotary_factor 0.5, expected 1 or none"),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "got partial_rotary_factor 0.5"),
        (
            {"rope_parameters": {"rope_theta": 1e4, "factor": 2.0}},
            "got factor with rope_type 'default', which does not",
        ),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "rotary parameters for 'full_attention' alone"),
        ({"rope_parameters": {"rope_theta": None}}, "got None for rope_theta, expected a number above 0"),
        ({"rope_parameters": {"rope_type": "linear"}}, "got None for factor, expected a number above 0"),
        ({"rope_scaling": {"type": "proportional"}, "rope_parameters": None}, "got rope_type 'proportional'"),
        ({"rope_scaling": {"type": "yarn", "factor": 2.0}}, "got rope_scaling and rope_parameters that differ"),
        ({"rope_scaling": "linear"}, "got rope_scaling 'linear', expected an object or null"),
        ({"rms_norm_eps": None}, "got None for rms_norm_eps, expected a number above 0"),
        ({"rms_norm_eps": "1e-5"}, "got '1e-5' for rms_norm_eps"),
        ({"num_attention_heads": True}, "got True for num_attention_heads, expected a whole number"),
        ({"bos_token_id": [1]}, r"got \[1\] for bos_token_id, expected a token's id"),
        ({"eos_token_id": "</s>"}, "got eos_token_id '</s>'"),
        ({"layer_types": ["linear_attention", "full_attention"]}, "got layer_types .'linear_attention'"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8}}, "lacks a number for low_freq_factor and"),
        ({"hidden_size": "64"}, "got '64' for hidden_size, expected a whole number"),
        ({"num_key_value_heads": 3}, "4 query heads over 3"),
        ({"model_type": "mistral", "layer_types": ["full_attention"] * 2}, "expected a window in all layers of such a"),
        ({"layer_types": ["full_attention"] * 3}, "got 3 layer_types, expected one for each of 2 layers"),
        ({"layer_types": ["sliding_attention"] * 2}, "layers of sliding_attention without a sliding_window"),
        ({"num_hidden_layers": 3}, r"lacks the tensor model.layers.2.input_layernorm.weight and 8 more, of 29"),
        ({"intermediate_size": 96}, r"model.layers.0.mlp.gate_proj.weight has shape \[128, 64\], expected \[96, 64\]"),
        ({"tie_word_embeddings": False}, "lacks the tensor lm_head.weight, of 21"),
    ],
    ids=lambda value: next(reversed(value)) if isinstance(value, dict) else "",
)
def test_another_model_is_refused(fields: dict[str, Any], message: str, folder: Path) -> None:
    edit(folder / "config.json", **fields)
    with pytest.raises(ModelError, match=message):
        load_model(str(folder))


@pytest.mark.parametrize("kept_bytes", [0, 4, 2000, -64])
def test_a_file_that_is_cut_says_so(kept_bytes: int, folder: Path) -> None:
    path = folder / ONE_FILE
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(ModelError, match=r"model.safetensors is cut short or no safetensors file"):
        load_model(str(folder))


def test_tensors_of_integers_are_refused(folder: Path) -> None:
    state = safetensors.load_file(folder / ONE_FILE)
    name = "model.layers.1.mlp.up_proj.weight"
    safetensors.save_file(state | {name: state[name].to(torch.int8)}, folder / ONE_FILE)
    with pytest.raises(ModelError, match=rf"{ONE_FILE}: tensor {name} is of I8, expected F32, F16 or BF16"):
        load_model(str(folder))


def test_what_a_family_has_where_nothing_is_said(folder: Path) -> None:
    """As transformers reads the same file."""
    transformers = pytest.importorskip("transformers", reason="package transformers is not installed")
    path = folder / "config.json"
    fields = json.loads(path.read_text())
    for kind in ("llama", "mistral", "qwen2"):
        for left_out in ("num_key_value_heads", "rms_norm_eps", "rope_parameters", "tie_word_embeddings"):
            kept = {key: value for key, value in fields.items() if key != left_out}
            path.write_text(json.dumps(kept | {"model_type": kind, "num_attention_heads": 32, "head_dim": 2}))
            peer = transformers.AutoConfig.from_pretrained(folder)
            config = config_of(folder, "toy")
            assert config.kv_heads == peer.num_key_value_heads, (kind, left_out)
            assert config.norm_eps == peer.rms_norm_eps
            assert config.tied_embeddings == peer.tie_word_embeddings
            assert config.rope_theta == peer.rope_parameters["rope_theta"]


def test_every_tensor_is_taken_or_the_file_refused(folder: Path) -> None:
    state = safetensors.load_file(folder / ONE_FILE)
    extra = {"model.layers.0.self_attn.q_norm.weight": torch.ones(16)}
    safetensors.save_file(state | extra, folder / ONE_FILE)
    with pytest.raises(ModelError, match=r"holds the tensor model.layers.0.self_attn.q_norm.weight, which the model"):
        load_model(str(folder))


def test_a_tied_head_that_is_another_is_refused(folder: Path) -> None:
    state = safetensors.load_file(folder / ONE_FILE)
    safetensors.save_file(state | {"lm_head.weight": state["model.embed_tokens.weight"].clone()}, folder / ONE_FILE)
    assert load_model(str(folder)).head is not None
    safetensors.save_file(state | {"lm_head.weight": torch.zeros(512, 64)}, folder / ONE_FILE)
    with pytest.raises(ModelError, match=r"tie_word_embeddings is true, and lm_head.weight is not the embedding"):
        load_model(str(folder))


def test_frequencies_of_old_releases_must_be_the_configurations(folder: Path) -> None:
    state = safetensors.load_file(folder / ONE_FILE)
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    frequencies = inverse_frequencies(TOY).float()
    safetensors.save_file(state | {name: frequencies}, folder / ONE_FILE)
    assert load_model(str(folder)).config.rope_theta == TOY.rope_theta
    safetensors.save_file(state | {name: frequencies / 2}, folder / ONE_FILE)
    with pytest.raises(ModelError, match="holds other frequencies than the configuration"):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (torch.nan, torch.float32, "tensor model.norm.weight holds 1 values of 64 that are NaN or infinite"),
        (torch.inf, torch.bfloat16, "tensor model.norm.weight holds 1 values of 64 that are NaN or infinite"),
        (1e6, torch.float16, "holds values up to 1e.06, too large for float16"),
    ],
)
def test_weights_that_are_not_finite_are_the_files_fault(
    value: float, dtype: torch.dtype, message: str, folder: Path
) -> None:
    state = safetensors.load_file(folder / ONE_FILE)
    state["model.norm.weight"][3] = value
    safetensors.save_file(state, folder / ONE_FILE)
    with pytest.raises(ModelError, match=message):
        load_model(str(folder), dtype)


def test_a_field_that_is_not_known_is_told(folder: Path) -> None:
    edit(folder / "config.json", query_temperature=0.7)
    with pytest.warns(ModelWarning, match="query_temperature: not known here"):
        load_model(str(folder))


FIELDS = sorted({*COMPUTED, *NEUTRAL, *QUANTISED_FIELDS})
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*COMPUTED]), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(st.sampled_from(FIELDS), ANY_JSON, min_size=1, max_size=3))
def test_nothing_but_a_model_error_comes_of_any_configuration(fields: dict[str, Any], folder: Path) -> None:
    with suppress(ModelError):
        config_of(with_config(folder, fields), "toy")


def with_config(folder: Path, fields: dict[str, Any]) -> Path:
    other = folder / "other"
    other.mkdir(exist_ok=True)
    (other / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | fields))
    return other


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_byte_of_a_header_is_refused_or_harmless(seed: int, folder: Path) -> None:
    path = folder / ONE_FILE
    content = bytearray(path.read_bytes())
    header_bytes = 8 + int.from_bytes(content[:8], "little")
    random = Random(seed)
    for _ in range(1 + seed % 3):
        content[random.randrange(header_bytes)] ^= 1 << random.randrange(8)
    path.write_bytes(content)
    with suppress(ModelError):
        load_model(str(folder))


def test_a_folder_without_what_it_needs_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config.json is not JSON"):
        load_model(str(folder))
    (folder / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="got a list, expected an object"):
        load_model(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"has no config.json; expected a Hugging Face folder or a .gguf file"):
        load_model(str(folder))
    (folder / "config.json").write_text(json.dumps(config_json(TOY)))
    (folder / ONE_FILE).unlink()
    with pytest.raises(ModelError, match=f"has neither {ONE_FILE} nor {INDEX_FILE}"):
        load_model(str(folder))
    monkeypatch.setattr("attnlab.bench.llm.models.load.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="not installed: safetensors"):
        load_model(str(folder))


def test_an_adapter_is_not_left_out(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"adapter_config.json: got an adapter, which changes the weights"):
        load_model(str(folder))


def test_a_folder_does_not_hide_a_published_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_folder(random_weights(TOY, torch.float32, "cpu"), tmp_path / "toy")
    save_folder(random_weights(TOY, torch.float32, "cpu"), tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert load_model("toy").config == PUBLISHED["toy"]
    assert load_model("./toy").config.layers == load_model("mine").config.layers == 2
