"""SDPA: one backend pinned and torch's settings kept, reasons in torch's words, masks by case."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch.nn.attention.bias import CausalBias

from attnlab.bench import AttentionCase, Unavailable
from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.ops.attention.contract import make_inputs
from attnlab.impls import _sdpa

CPU = torch.device("cpu")


def settings():
    return [enabled() for enabled, _ in _sdpa.SWITCHES.values()]


def parts(case_id, lower_right=False):
    case = AttentionCase.parse(case_id)
    return _sdpa.parts_of(case, make_inputs(case, NORMAL_DRAW, 0, CPU), lower_right)


def test_one_backend_alone_and_settings_kept():
    before = settings()
    with _sdpa.only("flash"):
        assert settings() == [False, True, False, False]
    assert settings() == before


def test_settings_are_kept_where_the_kernel_fails():
    before = settings()
    with pytest.raises(KeyError), _sdpa.only("flash"):
        raise KeyError
    assert settings() == before


def test_a_refusal_is_torchs_own_reason_in_one_line():
    q, v = torch.randn(1, 2, 8, 16), torch.randn(1, 2, 8, 32)
    with pytest.raises(Unavailable) as caught, _sdpa.refusals("flash"), _sdpa.only("flash"):
        torch.nn.functional.scaled_dot_product_attention(q, q, v)
    assert str(caught.value).startswith("torch: Flash attention requires q,k,v to have the same last dimension")
    assert "\n" not in str(caught.value)
    assert "Triggered" not in str(caught.value)


def test_only_what_torch_says_of_the_kernel_asked_for():
    messages = [
        "Memory efficient kernel not used because: (Triggered internally at a.cpp:1.)",
        "Memory Efficient attention has been runtime disabled. (Triggered internally at b.cpp:2.)",
        "Flash attention kernel not used because: (Triggered internally at a.cpp:3.)",
        "Flash Attention does not support non-null attn_mask. (Triggered internally at c.h:4.)",
        "cuDNN attention kernel not used because: (Triggered internally at a.cpp:5.)",
        "cuDNN attention has been runtime disabled. (Triggered internally at d.cpp:6.)",
    ]
    assert _sdpa._reason("Flash attention", messages) == "Flash Attention does not support non-null attn_mask."


def test_a_refusal_without_a_word_is_explained_by_torchs_own_check(monkeypatch):
    """As torch 2.11 refuses on CUDA; the check goes on to the first part that it does not serve."""
    asked = []

    def check(params, debug):
        asked.append((tuple(params.query.shape), params.attn_mask is not None, params.is_causal, debug, settings()))
        served = params.query.shape[2] != 9
        if not served:
            warnings.warn("Expected query to be\nhalf. (Triggered internally at a.cpp:1.)", stacklevel=1)
        return served

    monkeypatch.setitem(_sdpa.CHECKS, "flash", check)
    case = AttentionCase.parse("Hq4-Hkv2-packed5+9+1-bf16-window.7")
    inputs = make_inputs(case, NORMAL_DRAW, 0, CPU)
    parts = _sdpa.parts_of(case, inputs, lower_right=True)
    with pytest.raises(Unavailable) as caught, _sdpa.refusals("flash", _sdpa.cut(inputs, parts), parts):
        raise RuntimeError("Invalid backend")
    assert str(caught.value) == "torch: Expected query to be half."
    pinned = [False, True, False, False]
    assert asked == [((1, 4, 5, 64), False, True, True, pinned), ((1, 4, 9, 64), True, False, True, pinned)]


def test_a_refusal_that_nothing_explains_is_told_as_it_is():
    with pytest.raises(Unavailable, match=r"^torch: Invalid backend$"), _sdpa.refusals("math"):
        raise RuntimeError("Invalid backend")


def test_other_errors_are_not_refusals():
    with pytest.raises(RuntimeError, match="illegal memory access"), _sdpa.refusals("flash"):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize(
    ("case_id", "causal", "bias"),
    [
        ("Hq2-Sq8-bf16", False, False),
        ("Hq2-Sq8-bf16-causal", True, False),
        ("Hq2-Sq8-Sk12-bf16-causal", False, True),
        ("Hq2-Sq12-Sk8-bf16-causal", True, False),  # without the rows that see nothing, as many as keys
        ("Hq2-Sq8-bf16-window.3", False, True),
        ("Hq2-Sq8-bf16-window.8", True, False),  # a window that holds every key is causal
    ],
)
def test_masks(case_id, causal, bias):
    (part,) = parts(case_id)
    assert (part.causal, part.bias is not None) == (causal, bias)


def test_rows_without_a_key_are_left_out():
    (part,) = parts("Hq2-Sq12-Sk8-bf16-causal")
    assert (part.rows, part.keys) == (slice(4, 12), slice(0, 8))


def test_packed_sequences_are_one_call_each():
    made = parts("Hq2-packed5+9+1-bf16-causal")
    assert [part.rows for part in made] == [slice(0, 5), slice(5, 14), slice(14, 15)]


def test_kernels_that_know_bottom_right_need_no_mask_in_memory():
    (part,) = parts("Hq2-Sq8-Sk12-bf16-causal", lower_right=True)
    assert isinstance(part.bias, CausalBias)


def test_rows_of_the_mask_start_where_the_memory_efficient_kernel_wants_them():
    (part,) = parts("Hq2-Sq8-Sk13-bf16-causal")
    assert part.bias.shape == (8, 13)
    assert part.bias.stride() == (16, 1)
