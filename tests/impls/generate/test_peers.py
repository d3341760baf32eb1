"""Other engines as implementations of `generate`: the same text, an honest log, and refusals with their reason."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.contract.registry import discover
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import reference_greedy, reference_logits
from attnlab.bench.llm.models.rope_scaling import Llama3Scaling
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs, GenerateOutputs
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.bench.ops.generate.cost import cache_bytes, pass_bytes
from attnlab.bench.store.records import Outcome

CPU = torch.device("cpu")
NO_LLAMA_CPP = "llama.cpp is not here: a build of it takes a quarter of an hour"


def case_of(text: str) -> GenerateCase:
    return GenerateCase.parse(text)


def inputs_of(case: GenerateCase, seed: int = 0) -> GenerateInputs:
    return GENERATE.make_inputs(case, NORMAL_DRAW, seed, CPU)


def peer(name: str) -> Any:
    return discover().implementations("generate").get(name)


def served(name: str, case: GenerateCase, inputs: GenerateInputs | None = None) -> GenerateOutputs:
    made, inputs = peer(name), inputs or inputs_of(case)
    generated = made.run(inputs, made.prepare(case, inputs))
    assert isinstance(generated, GenerateOutputs)
    return generated


def test_transformers_gives_the_text_of_the_reference_and_tells_its_passes() -> None:
    pytest.importorskip("transformers")
    case = case_of("toy-random-B2-R3-P24-N6-fp32")
    inputs = inputs_of(case)
    generated = served("transformers", case, inputs)
    assert torch.equal(generated.tokens, reference_greedy(inputs.weights, inputs.prompts, 6))
    passes = generated.log.passes
    assert [p.kind for p in passes] == ["prefill", *["decode"] * 5] * 2
    assert [p.rows for p in passes] == [48, *[2] * 5, 24, *[1] * 5]
    assert all(p.elapsed_ns > 0 and p.drafted == () for p in passes)
    read = pass_bytes(case.config, torch.float32) + cache_bytes(
        case.config, case.placing, case.format, torch.float32, [26, 26]
    )
    assert passes[2].read_bytes == read
    for request in generated.log.requests:
        assert request.tokens == (1, 2, 3, 4, 5, 6)
        assert list(request.times_ns) == sorted(request.times_ns)
        assert request.first_sample_ns is not None
        assert 0 < request.first_sample_ns < request.times_ns[0]
    assert generated.log.requests[2].times_ns[0] > generated.log.requests[1].times_ns[-1]  # a batch after the other


@pytest.mark.parametrize(
    "case_id",
    [
        "toy-random-B2-P20-N6-bf16",
        "toy-random-B2-P20-N12-sample.t0.8.k50.p0.9.m0.01.r1.1-fp32",
        "toy-random-P20-N12-prompt_lookup.3-fp32",
        "toy-random-P20-N12-prompt_lookup.3.t1-fp32",
    ],
)
def test_transformers_passes_the_check(case_id: str, measured: Any) -> None:
    pytest.importorskip("transformers")
    measurement = measured("generate", "transformers", case_id)
    assert (measurement.outcome, measurement.reason) == (Outcome.PASSED, None)
    assert measurement.check.deterministic
    assert f"weights and cache {case_of(case_id).dtype}" in measurement.configuration


def test_transformers_holds_our_tensors_and_leaves_the_random_numbers_alone() -> None:
    pytest.importorskip("transformers")
    case = case_of("toy-random-P8-N3-sample.t1-fp32")
    inputs = inputs_of(case)
    made = peer("transformers")
    state = made.prepare(case, inputs)
    ours = {x.data_ptr() for x in (inputs.weights.embedding, *inputs.weights.layers[0].tensors())}
    theirs = {x.data_ptr() for x in state.model.parameters()}
    assert ours <= theirs
    before = torch.get_rng_state()
    first, again = (made.run(inputs, state).tokens for _ in range(2))
    other = made.run(dataclasses.replace(inputs, seed=1), state).tokens
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "changes",
    [
        {"qkv_bias": True, "tied_embeddings": False},
        {"sliding_window": 7},
        {"rope_scaling": Llama3Scaling(8.0, 1.0, 4.0, 64)},
    ],
    ids=["qwen2", "mistral", "llama3"],
)
def test_transformers_computes_the_same_model_of_each_kind(changes: dict[str, Any]) -> None:
    pytest.importorskip("transformers")
    from attnlab.impls.generate._transformers_model import model_of

    weights = random_weights(dataclasses.replace(PUBLISHED["toy"], **changes), torch.float32, CPU, 0)
    ids = torch.randint(0, 512, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model_of(weights)(ids).logits
    assert (logits - reference_logits(weights, ids)).abs().max() < 1e-4


def test_judged_guesses_are_told_as_such() -> None:
    from attnlab.impls.generate.transformers import PassWatcher, TransformersSetup

    case = case_of("toy-random-P8-N9-prompt_lookup.3-fp32")
    recorder = inputs_of(case).begin()
    model = torch.nn.Linear(1, 1)
    model.device = CPU  # type: ignore[assignment]
    watcher = PassWatcher(TransformersSetup(case, model, None), recorder, [0])
    watcher.put(torch.zeros(1, 8))
    for rows, stood in ((8 + 2, 1), (3 + 1, 3), (1, 0), (2, 0)):
        watcher._before(model, (), {"input_ids": torch.zeros(1, rows)})
        watcher._after(model, (), None)
        watcher.put(torch.zeros(1, stood + 1))
    log = recorder.log()
    assert log.requests[0].tokens == (2, 6, 7, 8)
    assert [p.kind for p in log.passes] == ["prefill", "verify", "decode", "verify"]
    assert [p.drafted for p in log.passes] == [(2,), (3,), (), (1,)]
    assert [p.accepted for p in log.passes] == [(1,), (3,), (), (0,)]
    token = cache_bytes(case.config, case.placing, case.format, torch.float32, [1])
    lengths = [(p.read_bytes - pass_bytes(case.config, torch.float32)) / token for p in log.passes]
    assert lengths == [10, 9 + 4, 13 + 1, 14 + 2]


@pytest.mark.parametrize(
    ("name", "case_id", "reason"),
    [
        ("transformers", "toy-random-P8-N4-fp32-beam.2", "decoding beam is not served"),
        ("transformers", "toy-random-B2-P8-N4-fp32-prompt_lookup.2", "batch 2 with prompt_lookup is not served"),
        ("transformers", "toy-random-P8-N4-fp32-paged.16", "layout paged:16 with cache same is not served"),
        ("transformers", "toy-random-P8-N4-fp32-int8_token", "cache int8_token is not served"),
        ("transformers", "P96-N4-fp32-w_q4_1", "weights q4_1 is not served: same only"),
        ("naive", "P96-N4-fp32-w_q4_1", "weights q4_1 are not served, whose activations are rounded over 32"),
        ("llama_cpp", "P96-N4-fp32", "weights same are not served: q4_1 only"),
        ("llama_cpp", "B2-P96-N4-fp32-w_q4_1", "batch 2 is not served: 1 only"),
        ("llama_cpp", "P96-N4-fp32-w_q4_1-sample.t0.8.p0.9", "temperature 0.8 with top-p or min-p is not served"),
        ("llama_cpp", "P96-N4-fp32-w_q4_1-sample.t1.r1.1", "a repetition penalty is not served"),
        ("vllm", "toy-random-P8-N4-fp32", "layout contiguous_bhsd with cache same is not served: paged:16"),
        ("vllm", "toy-random-P8-N4-fp32-paged.16-sample.t1.p0.9.m0.1", "min-p with top-p is not served"),
    ],
)
def test_what_is_not_served_has_a_reason(name: str, case_id: str, reason: str) -> None:
    assert reason in str(peer(name).supports(case_of(case_id)))


def test_llama_cpp_is_asked_for_the_case(stand_in: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stood_in = stand_in("llama_cpp", "llama_cpp")

    monkeypatch.setattr("attnlab.impls._llama_cpp.find_model", lambda: tmp_path / "the.gguf")
    case = case_of("random-R2-P6-N4-bf16-w_q4_1")
    weights = random_weights(PUBLISHED["toy"], torch.bfloat16, CPU, 0)
    inputs = GenerateInputs(torch.arange(12).view(2, 6), weights, None, (0.0, 0.0), 0)
    made = peer("llama_cpp")
    state = made.prepare(case, inputs)
    first, again = (made.run(inputs, state) for _ in range(2))
    assert first.tokens.tolist() == [[26, 34, 74, 80], [56, 87, 48, 47]]
    assert torch.equal(first.tokens, again.tokens)
    (llama,) = stood_in.made
    assert llama.asked["model_path"] == str(tmp_path / "the.gguf")
    assert (llama.asked["n_ctx"], llama.asked["type_k"], llama.asked["type_v"]) == (10, 30, 30)
    assert llama.reused == [0] * 4  # no prompt's beginning is taken from the call before
    assert llama.calls[0] == {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, "temp": 0.0}
    assert [(p.kind, p.rows) for p in first.log.passes] == [("prefill", 6), *[("decode", 1)] * 3] * 2
    assert [r.tokens for r in first.log.requests] == [(1, 2, 3, 4)] * 2
    assert "activations 8 bits in products, cache bfloat16; built with SSE3 AVX2 OPENMP" in made.configuration(case)


def test_llama_cpp_draws_from_a_seed_of_the_request(
    stand_in: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stood_in = stand_in("llama_cpp", "llama_cpp")

    monkeypatch.setattr("attnlab.impls._llama_cpp.find_model", lambda: tmp_path / "the.gguf")
    case = case_of("random-R2-P6-N4-bf16-w_q4_1-sample.t0.7.k9")
    weights = random_weights(PUBLISHED["toy"], torch.bfloat16, CPU, 0)
    inputs = GenerateInputs(torch.zeros(2, 6, dtype=torch.int64), weights, None, (0.0, 0.0), 3)
    made = peer("llama_cpp")
    tokens = made.run(inputs, made.prepare(case, inputs)).tokens
    assert not torch.equal(tokens[0], tokens[1])
    call = {"top_k": 9, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, "temp": 0.7}
    assert stood_in.made[0].calls == [call, call]


@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason=NO_LLAMA_CPP)
def test_llama_cpp_passes_the_check_of_its_precision(measured: Any) -> None:
    measurement = measured("generate", "llama_cpp", "P80-N6-fp32-w_q4_1")
    assert (measurement.outcome, measurement.reason) == (Outcome.PASSED, None)
    assert measurement.check.deterministic


@pytest.mark.parametrize(
    ("case_id", "together"),
    [("toy-random-B2-R3-P20-N5-paged.16-fp32", 2), ("toy-random-B2-R3-P20-N5-paged.16-fp32-continuous", 2)],
)
def test_vllm_serves_the_same_weights(case_id: str, together: int, stand_in: Any) -> None:
    stood_in = stand_in("vllm", "vllm")
    case = case_of(case_id)
    inputs = inputs_of(case)
    made = peer("vllm")
    state = made.prepare(case, inputs)
    assert made.prepare(case, dataclasses.replace(inputs, seed=9)) is state  # copies of inputs share an engine
    generated = made.run(inputs, state)
    assert torch.equal(generated.tokens, reference_greedy(inputs.weights, inputs.prompts, 5))
    (llm,) = stood_in.made
    asked = llm.asked
    assert (asked["dtype"], asked["max_model_len"], asked["max_num_seqs"]) == ("float32", 25, 2)
    assert (asked["block_size"], asked["enable_prefix_caching"]) == (16, False)
    pages = 2 * (2 + 1) + 1  # two sequences of two pages with one to spare each, and one that stays empty
    assert asked["kv_cache_memory_bytes"] == pages * 16 * 3 * 2 * 2 * 16 * 4
    assert llm.in_process
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in os.environ
    assert not Path(asked["model"]).exists()
    assert llm.llm_engine.most_together == together
    first_of_last = generated.log.requests[2].times_ns[0]
    ends = [request.times_ns[-1] for request in generated.log.requests[:2]]
    assert first_of_last > min(ends)
    assert all(request.tokens == (1, 2, 3, 4, 5) for request in generated.log.requests)


def test_vllm_passes_the_check_where_requests_arrive_later(stand_in: Any, measured: Any) -> None:
    stand_in("vllm", "vllm")
    case_id = "toy-random-B2-R3-P20-N5-paged.16-fp32-continuous-rate.50"
    measurement = measured("generate", "vllm", case_id)
    assert (measurement.outcome, measurement.reason) == (Outcome.PASSED, None)
    assert peer("vllm").unverified.startswith("vllm 0.33.0")
