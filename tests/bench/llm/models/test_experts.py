"""gpt-oss: its folders are read as transformers computes them, and every part of it shows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.bench import load_model
from attnlab.bench.errors import ImpossibleCase, ModelError
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.expert_files import written_experts
from attnlab.bench.llm.models.experts import ExpertWeights, clamped_gate
from attnlab.bench.llm.models.huggingface import save_folder, state_dict
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import as_it_is, reference_logits
from attnlab.bench.llm.models.weights import LayerWeights, ModelWeights, layer_shapes
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.cost import pass_bytes, token_operations
from attnlab.impls.generate._engine.experts import through_experts

pytest.importorskip("transformers", reason="package transformers is not installed")

from tests.bench.llm.models.grid import IDS, difference, in_transformers, reread

TOY = PUBLISHED["toy_gpt_oss"]
CLOSE, SHOWS = 1e-4, 1e-2


def weights_of(dtype: torch.dtype = torch.float32) -> ModelWeights:
    return random_weights(TOY, dtype, "cpu", seed=3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_are_those_of_transformers(dtype: torch.dtype, tmp_path: Path) -> None:
    in_transformers(weights_of(dtype)).save_pretrained(tmp_path / "theirs")
    with torch.no_grad():
        logits = reread(tmp_path / "theirs")(IDS).logits
    read = load_model(str(tmp_path / "theirs"))
    assert difference(read, logits) < CLOSE
    save_folder(read, tmp_path / "ours", files=2)
    assert difference(load_model(str(tmp_path / "ours")), logits) < CLOSE


def zeros(role: str) -> Callable[[LayerWeights], LayerWeights]:
    def changed(layer: LayerWeights) -> LayerWeights:
        place = layer.experts if role.startswith("expert_") else layer
        field = role.removeprefix("expert_")
        made = dataclasses.replace(place, **{field: torch.zeros_like(getattr(place, field))})  # type: ignore[type-var]
        return made if isinstance(made, LayerWeights) else dataclasses.replace(layer, experts=made)

    return changed


WRONG: dict[str, Callable[[LayerWeights], LayerWeights]] = {
    "no sinks": lambda layer: dataclasses.replace(layer, sinks=None),
    "sinks of the next head": lambda layer: dataclasses.replace(layer, sinks=layer.sinks.roll(1)),  # type: ignore[union-attr]
    **{f"{role} zero": zeros(role) for role in ("output_bias", "query_bias", "expert_router_bias")},
    **{f"{role} zero": zeros(f"expert_{role}") for role in ("router", "gate_bias", "up_bias", "down_bias")},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_every_part_shows(wrong: str) -> None:
    weights = weights_of()
    changed = dataclasses.replace(weights, layers=tuple(map(WRONG[wrong], weights.layers)))
    assert difference(changed, reference_logits(weights, IDS)) > SHOWS


@pytest.mark.parametrize("fields", [{"experts_per_token": 1}, {"sliding_window": 8}, {"windowed": (False, True) * 2}])
def test_every_field_shows(fields: dict[str, Any]) -> None:
    weights = weights_of()
    changed = dataclasses.replace(weights, config=dataclasses.replace(TOY, **fields))
    assert difference(changed, reference_logits(weights, IDS)) > SHOWS


def by_hand(w: ExpertWeights, x: Tensor, chosen: int) -> Tensor:
    scores = [float(w.router[e] @ x + w.router_bias[e]) for e in range(len(w.router))]
    best = sorted(range(len(scores)), key=lambda e: -scores[e])[:chosen]
    shares = torch.tensor([scores[e] for e in best], dtype=x.dtype).softmax(0)
    outs = [
        w.down[e] @ clamped_gate(w.gate[e] @ x + w.gate_bias[e], w.up[e] @ x + w.up_bias[e]) + w.down_bias[e]
        for e in best
    ]
    return sum(share * out for share, out in zip(shares, outs, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize("chosen", [1, 2, 5])
def test_rows_through_experts_by_hand(chosen: int) -> None:
    experts = weights_of(torch.float64).layers[0].experts
    assert experts is not None
    x = torch.randn(7, TOY.hidden_size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    want = torch.stack([by_hand(experts, row, chosen) for row in x])
    torch.testing.assert_close(experts.of(x, chosen, as_it_is), want)
    torch.testing.assert_close(through_experts(experts, chosen, x), want, rtol=1e-5, atol=1e-5)  # weighed in float32


def test_the_gate_by_hand() -> None:
    got = clamped_gate(torch.tensor([9.0, -9.0, 1.0]), torch.tensor([2.0, 9.0, -9.0]))
    sigmoid = torch.tensor([7.0, -9.0, 1.0]).mul(1.702).sigmoid()
    torch.testing.assert_close(got, torch.tensor([7.0 * 3, -9.0 * 8, 1.0 * -6]) * sigmoid)


def test_sizes_are_the_configurations() -> None:
    weights = weights_of(torch.bfloat16)
    roles = layer_shapes(TOY)
    assert all(tuple(layer.named(role).shape) == shape for layer in weights.layers for role, shape in roles.items())
    assert weights.nbytes == TOY.weight_bytes("bfloat16")
    expert = 3 * 64 * 48 + 2 * 48 + 64
    assert TOY.parameters - TOY.read_parameters == 4 * (5 - 2) * expert
    assert weights.pass_nbytes == pass_bytes(TOY, torch.bfloat16)
    assert pass_bytes(TOY, torch.float32) == 4 * (TOY.read_parameters - 512 * 64)
    attention = 64 * 16 * (2 * 4 + 2 * 2)
    assert token_operations(TOY) == 2 * 4 * (attention + 2 * 3 * 64 * 48 + 64 * 5)


def test_files_hold_gate_and_up_by_turns() -> None:
    weights = weights_of()
    layer, state = weights.layers[1], state_dict(weights)
    assert layer.experts is not None
    stored = state["model.layers.1.mlp.experts.gate_up_proj"]
    assert stored.shape == (5, 64, 2 * 48)
    assert torch.equal(stored[..., 0::2], layer.experts.gate.mT)
    assert torch.equal(stored[..., 1::2], layer.experts.up.mT)
    assert torch.equal(state["model.layers.1.mlp.experts.gate_up_proj_bias"][:, 1::2], layer.experts.up_bias)
    assert torch.equal(state["model.layers.1.mlp.experts.down_proj"], layer.experts.down.mT)
    assert not any("[" in name for name in state)
    assert written_experts({"model.norm.weight": weights.output_norm}) == {"model.norm.weight": weights.output_norm}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rope_parameters": None}, "got no rope_scaling and no rope_parameters; expected one of them"),
        ({"swiglu_limit": 5.0}, "got swiglu_limit 5.0, expected 7.0"),
        ({"attention_bias": False}, "got attention_bias False, expected True"),
        ({"num_experts_per_tok": 6}, "got 6 of 5 experts a token, expected 1 to all"),
        ({"num_experts_per_tok": 0}, "got 0 of 5 experts a token"),
        ({"num_local_experts": 6}, r"tensor model.layers.0.mlp.router.weight"),
        ({"num_attention_heads": 8}, r"q_proj|sinks"),
        ({"model_type": "llama"}, "got attention_bias True, expected False or none"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_refused_by_name(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    save_folder(weights_of(), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    with pytest.raises(ModelError, match=message):
        load_model(str(tmp_path))


def test_sinks_of_the_wrong_number_of_heads_are_refused(tmp_path: Path) -> None:
    weights = weights_of()
    more = dataclasses.replace(weights.layers[0], sinks=torch.zeros(6))
    save_folder(dataclasses.replace(weights, layers=(more, *weights.layers[1:])), tmp_path)
    with pytest.raises(ModelError, match=r"model.layers.0.self_attn.sinks.*6.*4"):
        load_model(str(tmp_path))


def test_experts_are_stored_in_the_dtype_alone() -> None:
    with pytest.raises(ImpossibleCase, match="toy_gpt_oss has experts, which are stored in the dtype alone"):
        GenerateCase(model="toy_gpt_oss", prompts="random", prompt_len=8, new_tokens=4, weights="int8")
