"""Cases of serve: ids that never change, what no case can be, and the loads and lengths that they stand for."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path

import pytest

from attnlab.bench.errors import ImpossibleCase, TraceError
from attnlab.bench.ops.serve.case import ServeCase

FROZEN: dict[str, dict[str, object]] = {
    "summarise-bf16": {},
    "chat-R32-P64-N8-concurrency.16-fp32": {
        "prompts": "chat",
        "requests": 32,
        "prompt_len": 64,
        "new_tokens": 8,
        "load": "concurrency:16",
        "dtype": "float32",
    },
    "at_vllm-served-summarise-poisson.0_5-bf16-ttft500-tpot50": {
        "server": "vllm",
        "model": "served",
        "load": "poisson:0.5",
        "ttft_ms": 500,
        "tpot_ms": 50,
    },
    "by_sdpa-code-B2-Puniform.32.128-Nlognormal.16.0_5.64-rate.2-whole-warm-own_end-bf16": {
        "engine": "sdpa",
        "prompts": "code",
        "batch": 2,
        "prompt_len": "uniform:32:128",
        "new_tokens": "lognormal:16:0.5:64",
        "load": "rate:2",
        "answer": "whole",
        "prefix": "warm",
        "ending": "own_end",
    },
    "summarise-sample.t0.8.p0.95-gamma.2.0_5-asis-bf16": {
        "sampling": "sample:t0.8:p0.95",
        "load": "gamma:2:0.5",
        "prefix": "asis",
    },
    "chat-R6-conversations.3.0_25-bf16": {"prompts": "chat", "requests": 6, "load": "conversations:3:0.25"},
}


@pytest.mark.parametrize("text", FROZEN)
def test_ids_stay_as_they_are(text: str) -> None:
    case = ServeCase(**FROZEN[text])  # type: ignore[arg-type]
    assert case.id == text
    assert ServeCase.parse(text) == case
    assert ServeCase.build(case.values()) == case, "as it is stored"


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"server": "my-server"}, "expected a name of letters, digits and _"),
        ({"model": "served"}, "model served without a server"),
        ({"engine": "sdpa", "server": "vllm"}, "got engine sdpa of server vllm"),
        ({"prompt_len": 8190, "new_tokens": 3}, "8193 tokens; expected at most 8192"),
        ({"prompt_len": "uniform:9:3"}, "expected uniform:LEAST:MOST with LEAST no more than MOST"),
        ({"prompt_len": "trace"}, "expected load trace@PATH"),
        ({"new_tokens": "lognormal:9:0:20"}, "expected a sigma above 0"),
        ({"new_tokens": 0}, "expected 1 to"),
        ({"load": "concurrency:0"}, "expected numbers above zero"),
        ({"load": "poisson:0"}, "expected numbers above zero"),
        ({"load": "fast"}, "expected concurrency:N, rate:R"),
        ({"load": "conversations:3:0", "requests": 4}, "4 requests in conversations of 3 turns"),
        ({"load": "conversations:2:0", "prompts": "random"}, "random prompts in conversations"),
        ({"sampling": "beam:2"}, "expected greedy, or sample"),
        ({"requests": 10**8}, "expected at most 100000 in one load"),
        ({"answer": "slowly"}, "expected one of stream, whole"),
    ],
    ids=lambda value: "-".join(map(str, value.values()))[:40] if isinstance(value, dict) else "",
)
def test_what_no_case_can_be(axes: dict[str, object], said: str) -> None:
    with pytest.raises(ImpossibleCase, match=said):
        ServeCase.build(axes)


def test_lengths_and_times_are_those_of_a_seed() -> None:
    case = ServeCase.parse("summarise-R400-Puniform.50.150-Nlognormal.20.0_5.60-gamma.10.0_5-bf16")
    assert case.lengths_of(3) == case.lengths_of(3)
    assert case.lengths_of(3) != case.lengths_of(4)
    prompts, answers = zip(*case.lengths_of(3), strict=True)
    assert (min(prompts) >= 50, max(prompts) <= 150, max(answers) <= 60) == (True, True, True)
    assert statistics.fmean(prompts) == pytest.approx(100, rel=0.1)
    assert statistics.median(answers) == pytest.approx(20, rel=0.15)
    gaps = [b - a for a, b in itertools.pairwise(case.due_s(3))]
    assert statistics.fmean(gaps) == pytest.approx(0.1, rel=0.2)
    assert statistics.stdev(gaps) / statistics.fmean(gaps) == pytest.approx(2**0.5, rel=0.25)
    assert ServeCase.parse("summarise-R4-rate.2-bf16").due_s(0) == (0.0, 0.5, 1.0, 1.5)


def test_a_trace_gives_times_lengths_shared_beginnings_and_turns(tmp_path: Path) -> None:
    trace = tmp_path / "requests.jsonl"
    trace.write_text(
        '{"time_s": 5.0, "prompt_tokens": 60, "answer_tokens": 4, "prefix": "a"}\n'
        '{"time_s": 5.5, "prompt_tokens": 80, "answer_tokens": 6, "prefix": "a", "conversation": "x"}\n'
        '{"time_s": 6.0, "prompt_tokens": 50, "answer_tokens": 5, "conversation": "x", "think_s": 0.5}\n'
    )
    case = ServeCase.build({"load": f"trace@{trace}", "requests": 3, "prompt_len": "trace", "new_tokens": "trace"})
    assert ServeCase.parse(case.id) == case
    assert case.files() == {"load": trace}
    assert case.due_s(0) == (0.0, 0.5, 1.0)
    assert case.lengths_of(0) == ((60, 4), (80, 6), (50, 5))
    assert case.shared == ((("a", 30),), (("a", 30),), ())
    assert case.follows == (None, None, 1)
    assert case.think_s(2) == 0.5
    with pytest.raises(TraceError, match="got 3 requests for 4"):
        ServeCase.build({"load": f"trace@{trace}", "requests": 4})
