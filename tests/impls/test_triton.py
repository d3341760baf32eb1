"""The adapters to our Triton kernels: limits, the interpreter's slowness, and what was chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from attnlab.bench import AttentionCase, DecodeCase, Unavailable
from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.contract.registry import discover
from attnlab.bench.ops.attention.contract import make_inputs
from attnlab.impls import _triton

BOTH = pytest.mark.parametrize("operator", ["attention", "attention_backward"])


def adapter(operator):
    return discover().implementations(operator).get("triton")


@BOTH
def test_head_sizes_beyond_the_kernels(operator):
    case = AttentionCase(head_dim=320)
    assert adapter(operator).supports(case) == "head size 320 is not served: 256 at most"


@BOTH
def test_the_interpreter_takes_small_cases_only(operator, monkeypatch):
    long = AttentionCase(q_heads=8, q_len=4096, mask="causal")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert adapter(operator).supports(long) is None
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert "too large for Triton's interpreter" in adapter(operator).supports(long)
    assert adapter(operator).supports(AttentionCase(q_heads=2, q_len=100)) is None


@pytest.mark.parametrize(("operator", "kind"), [("attention", AttentionCase), ("decode_attention", DecodeCase)])
def test_caps_that_exponentials_do_not_give_exactly(operator, kind):
    supports = adapter(operator).supports
    said = "a soft cap of 200 in float32 is not served: 100 at most, beyond which it is not exact"
    assert supports(kind(softcap=200.0, dtype="float32")) == said
    assert supports(kind(softcap=100.0, dtype="float32")) is None
    assert supports(kind(softcap=3000.0, dtype="float16")) is None
    assert "3000 at most" in supports(kind(softcap=3001.0, dtype="float16"))


def test_the_interpreter_takes_as_long_as_there_are_rows(monkeypatch):
    """Of new tokens over a cache: their tiles of rows meet every tile of it."""
    supports = adapter("decode_attention").supports
    case = DecodeCase(q_heads=4, kv_heads=1, head_dim=32, q_len=16, context=1000)
    chunk = replace(case, q_len=512)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert supports(case) is None
    assert "too large for Triton's interpreter" in supports(chunk)
    assert supports(replace(case, q_len=130, context=130)) is None
    monkeypatch.delenv("TRITON_INTERPRET")
    assert supports(chunk) is None


@BOTH
def test_no_time_is_given_for_the_interpreter(operator):
    assert adapter(operator).untimed("cpu") == "runs in Triton's interpreter, whose time means nothing"
    assert adapter(operator).untimed("cuda") is None


def test_neither_a_gpu_nor_the_interpreter(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    inputs = make_inputs(AttentionCase(q_heads=1, q_len=4), NORMAL_DRAW, 0, torch.device("cpu"))
    with pytest.raises(Unavailable, match="needs an NVIDIA GPU, or TRITON_INTERPRET=1"):
        _triton.require_device(inputs.q)
