"""The contract of generate: ids that never change, costs by hand, and what no case can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.errors import ImpossibleCase, ModelError, TraceError, UnknownName, UsageError
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.huggingface import save_folder
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import GENERATE

FROZEN = {
    "summarise-bf16": {},
    "chat-P64-N128-fp32": {"prompts": "chat", "prompt_len": 64, "new_tokens": 128, "dtype": "float32"},
    "llama3_8b-random-B8-bf16": {"model": "llama3_8b", "prompts": "random", "batch": 8},
    "smollm2_135m.random-random-bf16": {"model": "smollm2_135m:random", "prompts": "random"},
    "code-sample.t0.8.p0.95-bf16": {"prompts": "code", "decoding": "sample:t0.8:p0.95"},
    "summarise-prompt_lookup.6-fp16": {"decoding": "prompt_lookup:6", "dtype": "float16"},
    "summarise-draft_model.4-bf16-by_smollm2_135m-dw_int8": {
        "decoding": "draft_model",
        "draft": "smollm2_135m",
        "draft_weights": "int8",
    },
    "summarise-synthetic.2.a0.9.a0.5.c0.1-bf16": {"decoding": "synthetic:2:a0.9:a0.5:c0.1"},
    "summarise-draft_model.3.t1-bf16-by_smollm2_135m": {"decoding": "draft_model:3:t1", "draft": "smollm2_135m"},
    "summarise-beam.2-bf16": {"decoding": "beam:2"},
    "summarise-B4-R12-paged.16-int8_token-bf16-continuous-poisson.0_5-pool40": {
        "batch": 4,
        "requests": 12,
        "layout": "paged:16",
        "cache": "int8_token",
        "batching": "continuous",
        "arrivals": "poisson:0.5",
        "pages": 40,
    },
    "summarise-bf16-ttft500-tpot50": {"ttft_ms": 500, "tpot_ms": 50},
}


@pytest.mark.parametrize("text", FROZEN)
def test_ids_stay_as_they_are(text: str) -> None:
    case = GenerateCase(**FROZEN[text])  # type: ignore[arg-type]
    assert case.id == text
    assert GenerateCase.parse(text) == case
    assert GenerateCase.build(case.values()) == case, "as it is stored"


def test_a_model_in_a_file_has_an_id_too(tmp_path: Path) -> None:
    path = tmp_path / "no-model.here"
    with pytest.raises((UnknownName, ModelError, UsageError), match=r"no-model"):
        GenerateCase(model=str(path) + ".gguf")
    folder = tmp_path / "empty-model"
    folder.mkdir()
    with pytest.raises(ModelError, match=r"config\.json"):
        GenerateCase(model=str(folder))


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"prompt_len": 8190, "new_tokens": 3}, "8193 tokens in all; expected at most 8192, the context of smollm2"),
        ({"prompt_len": 0}, "axis prompt_len: got 0; expected a whole number of at least 1"),
        ({"model": "llama4"}, "axis model: got"),
        ({"prompts": "poems"}, "expected one of"),
        ({"layout": "ring:512"}, "keeps every token"),
        ({"layout": "paged:16", "cache": "int4_g32"}, "multiple of 32"),
        ({"decoding": "prompt_lookup:4", "cache": "int4_g32"}, "guesses can be taken back"),
        ({"decoding": "sample:p1.5"}, "top_p"),
        ({"decoding": "sample:k0"}, "top_k"),
        ({"batching": "continuous"}, "expected a paged one"),
        ({"batching": "continuous", "layout": "paged:16", "decoding": "beam"}, "expected greedy, sample"),
        ({"batching": "continuous", "layout": "paged:16", "pages": 19}, "too few for one request; expected 20 or more"),
        ({"pages": 40, "layout": "paged:16"}, "expected continuous"),
        ({"decoding": "beam:4", "batch": 2}, "the beams are the batch"),
        ({"draft": "smollm2_360m"}, "expected draft_model or synthetic"),
        ({"decoding": "draft_model", "draft_weights": "int8"}, "without a draft; expected draft=MODEL"),
        ({"decoding": "draft_model", "draft": "smollm2_135m", "draft_weights": "q4_1"}, "expected a recipe"),
        (
            {"decoding": "draft_model", "draft": "smollm2_135m", "draft_weights": "int4_g128"},
            "got draft_weights=int4_g128",
        ),
        ({"draft": "smollm2_135m", "draft_weights": "int8"}, "expected draft_model or synthetic"),
        ({"decoding": "synthetic:2:a1:c0.1", "draft": "smollm2_360m"}, "which takes its own time, or the cost :c0.1"),
        ({"decoding": "draft_model", "draft": "llama3_8b"}, "vocabulary of 128256 tokens for smollm2_135m with 49152"),
        ({"arrivals": "rate:0"}, "expected together, rate:R"),
    ],
    ids=lambda value: "-".join(map(str, value.values()))[:40] if isinstance(value, dict) else "",
)
def test_what_no_case_can_be(axes: dict[str, object], said: str) -> None:
    with pytest.raises((ImpossibleCase, UnknownName)) as raised:
        GenerateCase(**axes)  # type: ignore[arg-type]
    assert said in str(raised.value) or (axes.get("model") == "llama4" and "llama" in str(raised.value))


def test_a_trace_is_read_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "falling"
    path.write_text("3\n1\n")
    with pytest.raises(TraceError, match="expected rising times"):
        GenerateCase(batch=1, requests=2, arrivals=f"trace@{path}")  # type: ignore[arg-type]


def test_costs_by_hand() -> None:
    """toy: hidden 64, 4 query heads over 2 of size 16, intermediate 160 (see the configuration), vocabulary 512."""
    c = PUBLISHED["toy"]
    case = GenerateCase(model="toy", prompts="random", prompt_len=3, new_tokens=2, dtype="float32")
    attention = c.hidden_size * c.head_dim * (c.q_heads + 2 * c.kv_heads) + c.q_heads * c.head_dim * c.hidden_size
    a_token = 2 * c.layers * (attention + 3 * c.hidden_size * c.intermediate_size)
    a_head = 2 * c.hidden_size * c.vocab_size
    pairs = 1 + 2 + 3 + 4  # three prompt tokens and the first of the answer; the last is never read
    assert GENERATE.operations(case) == 4 * a_token + 2 * a_head + 4 * c.head_dim * c.q_heads * c.layers * pairs

    head = 0 if c.tied_embeddings else c.vocab_size * c.hidden_size
    weights = 4 * (c.parameters - head)
    cached = 4 * c.layers * 2 * c.kv_heads * c.head_dim * 4  # the one step sees four tokens
    assert GENERATE.bytes_moved(case) == 2 * weights + cached + 5 * 8


def test_guesses_save_passes_and_batches_share_them() -> None:
    plain = GenerateCase(model="toy", prompts="random", prompt_len=4, new_tokens=9)
    guessed = GenerateCase(model="toy", prompts="random", prompt_len=4, new_tokens=9, decoding="prompt_lookup:3")  # type: ignore[arg-type]
    both = GenerateCase(model="toy", prompts="random", prompt_len=4, new_tokens=9, batch=2)
    assert GENERATE.bytes_moved(guessed) < 0.4 * GENERATE.bytes_moved(plain)  # 3 passes for 9
    assert GENERATE.bytes_moved(plain) < GENERATE.bytes_moved(both) < 1.2 * GENERATE.bytes_moved(plain)
    assert GENERATE.operations(both) == 2 * GENERATE.operations(plain)


def test_inputs_are_seeded_and_ids_out_of_range_are_told() -> None:
    case = GenerateCase(model="toy", prompts="random", batch=2, prompt_len=5)
    a, b, c = (GENERATE.make_inputs(case, NORMAL_DRAW, seed, torch.device("cpu")) for seed in (1, 1, 2))
    assert torch.equal(a.prompts, b.prompts)
    assert not torch.equal(a.prompts, c.prompts)
    assert a.weights is c.weights, "read once"
    a.prompts[1, 2] = 512
    with pytest.raises(UsageError, match="expected 0 to 511"):
        a.begin()


def test_random_prompts_want_no_tokenizer(tmp_path: Path) -> None:
    """A folder that has none, and a model that has one: ids that are of no text are not tokenised."""
    pytest.importorskip("safetensors")
    save_folder(random_weights(PUBLISHED["toy"], torch.float32, "cpu"), tmp_path)
    assert not list(tmp_path.glob("tokenizer*"))
    case = GenerateCase.build({"model": str(tmp_path), "prompts": "random", "prompt_len": 5, "dtype": "float32"})
    inputs = GENERATE.make_inputs(case, NORMAL_DRAW, 1, torch.device("cpu"))
    assert inputs.tokenizer is None
    assert inputs.prompts.shape == (1, 5)
    recorder = inputs.begin()
    assert len(recorder.prompt(0)) == 5
    assert recorder.log().requests[0].tokenise_ns is None
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        GENERATE.make_inputs(replace(case, prompts="chat"), NORMAL_DRAW, 1, torch.device("cpu"))
