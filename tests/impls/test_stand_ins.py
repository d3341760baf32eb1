"""Adapters to packages that cannot be run here, through the real check, with stand-ins in plain torch."""

from __future__ import annotations

import pytest
import torch

from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.contract.registry import discover
from attnlab.bench.store.records import Outcome

ADAPTERS = {  # folder of the stand-in: implementation, module that records calls
    "flash_attn_2": ("flash_attn", "flash_attn.flash_attn_interface"),
    "flash_attn_3": ("flash_attn_3", "flash_attn_interface"),
    "fa3_fwd": ("flash_attn_3", "fa3_fwd_interface"),
    "flash_attn_4": ("flash_attn_4", "flash_attn.cute"),
    "flashinfer": ("flashinfer", "flashinfer"),
    "xformers": ("xformers", "xformers.ops"),
}
SERVED_BY_ALL = [
    "Hq2-Sq33-bf16",
    "B2-Hq4-Hkv2-Sq40-Sk71-bf16-causal",
    "Hq4-Hkv1-packed20+33+1-bf16",
    "Hq2-packed20+33+1-bf16-causal",
    "Hq4-Hkv2-Sq41-Sk20-D128-bf16-causal",
]
WINDOWS = [
    "Hq4-Hkv2-Sq40-Sk71-bf16-window.9",
    "B2-Hq2-Sq30-Sk17-bf16-window.1",
    "Hq2-packed20+33-bf16-window.7",
]
LIMITS = [
    ("flash_attn_2", "Hq2-Sq16-fp32", "float32 is not served: float16 and bfloat16 only"),
    ("flash_attn_2", "Hq2-Sq16-D512-bf16", "head size 512 is not served: 256 at most"),
    ("flash_attn_2", "Hq2-Sq16-D64-Dv32-bf16", "value head size 32 is not served beside head size 64"),
    ("flash_attn_3", "Hq2-Sq16-D60-bf16", "head size 60 is not served: multiples of 8 only"),
    ("flash_attn_3", "Hq2-Sq16-D96-Dv64-bf16", "value head size 64 is not served beside head size 96"),
    ("fa3_fwd", "Hq2-Sq16-fp16", "float16 is not served: fa3_fwd_interface was built without it"),
    ("flash_attn_4", "Hq2-Sq16-D160-bf16", "flash-attn-4: head_dim 160 is not supported on SM100/SM110."),
    ("flashinfer", "Hq2-Sq16-fp32", "float32 is not served: float16 and bfloat16 only"),
    ("flashinfer", "Hq2-Sq16-D80-bf16", "head size 80 is not served: 64, 128, 192 (values 128) and 256 only"),
    ("xformers", "Hq2-Sq16-D60-bf16", "xformers: No operator found: K % 8"),
]
SERVED_BY_SOME = {
    "Hq2-Sq16-D192-Dv128-bf16": {"fa3_fwd", "flashinfer", "flash_attn_3", "flash_attn_4", "xformers"},
    "Hq2-Sq16-D80-fp16": {"flash_attn_2", "flash_attn_3", "flash_attn_4", "xformers"},
    "Hq2-Sq16-D36-bf16": {"flash_attn_2"},
}
FLASH = {"flash_attn_2", "flash_attn_3", "flash_attn_4"}
VARIANTS = {  # who serves them; a build of fa3_fwd without local attention and caps serves less
    "Hq4-Hkv2-Sq20-Sk33-bf16-causal-cap5": {*FLASH, "flashinfer"},
    "Hq4-Hkv2-Sq20-bf16-causal-sink_learned": {"flash_attn_4"},
    "Hq3-Sq20-Sk33-bf16-causal-bias_alibi": {"flash_attn_2"},
    "Hq4-Hkv2-Sq20-Sk33-bf16-bias_dense": {"xformers"},
    "B2-Hq4-Hkv2-Sq30-Sk43-bf16-chunked.16": {"flash_attn_3", "flashinfer", "xformers"},
    "Hq4-Hkv2-bf16-document.13+0+7": {*FLASH, "flashinfer", "xformers"},
    "B2-Hq2-Sk40-bf16-tree.2x2": {"flashinfer", "xformers"},
    "Hq4-Hkv2-packed5+9-keys30+9-bf16-causal-qk_rms": {*FLASH, "flashinfer", "xformers"},
    "Hq2-packed5+9-keys30+4-bf16-chunked.8": {"flash_attn_3", "flashinfer"},
}


@pytest.mark.parametrize("folder", [folder for folder in ADAPTERS if folder != "fa3_fwd"])
@pytest.mark.parametrize("case_id", VARIANTS)
def test_variants_that_some_serve(folder, case_id, stand_in, measured):
    name, module = ADAPTERS[folder]
    stand_in(folder, module)
    measurement = measured("attention", name, case_id)
    served = folder in VARIANTS[case_id]
    assert measurement.outcome is (Outcome.PASSED if served else Outcome.UNAVAILABLE), measurement.reason


@pytest.mark.parametrize("folder", ADAPTERS)
@pytest.mark.parametrize("case_id", [*SERVED_BY_ALL, *WINDOWS])
def test_right_through_the_check(folder, case_id, stand_in, measured):
    name, module = ADAPTERS[folder]
    recorded = stand_in(folder, module)
    measurement = measured("attention", name, case_id)
    if folder == "fa3_fwd" and case_id in WINDOWS:
        reason = "sliding windows are not served: fa3_fwd_interface was built without them"
        assert (measurement.outcome, measurement.reason) == (Outcome.UNAVAILABLE, reason)
    else:
        assert (measurement.outcome, measurement.reason) == (Outcome.PASSED, None)
        assert recorded.calls


@pytest.mark.parametrize(("folder", "case_id", "reason"), LIMITS)
def test_limits_are_reasons(folder, case_id, reason, stand_in, measured):
    name, module = ADAPTERS[folder]
    stand_in(folder, module)
    measurement = measured("attention", name, case_id)
    assert (measurement.outcome, measurement.reason) == (Outcome.UNAVAILABLE, reason)


@pytest.mark.parametrize("folder", ADAPTERS)
@pytest.mark.parametrize("case_id", SERVED_BY_SOME)
def test_head_sizes_that_some_serve(folder, case_id, stand_in, measured):
    name, module = ADAPTERS[folder]
    stand_in(folder, module)
    measurement = measured("attention", name, case_id)
    served = folder in SERVED_BY_SOME[case_id]
    assert measurement.outcome is (Outcome.PASSED if served else Outcome.UNAVAILABLE), measurement.reason


@pytest.mark.parametrize("folder", ADAPTERS)
@pytest.mark.parametrize("case_id", ["Hq4-Hkv2-Sq24-bf16", "Hq4-Hkv2-packed10+14-bf16"])
def test_single_and_packed_sequences_go_in_as_views(folder, case_id, stand_in):
    name, module = ADAPTERS[folder]
    recorded = stand_in(folder, module)
    registry = discover()
    adapter = registry.implementations("attention").get(name)
    contract = registry.operators.get("attention")
    case = contract.case_type.parse(case_id)
    inputs = contract.make_inputs(case, NORMAL_DRAW, 0, torch.device("cpu"))
    adapter.run(inputs, adapter.prepare(case, inputs))
    for field in ("q", "k", "v"):
        assert recorded.calls[-1][field].data_ptr() == getattr(inputs, field).data_ptr()


@pytest.mark.parametrize(
    "case_id",
    [
        "Hq2-Sq33-bf16-causal",
        "B2-Hq4-Hkv2-Sq40-Sk20-D40-fp16-causal",
        "Hq4-Hkv2-packed20+13-bf16-window.5",
        "Hq2-Sq20-Sk33-bf16-causal-cap5",
        "Hq2-bf16-document.13+0+7-bias_alibi",
        "Hq4-Hkv2-packed5+9-keys30+9-bf16-causal",
    ],
)
def test_flash_attn_backward(case_id, stand_in, measured):
    stand_in("flash_attn_2", "flash_attn.flash_attn_interface")
    measurement = measured("attention_backward", "flash_attn", case_id)
    assert (measurement.outcome, measurement.reason) == (Outcome.PASSED, None)


OVER_A_CACHE = {  # who serves what of decoding
    "B2-Hq4-Hkv2-Sq3-C50+20-bf16-paged.256": {"flash_attn_2", "flash_attn_3", "flashinfer"},
    "B2-Hq4-Hkv2-Sq3-C50+2-bf16-cap5-contiguous_bshd": {"flash_attn_2", "flash_attn_3"},
    "B2-Hq4-Hkv2-Sq3-C50+20-bf16-window.9-cap5-paged.16": {"flash_attn_3", "flashinfer"},
    "B2-Hq4-Hkv2-Sq3-C50+20-bf16-bias_alibi-qk_rms-paged.256": {"flash_attn_2"},
    "B2-Hq4-Hkv2-Sq3-C50+20-bf16-chunked.16-paged.16": {"flash_attn_3", "flashinfer"},
    "B2-Hq4-Hkv2-C50+20-bf16-tree.2x2-qk_rms-paged_hsd.16": {"flashinfer"},
    "B2-Hq4-Hkv2-Sq3-C50+20-bf16-sink_learned-paged.16": set(),
}


@pytest.mark.parametrize("folder", ["flash_attn_2", "flash_attn_3", "flashinfer"])
@pytest.mark.parametrize("case_id", OVER_A_CACHE)
def test_decoding(folder, case_id, stand_in, measured):
    name, module = ADAPTERS[folder]
    stand_in(folder, module)
    measurement = measured("decode_attention", name, case_id)
    served = folder in OVER_A_CACHE[case_id]
    assert measurement.outcome is (Outcome.PASSED if served else Outcome.UNAVAILABLE), measurement.reason
