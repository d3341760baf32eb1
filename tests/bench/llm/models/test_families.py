"""Qwen3 and the Gemmas: what files say is computed as transformers computes it, and every deviation shows."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from attnlab.bench import load_model
from attnlab.bench.errors import ModelError
from attnlab.bench.llm.models import huggingface
from attnlab.bench.llm.models.config import PUBLISHED, ModelConfig
from attnlab.bench.llm.models.families import FAMILIES
from attnlab.bench.llm.models.folder_config import config_of
from attnlab.bench.llm.models.huggingface import config_json, save_folder, state_dict
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import embedded, embedding_scale, reference_logits
from attnlab.bench.llm.models.weights import ModelWeights

pytest.importorskip("transformers", reason="package transformers is not installed")
pytest.importorskip("gguf", reason="package gguf is not installed")

from tests.bench.llm.models.gguf_files import fields_of, stored, write, write_model
from tests.bench.llm.models.grid import COMMON, HEADS, IDS, OWN, difference, differences, grid, reread
from tests.bench.llm.models.grid import in_transformers as model_of

CLOSE = 1e-4  # logits, of float32 sums in another order; their standard deviation is 2 to 3
SHOWS = 1e-2
TOYS = ("toy_qwen3", "toy_gemma2", "toy_gemma3")


def pruned() -> list[ModelConfig]:
    """Each family's own configurations but for two thirds of Gemma 2's, with the common axes by turns."""
    configs = []
    for family in OWN:
        whole = list(grid(family))
        each = len(HEADS) * len(COMMON)
        own = len(whole) // each
        configs += [whole[turn * each + turn * 4 % each] for turn in range(0, own, 3 if own > 10 else 1)]
    return configs


@pytest.mark.parametrize("number", range(len(pruned())))
def test_logits_are_those_of_transformers(number: int, tmp_path: Path) -> None:
    config = pruned()[number]
    found = differences(config, torch.bfloat16 if number % 3 == 2 else torch.float32, tmp_path)
    assert max(found.values()) < CLOSE, (config, found)


def test_the_pruned_grid_has_every_value_of_every_axis() -> None:
    configs, whole = pruned(), [config for family in OWN for config in grid(family)]
    assert len(configs) < 20
    for f in dataclasses.fields(ModelConfig):
        if f.compare:
            assert {getattr(c, f.name) for c in configs} == {getattr(c, f.name) for c in whole}, f.name


DEVIATIONS: dict[str, dict[str, Any]] = {
    "soft cap of scores left out": {"score_softcap": None},
    "soft cap of logits left out": {"logit_softcap": None},
    "soft cap of scores twice as wide": {"score_softcap": 4.0},
    "windows swapped": {"windowed": (False, True) * 2},
    "windows in all layers": {"windowed": ()},
    "no windows": {"sliding_window": None, "windowed": ()},
    "a window one too wide": {"sliding_window": 8},
    "a window one too narrow": {"sliding_window": 6},
    "embeddings not scaled": {"scaled_embedding": False},
    "scores over the root of the head size": {"query_scalar": None},
    "SiLU for GELU": {"activation": "silu"},
    "one base of RoPE": {"local_rope_theta": None},
    "bases of RoPE swapped": {"rope_theta": 100.0, "local_rope_theta": 1_000_000.0},
}
LACKS = {
    "toy_gemma2": {"one base of RoPE", "bases of RoPE swapped"},
    "toy_gemma3": {
        "soft cap of scores left out",
        "soft cap of logits left out",
        "soft cap of scores twice as wide",
        "scores over the root of the head size",
    },
}


@pytest.mark.parametrize(
    ("name", "deviation"),
    [(name, deviation) for name, lacked in LACKS.items() for deviation in DEVIATIONS if deviation not in lacked],
)
def test_every_deviation_shows(name: str, deviation: str) -> None:
    weights = random_weights(PUBLISHED[name], torch.float32, "cpu", seed=3)
    changed = dataclasses.replace(weights, config=dataclasses.replace(weights.config, **DEVIATIONS[deviation]))
    assert difference(changed, reference_logits(weights, IDS)) > SHOWS


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("toy_qwen3", "query_norm"),
        ("toy_gemma3", "key_norm"),
        ("toy_gemma2", "attention_branch_norm"),
        ("toy_gemma2", "mlp_branch_norm"),
        ("toy_gemma2", "mlp_norm"),
    ],
)
def test_every_norm_shows(name: str, role: str) -> None:
    weights = random_weights(PUBLISHED[name], torch.float32, "cpu", seed=3)
    changed = tuple(
        dataclasses.replace(layer, **{role: torch.ones_like(getattr(layer, role))}) for layer in weights.layers
    )
    assert difference(dataclasses.replace(weights, layers=changed), reference_logits(weights, IDS)) > SHOWS


@pytest.mark.parametrize("name", ["toy_gemma2", "toy_gemma3"])
def test_a_norm_without_its_one_shows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = random_weights(PUBLISHED[name], torch.float32, "cpu", seed=3)
    model_of(weights).save_pretrained(tmp_path)
    with torch.no_grad():
        logits = reread(tmp_path)(IDS).logits
    assert difference(load_model(str(tmp_path)), logits) < CLOSE
    monkeypatch.setattr(huggingface.NormsFromZero, "tensor", lambda self, name: self._source.tensor(name))
    assert difference(load_model(str(tmp_path)), logits) > SHOWS


@pytest.mark.parametrize("name", TOYS)
def test_a_folder_and_a_gguf_file_hold_the_same(name: str, tmp_path: Path) -> None:
    config = dataclasses.replace(PUBLISHED[name], query_scalar=None)
    weights = random_weights(config, torch.float32, "cpu", seed=3)
    save_folder(weights, tmp_path / name)
    folder, file = load_model(str(tmp_path / name)), load_model(str(write_model(tmp_path / f"{name}.gguf", weights)))
    assert folder.config == file.config == dataclasses.replace(config, bos_id=1, eos_ids=(2,))
    assert difference(folder, reference_logits(weights, IDS)) < CLOSE
    assert difference(file, reference_logits(weights, IDS)) == 0.0


def read_gguf(path: Path, config: ModelConfig, weights: ModelWeights, architecture: str, **fields: Any) -> ModelConfig:
    said = {key: value for key, value in {**fields_of(config), **fields}.items() if value is not None}
    return load_model(str(write(path, stored(weights), architecture=architecture, fields=said))).config


def test_what_a_gguf_file_leaves_out_is_as_in_llama_cpp(tmp_path: Path) -> None:
    """`src/models/gemma2.cpp` and `gemma3.cpp`."""
    path, no_window = tmp_path / "m.gguf", {"attention.sliding_window": None, "attention.sliding_window_pattern": None}
    config = PUBLISHED["toy_gemma2"]
    weights = random_weights(config, torch.float32, "cpu")
    caps = {"attn_logit_softcapping": None, "final_logit_softcapping": None}
    read = read_gguf(path, config, weights, "gemma2", **no_window, **caps)
    assert (read.score_softcap, read.logit_softcap, read.sliding_window) == (50.0, 30.0, 4096)
    assert (read.windowed, read.query_scalar) == ((True, False) * 2, None)
    with pytest.raises(ModelError, match="got score_softcap 0, expected a finite number above 0"):
        read_gguf(path, config, weights, "gemma2", attn_logit_softcapping=0.0)
    config = dataclasses.replace(PUBLISHED["toy_gemma3"], layers=7, windowed=(True,) * 5 + (False, True))
    weights = random_weights(config, torch.float32, "cpu")
    by_period = {"attention.sliding_window_pattern": None, "rope.freq_base_swa": None}
    read = read_gguf(path, config, weights, "gemma3", **by_period)
    assert (read.windowed, read.local_rope_theta) == (config.windowed, 10_000.0)
    read = read_gguf(path, config, weights, "gemma3", **by_period | {"attention.sliding_window_pattern": 2})
    assert read.windowed == (True, False) * 3 + (True,)
    assert read_gguf(path, config, weights, "gemma3", **no_window).sliding_window is None
    for wrong in ([True, False], ["yes"] * 7):
        with pytest.raises(ModelError, match=r"values for gemma3.attention.sliding_window_pattern, expected true or"):
            read_gguf(path, config, weights, "gemma3", **{"attention.sliding_window_pattern": wrong})
    with pytest.raises(ModelError, match=r"got gemma3.attn_logit_softcapping 50.0, which is not computed here"):
        read_gguf(path, config, weights, "gemma3", attn_logit_softcapping=50.0)
    config = dataclasses.replace(PUBLISHED["toy_gemma2"], layers=46, windowed=(True, False) * 23, head_dim=8)
    read = read_gguf(path, config, random_weights(config, torch.float32, "cpu"), "gemma2")
    assert read.query_scalar == 16.0  # of the model of 27B alone: hidden size over heads


def test_what_a_family_has_where_nothing_is_said(tmp_path: Path) -> None:
    """As transformers reads the same file."""
    import transformers

    for name in TOYS:
        config = dataclasses.replace(PUBLISHED[name], layers=8, windowed=(), sliding_window=None)
        config = dataclasses.replace(config, local_rope_theta=None, query_scalar=None, kv_heads=4)
        fields = config_json(config)
        for left_out in [*fields]:
            if left_out in (
                "model_type",
                "vocab_size",
                "hidden_size",
                "intermediate_size",
                "num_hidden_layers",
                "num_attention_heads",
                "max_position_embeddings",
            ):
                continue
            kept = {key: value for key, value in fields.items() if key not in (left_out, "layer_types")}
            if FAMILIES[kept["model_type"]].switch:
                kept |= {"use_sliding_window": True, "max_window_layers": 3}
            (tmp_path / "config.json").write_text(json.dumps(kept))
            peer = transformers.AutoConfig.from_pretrained(tmp_path)
            if peer.num_attention_heads % peer.num_key_value_heads:
                continue
            got = config_of(tmp_path, "toy")
            windows = [peer.sliding_window if kind == "sliding_attention" else None for kind in peer.layer_types]
            assert [got.window_of(layer) for layer in range(8)] == windows, (name, left_out)
            assert (got.kv_heads, got.head_dim) == (peer.num_key_value_heads, peer.head_dim), (name, left_out)
            assert (got.norm_eps, got.tied_embeddings) == (peer.rms_norm_eps, peer.tie_word_embeddings)
            assert got.scale == getattr(peer, "query_pre_attn_scalar", peer.head_dim) ** -0.5, (name, left_out)
            assert got.logit_softcap == getattr(peer, "final_logit_softcapping", None), (name, left_out)
            if name != "toy_gemma3":
                assert got.score_softcap == getattr(peer, "attn_logit_softcapping", None), (name, left_out)
                assert got.rope_theta == peer.rope_parameters["rope_theta"], (name, left_out)
                continue
            bases = [peer.rope_parameters[kind]["rope_theta"] for kind in ("full_attention", "sliding_attention")]
            assert [got.rope_theta, got.local_rope_theta or got.rope_theta] == bases, (name, left_out)


def test_older_files_of_gemma_3_say_it_otherwise(tmp_path: Path) -> None:
    fields = config_json(dataclasses.replace(PUBLISHED["toy_gemma3"], layers=6, windowed=(True,) * 5 + (False,)))
    del fields["rope_parameters"], fields["layer_types"]
    older = {
        "rope_theta": 5e5,
        "rope_local_base_freq": 2e4,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        "sliding_window_pattern": 3,
        "cache_implementation": "hybrid",
    }
    (tmp_path / "config.json").write_text(json.dumps(fields | older))
    config = config_of(tmp_path, "toy")
    assert (config.rope_theta, config.local_rope_theta, config.windowed) == (5e5, 2e4, (True, True, False) * 2)
    assert config.rope_of(local=True) == (2e4, None)
    assert config.rope_of(local=False)[1] is not None


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("toy_gemma3", {"attn_logit_softcapping": 50.0}, "got attn_logit_softcapping 50.0, expected none or 0"),
        ("toy_gemma3", {"rope_parameters": {"rope_theta": 1e4}}, "expected an object each for full_attention and"),
        (
            "toy_gemma3",
            {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e4}}},
            "got rope_type 'linear' in layers with a window",
        ),
        ("toy_gemma3", {"layer_types": None, "sliding_window_pattern": 0}, "got sliding_window_pattern 0"),
        ("toy_gemma3", {"sliding_window": None}, "layers of sliding_attention without a sliding_window"),
        ("toy_gemma3", {"sliding_window": 0}, "got a window of 0 keys, expected 1 or more"),
        ("toy_gemma3", {"use_bidirectional_attention": True}, "got use_bidirectional_attention True"),
        ("toy_gemma3", {"model_type": "gemma3"}, "got model_type 'gemma3', expected one of llama"),
        ("toy_gemma2", {"hidden_activation": "relu"}, "got hidden_activation 'relu', expected 'gelu_pytorch_tanh'"),
        ("toy_gemma2", {"attn_logit_softcapping": 0}, "got 0 for attn_logit_softcapping, expected a number above 0"),
        ("toy_gemma2", {"query_pre_attn_scalar": None}, "got None for query_pre_attn_scalar"),
        ("toy_gemma2", {"attention_bias": True}, "got attention_bias True"),
        ("toy_gemma2", {"num_hidden_layers": 1 << 20}, "got 1048576 for num_hidden_layers, expected at most"),
        ("toy_qwen3", {"attn_logit_softcapping": 50.0}, "got attn_logit_softcapping 50.0, expected none or 0"),
        ("toy_qwen3", {"query_pre_attn_scalar": 24}, "got query_pre_attn_scalar 24, expected none"),
        ("toy_qwen3", {"model_type": "llama"}, r"holds the tensor model.layers.0.self_attn.k_norm.weight and 5 more"),
        ("toy_qwen3", {"model_type": "qwen2"}, "lacks the tensor model.layers.0.self_attn.q_proj.bias"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_not_computed_is_refused_by_name(
    name: str, fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save_folder(random_weights(PUBLISHED[name], torch.float32, "cpu"), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    with pytest.raises(ModelError, match=message):
        load_model(str(tmp_path))


def test_models_that_no_family_has_are_not_written() -> None:
    config = dataclasses.replace(PUBLISHED["toy"], score_softcap=50.0)
    with pytest.raises(ModelError, match=r"model toy: got score_softcap 50.0, which models of model_type llama cannot"):
        config_json(config)
    both = dataclasses.replace(PUBLISHED["toy"], qkv_bias=True, qk_norm=True)
    with pytest.raises(ModelError, match="got qkv_bias True, which models of model_type qwen3 cannot have"):
        config_json(both)


def test_the_scale_of_embeddings_is_rounded_as_the_weights_are() -> None:
    """55.4256 in bfloat16, as transformers has it."""
    config = dataclasses.replace(PUBLISHED["gemma2_9b"], hidden_size=3072)
    assert embedding_scale(config, torch.bfloat16) == 55.5
    weights = random_weights(dataclasses.replace(PUBLISHED["toy_gemma2"], hidden_size=72), torch.bfloat16, "cpu")
    with torch.no_grad():
        expected = model_of(weights).model.embed_tokens(IDS)
    assert torch.equal(embedded(weights, IDS, torch.bfloat16), expected)
    assert torch.equal(embedded(weights, IDS, torch.float32), weights.embedding[IDS].float() * 8.5)


def test_weights_of_norms_in_bfloat16_keep_what_the_file_has(tmp_path: Path) -> None:
    weights = random_weights(PUBLISHED["toy_gemma2"], torch.bfloat16, "cpu", seed=3)
    stored_norm = state_dict(weights)["model.layers.0.input_layernorm.weight"]
    save_folder(weights, tmp_path)
    assert torch.equal(load_model(str(tmp_path)).layers[0].attention_norm, stored_norm.float() + 1)
    assert torch.equal(
        load_model(str(tmp_path), torch.bfloat16).layers[0].attention_norm, weights.layers[0].attention_norm
    )
