"""Our engines on Qwen3, the Gemmas and gpt-oss: windows by layer, past their borders, and what an engine refuses."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from attnlab.bench.errors import Unavailable
from attnlab.bench.llm.caches import format_of, layout_of
from attnlab.bench.llm.models.config import PUBLISHED, ModelConfig
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import reference_logits
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs
from attnlab.impls.generate._engine.adapter import EngineAdapter
from attnlab.impls.generate._engine.engine import Engine
from attnlab.impls.generate._engine.parts import QUICK_ON_CPU, Parts
from attnlab.impls.generate.naive import Naive
from attnlab.impls.generate.paged import Paged
from attnlab.impls.generate.sdpa import Sdpa

CPU = torch.device("cpu")
IDS = torch.randint(0, 512, (2, 40), generator=torch.Generator().manual_seed(2))
TOYS = ("toy_qwen3", "toy_gemma2", "toy_gemma3", "toy_gpt_oss")
PAGES = dataclasses.replace(QUICK_ON_CPU, attention="sdpa_pages", append="indexed")
ENGINES = {
    "naive": (Parts(), "contiguous_bhsd", TOYS),
    "naive on pages": (Parts(), "paged:4", TOYS),
    "sdpa": (QUICK_ON_CPU, "contiguous_bhsd", ("toy_qwen3", "toy_gemma3")),
    "paged": (PAGES, "paged:4", ("toy_qwen3", "toy_gemma3")),
}


@pytest.mark.parametrize(("engine", "model"), [(name, toy) for name, made in ENGINES.items() for toy in made[2]])
def test_every_step_is_as_in_the_reference(engine: str, model: str) -> None:
    """Prompts that end before the window of 7 and far behind it, then one token at a time, and three at once."""
    parts, layout, _ = ENGINES[engine]
    weights = random_weights(PUBLISHED[model], torch.float32, "cpu", seed=3)
    expected = reference_logits(weights, IDS, torch.float64)
    made = Engine(weights, parts, layout_of(layout), format_of("same"), batch=2, capacity=40)
    for prompt in (5, 25):
        made.reset()
        assert (made.prefill(IDS[:, :prompt]) - expected[:, prompt - 1]).abs().max() < 1e-4, prompt
        for place in range(prompt, prompt + 4):
            logits = made.decode(IDS[:, place : place + 1])[:, 0]
            assert (logits - expected[:, place]).abs().max() < 1e-4, (prompt, place)
        last = made.decode(IDS[:, prompt + 4 : prompt + 7])
        assert (last - expected[:, prompt + 4 : prompt + 7]).abs().max() < 1e-4, prompt


@pytest.mark.parametrize(
    ("model", "made"),
    [("toy_gemma2", Naive()), ("toy_gemma3", Paged()), ("toy_qwen3", Paged()), ("toy_gpt_oss", Naive())],
)
def test_continuous_batching_chooses_what_the_reference_does(model: str, made: EngineAdapter) -> None:
    """Prompts are longer than a chunk and than the window, and requests join and leave."""
    case = GenerateCase.build(
        {
            "model": model,
            "prompts": "random",
            "prompt_len": 70,
            "new_tokens": 3,
            "batch": 2,
            "requests": 3,
            "layout": "paged:8",
            "batching": "continuous",
            "dtype": "float32",
        }
    )
    weights = random_weights(PUBLISHED[model], torch.float32, "cpu", seed=0)
    prompts = torch.randint(0, 512, (3, 70), generator=torch.Generator().manual_seed(7))
    inputs = GenerateInputs(prompts, weights, None, (0.0,) * 3, 0)
    answers = made.run(inputs, made.prepare(case, inputs)).tokens
    logits = reference_logits(weights, torch.cat([prompts, answers], 1), torch.float64, last=4)[:, :-1]
    regret = logits.max(-1).values - logits.gather(-1, answers[..., None])[..., 0]
    assert float(regret.max()) < 1e-4


def case_of(model: str, **axes: object) -> GenerateCase:
    return GenerateCase.build({"model": model, "prompts": "random", "prompt_len": 8, "new_tokens": 4, **axes})


@pytest.mark.parametrize(
    ("model", "part", "lacks"),
    [
        ("toy_gemma2", "prompt_attention sdpa_flash", "softcap 2 is not served: none only"),
        ("toy_gpt_oss", "attention native", "sinks learned is not served: none only"),
    ],
)
def test_an_engine_whose_parts_lack_a_variant_says_so(model: str, part: str, lacks: str) -> None:
    made = Sdpa()
    assert made.supports(case_of(model)) == f"{part}: {lacks}"
    drafted = case_of("toy", decoding="draft_model:2", draft=model)
    assert made.supports(drafted) == f"{part}: {lacks}"
    assert made.supports(case_of("toy_gemma3")) is None
    assert Naive().supports(case_of(model, layout="paged:8")) is None
    weights = random_weights(PUBLISHED[model], torch.float32, "cpu")
    engine = Engine(weights, QUICK_ON_CPU, layout_of("contiguous_bhsd"), format_of("same"), batch=2, capacity=40)

    def pass_of_each_kind() -> None:
        engine.prefill(IDS[:, :5])
        engine.decode(IDS[:, 5:6])

    with pytest.raises(Unavailable, match=rf"attention/{part.split()[1]} of .*: {lacks}"):
        pass_of_each_kind()


@pytest.mark.parametrize("name", TOYS)
def test_transformers_serves_the_same_model(name: str) -> None:
    pytest.importorskip("transformers")
    from attnlab.impls.generate._transformers_model import model_of
    from attnlab.impls.generate.transformers import Transformers

    config: ModelConfig = dataclasses.replace(PUBLISHED[name], hidden_size=72)
    weights = random_weights(config, torch.float32, CPU, 0)
    with torch.no_grad():
        logits = model_of(weights)(IDS).logits
    assert (logits - reference_logits(weights, IDS)).abs().max() < 1e-4
    case = case_of(name, dtype="float32", prompt_len=20, new_tokens=5)
    inputs = GenerateInputs(IDS[:1, :20], weights, None, (0.0,), 0)
    made = Transformers()
    answers = made.run(inputs, made.prepare(case, inputs)).tokens
    expected = reference_logits(weights, torch.cat([IDS[:1, :20], answers], 1), last=6)[:, :-1]
    assert torch.equal(expected.argmax(-1), answers)
