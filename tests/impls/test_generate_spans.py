"""Passes and parts of our decoder have names in a trace, and cost nothing where none is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from attnlab.bench import discover
from attnlab.bench.llm.generation import spans
from attnlab.bench.profilers.profiled_call import ProfiledCall
from attnlab.bench.profilers.record import SPAN
from attnlab.bench.profilers.torch_profile import _recorded
from attnlab.bench.profilers.trace_reading import record_of

CASE = "toy-random-B2-P24-N8-draft_model.2.t1-fp32"


def test_passes_and_parts_are_spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "_recording", True)
    registry, device = discover(), torch.device("cpu")
    operator, naive = registry.operators.get("generate"), registry.implementations("generate").get("naive")
    case = operator.case_type.parse(CASE)
    inputs = operator.make_inputs(case, "drawn", 0, device)
    state = naive.prepare(case, inputs)
    call = ProfiledCall("generate/naive", device, (lambda: naive.run(inputs, state),), call_ns=1e9)
    trace, _ = _recorded(call, 1, tmp_path / "trace.json.gz")
    found = {span.name: span for span in record_of(trace, None, on_gpu=False).kind(SPAN)}
    assert {"prefill", "draft", "verify"} <= set(found)
    parts = {
        "append: kv_append/eager",
        "attention: decode_attention/naive",
        "embedding: embedding/naive",
        "linear: linear/naive",
        "norm: rmsnorm/naive",
        "prompt_attention: attention/naive",
        "rope: rope/naive",
    }
    assert parts <= set(found)
    assert found["prefill"].count == 1
    passes = sum(found[name].total_ns or 0.0 for name in ("prefill", "decode", "draft", "verify") if name in found)
    assert 0 < sum(found[name].total_ns or 0.0 for name in parts) < passes


def test_where_none_is_recorded_a_function_stays_what_it_is() -> None:
    assert not spans._recording
    assert spans.spanned("norm", abs) is abs
    with spans.span("prefill") as nothing:
        assert nothing is None
