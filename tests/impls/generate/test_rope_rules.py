"""Engines turn by the rule of a model's file: the same text as the reference, with prompts past where a rule begins."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.contract.registry import discover
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.huggingface import save_folder
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import reference_greedy
from attnlab.bench.llm.models.rope_scaling import (
    DynamicScaling,
    FactorScaling,
    LinearScaling,
    LongRopeScaling,
    RopeScaling,
    YarnScaling,
)
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import GENERATE

FACTORS = tuple(1.0 + pair for pair in range(8))
RULES: dict[str, RopeScaling] = {
    "linear": LinearScaling(4.0),
    "dynamic": DynamicScaling(4.0, 1024),
    "yarn": YarnScaling(4.0, 16, 1.2, beta_fast=4.0),
    "longrope": LongRopeScaling(tuple(0.5 * factor for factor in FACTORS), FACTORS, 20, 1.2),
    "divisors": FactorScaling(FACTORS, 0.8),
}


@pytest.mark.parametrize("decoding", ["greedy", "draft_model:2"])
@pytest.mark.parametrize("name", RULES)
def test_an_engine_turns_by_the_rule(name: str, decoding: str, tmp_path: Path) -> None:
    """The model drafts for itself, too, and then every guess stands."""
    config = dataclasses.replace(PUBLISHED["toy"], rope_scaling=RULES[name])
    weights = random_weights(config, torch.float32, "cpu")
    save_folder(weights, tmp_path / "m")
    own = {} if decoding == "greedy" else {"draft": str(tmp_path / "m")}
    case = GenerateCase.build(
        {
            "model": str(tmp_path / "m"),
            "prompts": "random",
            "prompt_len": 24,
            "new_tokens": 6,
            "dtype": "float32",
            "decoding": decoding,
            **own,
        }
    )
    inputs = GENERATE.make_inputs(case, NORMAL_DRAW, 0, torch.device("cpu"))
    expected = reference_greedy(weights, inputs.prompts, 6)
    plain = dataclasses.replace(weights, config=PUBLISHED["toy"])
    assert torch.equal(reference_greedy(plain, inputs.prompts, 6), expected) == (name == "dynamic")
    for engine in ("naive", "transformers") if decoding == "greedy" else ("naive",):
        made = discover().implementations("generate").get(engine)
        generated = made.run(inputs, made.prepare(case, inputs))
        assert torch.equal(generated.tokens, expected), engine
    if own:
        verified = [a_pass for a_pass in generated.log.passes if a_pass.drafted]
        assert verified
        assert all(a_pass.accepted == a_pass.drafted for a_pass in verified)
