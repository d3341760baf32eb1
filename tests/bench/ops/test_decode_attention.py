"""The contract of decoding: ids that stay, costs by hand, cases that cannot be, and a format's error apart."""

from __future__ import annotations

import pytest
import torch

from attnlab.bench import DecodeCase
from attnlab.bench.contract.operator_spec import tensors
from attnlab.bench.errors import ImpossibleCase, UnknownName
from attnlab.bench.ops.decode_attention import reference as decode_math
from attnlab.bench.ops.decode_attention.contract import DECODE_ATTENTION, make_inputs
from attnlab.bench.ops.kv_append import KV_APPEND, AppendCase

CPU = torch.device("cpu")

FROZEN = {
    "bf16": {},
    "B4-Hq32-Hkv8-C4096-D128-bf16": {"batch": 4, "q_heads": 32, "kv_heads": 8, "context": 4096, "head_dim": 128},
    "B2-Sq4-C512..4096-fp16-paged.16-int8_token": {
        "batch": 2,
        "q_len": 4,
        "context": "512..4096",
        "dtype": "float16",
        "layout": "paged:16",
        "cache": "int8_token",
    },
    "B3-C5+0+77-fp32-window.64-contiguous_bshd": {
        "batch": 3,
        "context": "5+0+77",
        "dtype": "float32",
        "mask": "window:64",
        "layout": "contiguous_bshd",
    },
    "B2-C64-bf16-paged_hsd.32-int4_g32-pre32-outliers": {
        "batch": 2,
        "context": 64,
        "layout": "paged_hsd:32",
        "cache": "int4_g32",
        "shared_prefix": 32,
        "inputs": "outliers",
    },
    "Hq16-Hkv1-C64-D576-Dv512-bf16-latent_paged.64": {
        "q_heads": 16,
        "kv_heads": 1,
        "context": 64,
        "head_dim": 576,
        "v_head_dim": 512,
        "layout": "latent_paged:64",
    },
}


@pytest.mark.parametrize(("id", "axes"), FROZEN.items())
def test_ids_stay_what_they_are(id: str, axes: dict[str, object]) -> None:
    case = DecodeCase.build(axes)
    assert case.id == id
    assert DecodeCase.parse(id) == case
    assert AppendCase.parse(id.replace("+0+", "+9+")).id == id.replace("+0+", "+9+")


def test_lengths_of_a_spread_run_from_end_to_end() -> None:
    assert DecodeCase(batch=4, context="100..400").lengths == (100, 200, 300, 400)
    assert DecodeCase(batch=1, context="100..400").lengths == (400,)


def test_costs_by_hand() -> None:
    case = DecodeCase(batch=2, q_heads=4, kv_heads=2, context="3+10", head_dim=8, dtype="float16")
    assert DECODE_ATTENTION.operations(case) == 4 * 8 * 4 * 13
    queries = outputs = 2 * 4 * 8 * 2
    assert DECODE_ATTENTION.bytes_moved(case) == queries + outputs + 13 * 2 * 2 * 8 * 2 + 2 * 4


def test_a_window_reads_only_what_some_new_token_sees() -> None:
    case = DecodeCase(q_heads=1, q_len=3, context=100, head_dim=8, dtype="float32", mask="window:10")
    assert case.seen == [(100 - 12, 100)]
    assert case.pairs == 30


def test_pages_scales_and_tables_are_counted() -> None:
    def cost(**axes: object) -> int:
        shared = {"q_heads": 2, "context": 70, "head_dim": 64, "dtype": "bfloat16"}
        return DECODE_ATTENTION.bytes_moved(DecodeCase.build(shared | axes))

    plain, token = cost(), 2 * 2 * 64
    assert cost(layout="paged:16") == plain + 5 * 4
    assert cost(cache="int8_token") == plain - 70 * token + 70 * 2 * 2 * 4
    assert cost(cache="int8_channel") == plain - 70 * token + 70 * 2 * 4 + 2 * 64 * 4
    assert cost(cache="fp8_e4m3") == plain - 70 * token + 2 * 4
    keys, values = 70 * 32 + 3 * 64 * 2 * 2, 70 * (32 + 2 * 2 * 2)
    assert cost(cache="int4_g32") == plain - 2 * 70 * token + 2 * (keys + values)


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"q_heads": 3, "kv_heads": 2}, "query heads divisible by key-value heads"),
        ({"layout": "paged:12"}, "expected a power of two, such as 16"),
        ({"layout": "paged:0"}, "expected a page size of at least 1"),
        ({"layout": "paged:16", "cache": "int4_g32"}, "a multiple of 32"),
        ({"head_dim": 80, "cache": "int4_g32"}, "a head size of 80 is no multiple"),
        ({"mask": "full"}, "expected causal, window:256"),
        ({"batch": 2, "context": "5+6+7"}, "expected one length a sequence"),
        ({"context": "9..3"}, "expected tokens such as 1024"),
        ({"context": "many"}, "expected tokens such as 1024"),
        ({"q_len": 4097}, "expected at most 4096"),
        ({"context": 200, "layout": "ring:64"}, "a ring of at least 200"),
        ({"context": 200, "layout": "ring:64", "mask": "window:64", "q_len": 2}, "a ring of at least 65"),
        ({"context": 200, "layout": "ring:64", "mask": "window:40", "cache": "int4_g32"}, "a ring of at least 71"),
        ({"context": 40, "layout": "paged:16", "shared_prefix": 20}, "whole pages of 16"),
        ({"context": 40, "layout": "paged:16", "shared_prefix": 48}, "end before the new ones"),
        ({"shared_prefix": -1}, "0 or more"),
    ],
)
def test_cases_that_cannot_be(axes: dict[str, object], said: str) -> None:
    with pytest.raises(ImpossibleCase, match=said):
        DecodeCase.build(axes)


def test_a_latent_token_is_counted_once() -> None:
    case = DecodeCase.build(
        {"q_heads": 4, "kv_heads": 1, "context": 70, "head_dim": 72, "v_head_dim": 64, "dtype": "float16"}
        | {"layout": "latent_paged:16"}
    )
    assert DECODE_ATTENTION.operations(case) == 2 * (72 + 64) * 4 * 70
    assert DECODE_ATTENTION.bytes_moved(case) == 4 * (72 + 64) * 2 + 70 * 72 * 2 + 5 * 4 + 4
    append = AppendCase.build(
        {"kv_heads": 1, "context": 70, "q_len": 2, "head_dim": 72, "v_head_dim": 64, "dtype": "float16"}
        | {"layout": "latent"}
    )
    assert KV_APPEND.bytes_moved(append) == 2 * 2 * 72 * 2 + 4


def test_rows_of_a_long_chunk_are_sampled_with_its_edges() -> None:
    few = decode_math.sample(DecodeCase(q_len=64, context=200))
    assert few.rows.tolist() == list(range(64))
    long = decode_math.sample(DecodeCase(q_heads=32, kv_heads=8, q_len=2048, context=32768))
    assert len(long.rows) == 64
    assert {0, 15, 16, 63, 64, 127, 128, 255, 256, 2047} <= set(long.rows.tolist())
    out = torch.arange(2 * 3 * 5 * 2.0).view(2, 3, 5, 2)
    (taken,) = decode_math.select((out,), decode_math.Sample(torch.tensor([1]), torch.tensor([0, 4])))
    assert torch.equal(taken, out[1:, :, [0, 4]])


def test_names_that_are_none() -> None:
    with pytest.raises(UnknownName, match="did you mean 'paged'"):
        DecodeCase(layout="page:16")
    with pytest.raises(UnknownName, match="unknown cache format 'int8'"):
        DecodeCase(cache="int8")


def test_an_append_needs_room_for_its_tokens() -> None:
    with pytest.raises(ImpossibleCase, match="contexts that hold the new tokens"):
        AppendCase(q_len=4, context=3)
    with pytest.raises(ImpossibleCase, match="at most 32"):
        AppendCase(q_len=40, context=64, cache="int4_g32", head_dim=64)
    assert AppendCase(q_len=4, context=70, batch=1).written == [(66, 70)]


def test_bytes_of_an_append_by_hand() -> None:
    case = AppendCase(batch=2, kv_heads=2, q_len=3, context=70, head_dim=64, dtype="float16", cache="int8_token")
    new, codes = 2 * 2 * 3 * 2 * 64 * 2, 2 * 2 * 3 * 2 * (64 + 4)
    assert KV_APPEND.bytes_moved(case) == new + codes + 2 * 4


def test_an_append_to_a_group_encodes_its_keys_anew() -> None:
    """Tokens 66 to 69: keys from 64 on are read from those kept beside, and stored again; values are not."""
    case = AppendCase.parse("Hkv1-Sq4-C70-D64-fp16-paged.32-int4_g32")
    new, kept, keys, values = 2 * 4 * 64 * 2, (2 + 4) * 64 * 2, 6 * 32 + 2 * 64 * 2, 4 * (32 + 2 * 2 * 2)
    assert KV_APPEND.bytes_moved(case) == new + kept + keys + values + 4 + 4


def test_another_draw_changes_tokens_and_keeps_lengths() -> None:
    case = DecodeCase.parse("B2-Hq2-C20..50-D16-bf16-paged.16-int8_token")
    inputs, fresh = (make_inputs(case, "drawn", seed, CPU) for seed in (0, 1))
    assert inputs.cache.lengths.tolist() == fresh.cache.lengths.tolist() == [20, 50]
    assert not torch.equal(inputs.cache.keys.planes["data"], fresh.cache.keys.planes["data"])
    assert {"q", "cache.keys.planes.data", "cache.keys.planes.scale", "cache.table"} <= set(tensors(inputs, "dynamic"))


@pytest.mark.parametrize("inputs", ["normal", "outliers", "smollm2"])
def test_the_format_error_is_nothing_for_the_dtype_and_grows_with_fewer_bits(inputs: str) -> None:
    def error(cache: str) -> float:
        case = DecodeCase(q_heads=9, kv_heads=3, context=256, head_dim=64, cache=cache, inputs=inputs)
        facts = {fact.quantity: fact.value for fact in DECODE_ATTENTION.facts(case, 0, CPU)}
        assert facts["cache_bits"] == pytest.approx(case.format.bits_a_value(64, torch.bfloat16), rel=0.02)
        return facts["format_error"]

    assert error("same") == 0
    assert 0 < error("int8_channel") < error("int4_g32")
    assert error("int8_token") < 0.05
    assert error("int4_g32") < 0.5


def test_sequences_share_a_prefix_in_the_same_pages() -> None:
    case = DecodeCase.parse("B3-Hq2-C40..60-D16-bf16-paged.16-pre32")
    cache = make_inputs(case, "drawn", 0, CPU).cache
    k, _ = cache.read()
    assert cache.table is not None
    assert torch.equal(cache.table[0, :2], cache.table[2, :2])
    assert torch.equal(k[0, :, :32], k[1, :, :32])
    assert not torch.equal(k[0, :, 32:40], k[1, :, 32:40])
