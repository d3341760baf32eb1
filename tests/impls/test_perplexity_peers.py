"""Adapters of perplexity to other engines: what llama.cpp is asked for, and what they refuse."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from attnlab.bench import PerplexityCase, PerplexityInputs
from attnlab.bench.contract.registry import discover


def test_llama_cpp_is_asked_for_each_window_anew(stand_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stood_in = stand_in("llama_cpp", "llama_cpp")

    monkeypatch.setattr("attnlab.impls._llama_cpp.find_model", lambda: Path("model.gguf"))
    case = PerplexityCase(window=6, stride=3, windows=2, batch=2, weights="q4_1")
    ids = torch.tensor([[3, 1, 4, 21, 12, 9], [2, 7, 42, 8, 2, 8]])
    implementation = discover().implementations("perplexity").get("llama_cpp")
    inputs = PerplexityInputs(ids, SimpleNamespace(), case.scored)  # type: ignore[arg-type]
    state = implementation.prepare(case, inputs)
    (made,) = stood_in.made
    assert (made.asked["n_ctx"], made.asked["n_batch"], made.asked["type_k"], made.asked["n_gpu_layers"]) == (
        6,
        6,
        0,
        0,
    )
    rare, likely = (x - math.log(math.exp(3.0) + 96) for x in (0.0, 3.0))
    expected = [
        [likely if (5 * row[at - 1] + row[at - 2]) % 97 == row[at] else rare for at in (3, 4, 5)]
        for row in ids.tolist()
    ]
    logs = implementation.run(inputs, state)
    assert torch.allclose(logs, torch.tensor(expected))
    assert [[value == likely for value in row] for row in expected] == [[True, True, False], [False, False, False]]
    assert made.n_tokens == 6


@pytest.mark.parametrize(
    ("name", "axes", "told"),
    [
        ("llama_cpp", {}, "weights same are not served: q4_1 only"),
        ("llama_cpp", {"weights": "q4_1", "cache": "int8_token"}, "cache int8_token is not served"),
        ("transformers", {"weights": "int8"}, "weights int8 is not served: same only"),
        ("transformers", {"cache": "int8_token"}, "cache int8_token is not served"),
        ("sdpa", {"weights": "int8_dynamic"}, "do not make codes of activations"),
        ("sdpa", {"weights": "q4_1"}, "do not make codes of activations"),
    ],
)
def test_what_is_not_served_is_told(name: str, axes: dict[str, str], told: str) -> None:
    reason = discover().implementations("perplexity").get(name).supports(PerplexityCase.build(axes))
    assert reason is not None
    assert told in reason
