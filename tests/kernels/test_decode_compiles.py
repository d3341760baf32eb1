"""The kernels of a cache compile for GPUs that are not here: no spills, and few instructions to decode a number."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.bench.llm.caches import KVCache, format_of, known_formats, layout_of
from attnlab.bench.profilers.sass import count, loops
from attnlab.bench.profilers.triton_aot import SHARED_LIMIT_BYTES, KernelReport, target
from attnlab.impls._cache import CODECS
from attnlab.kernels.triton.attention_scoring import Scoring
from attnlab.kernels.triton.decode_attention import decode_attention
from attnlab.kernels.triton.decode_cuts import configuration, cut_call, split_count
from attnlab.kernels.triton.kv_append import Place, kv_append

pytestmark = pytest.mark.usefixtures("fresh_cache")

META = torch.device("meta")
LAYOUTS = ("contiguous_bhsd", "paged:64", "paged_hsd:256")
FORMATS = tuple(known_formats())
TARGETS = (90, 80, 100)
DTYPES = (torch.bfloat16, torch.float16)


# (sm, format, layout, head size, dtype, queries): every format for sm_90, beside those that CEILINGS has.
DECODED = [
    (90, "same", "ring:512", 256, torch.float16, 4),
    (90, "int8_token", "paged:16", 96, torch.bfloat16, 1),
    (90, "fp8_e4m3_token", "paged:1", 64, torch.float16, 16),
    (90, "int4_g32", "paged:32", 64, torch.bfloat16, 1),
    (90, "int8_channel", "paged_hsd:256", 80, torch.float16, 1),
    (80, "same", "paged:64", 128, torch.bfloat16, 4),
    (80, "fp8_e4m3", "contiguous_bhsd", 128, torch.bfloat16, 1),  # converted without instructions for it
    (80, "fp8_e4m3", "contiguous_bhsd", 128, torch.bfloat16, 16),
    (100, "same", "paged:64", 128, torch.bfloat16, 1),
    *((sm, "same", "paged:64", 128, torch.bfloat16, 512) for sm in TARGETS),  # a chunk of a prompt
    (100, "int4_g32", "contiguous_bhsd", 128, torch.bfloat16, 1),
]
STORED = [
    (sm, format, LAYOUTS[n % 3], (64, 128, 96, 256)[n % 4], DTYPES[n % 2])
    for n, (sm, format) in enumerate(itertools.product(TARGETS, FORMATS))
    if sm == 90 or format in ("same", "fp8_e4m3", "int4_g32")
]


def meta_cache(layout: str, format: str, head_dim: int, dtype: torch.dtype) -> KVCache:
    return KVCache.allocate(
        layout_of(layout),
        format_of(format),
        batch=2,
        kv_heads=2,
        head_dim=head_dim,
        dtype=dtype,
        capacity=4096,
        device=META,
    )


@functools.cache
def decoded(
    sm: int, layout: str, format: str, head_dim: int, dtype: torch.dtype, q_len: int = 1, **options: Any
) -> KernelReport:
    """The kernel of one launch over 4096 tokens of 2 sequences, 8 query heads over 2."""
    cache = meta_cache(layout, format, head_dim, dtype)
    q = torch.empty(2, 8, q_len, head_dim, dtype=dtype, device=META)
    keys, values = CODECS[format]
    with target(sm) as kernels:
        decode_attention(
            q,
            cache.keys.planes,
            cache.values.planes,
            cache.lengths,
            key_codec=keys,
            value_codec=values,
            page_tokens=cache.page_tokens,
            table=cache.table,
            wraps=cache.layout.wraps,
            longest=4096,
            scale=0.1,
            window=300 if cache.layout.wraps else None,
            **({"splits": 4} | options),
        )
    (report,) = kernels.reports
    return report


@pytest.mark.parametrize(("sm", "format", "layout", "head_dim", "dtype", "q_len"), DECODED)
def test_decoding_does_not_spill(
    sm: int, format: str, layout: str, head_dim: int, dtype: torch.dtype, q_len: int
) -> None:
    report = decoded(sm, layout, format, head_dim, dtype, q_len)
    assert (report.spills, report.stack_bytes) == (0, 0)
    assert report.shared_bytes <= SHARED_LIMIT_BYTES[sm]
    assert report.count("HMMA") + report.count("HGMMA") + report.count("UTCHMMA") > 0


@pytest.mark.parametrize(("sm", "format", "layout", "head_dim", "dtype"), STORED)
def test_storing_does_not_spill(sm: int, format: str, layout: str, head_dim: int, dtype: torch.dtype) -> None:
    cache = meta_cache(layout, format, head_dim, dtype)
    x: Tensor = torch.empty(2, 2, 4, head_dim, dtype=dtype, device=META)
    with target(sm) as kernels:
        for codec, side in zip(CODECS[format], (cache.keys, cache.values), strict=True):
            place = Place(cache.page_tokens, cache.table, cache.layout.wraps)
            kv_append(x, side.planes, cache.lengths, codec, place, cache.recent)
    assert kernels.reports
    for report in kernels.reports:
        assert (report.spills, report.stack_bytes) == (0, 0), report.name


# Format: (instructions of the loop over whole tiles, tokens of a tile) for one of four warps, in bfloat16, head size
# 128, on sm_90. The design's figures are 252, 685, 661, 510, 556 and 948: values with a scale for each token cost 40
# more than it reckoned, which keep weights times scales within float16 whatever the scales are; four bits 6 more, which
# keep sums of a minimum and a code within it.
CEILINGS = {
    "same": (252, 64),
    "int8_token": (732, 128),
    "int8_channel": (712, 128),
    "fp8_e4m3": (510, 128),
    "fp8_e4m3_token": (602, 128),
    "int4_g32": (960, 128),
}


@pytest.mark.parametrize(("format", "ceiling", "tokens"), [(name, *given) for name, given in CEILINGS.items()])
def test_the_loop_over_whole_tiles_stays_short(format: str, ceiling: int, tokens: int) -> None:
    tiling = configuration(128, torch.bfloat16, CODECS[format][0], 4)
    assert (tiling.block_n, tiling.num_warps) == (tokens, 4)
    report = decoded(90, "contiguous_bhsd", format, 128, torch.bfloat16)
    assert (report.spills, report.stack_bytes) == (0, 0)
    masked, whole = loops(report.code, having="HMMA")
    assert len(whole) <= ceiling
    assert len(whole) < len(masked)
    assert not count(whole, "LDG.E.128")  # keys and values are on their way tiles before
    fit = min(65536 // (report.registers * 32 * 4), 228 * 1024 // (report.shared_bytes + 1024))
    assert fit >= tiling.resident


def test_programs_that_a_processor_holds() -> None:
    """Those of one warp, too."""
    tiling = configuration(64, torch.bfloat16, "int4_channel", 4)
    report = decoded(90, "paged:32", "int4_g32", 64, torch.bfloat16)
    assert 65536 // (report.registers * 32 * tiling.num_warps) >= tiling.resident
    assert 228 * 1024 // (report.shared_bytes + 1024) >= tiling.resident


def test_scores_that_load_numbers_have_tiles_for_chunks_that_do_not_spill() -> None:
    bias = torch.empty(8, 512 + 4096 - 1, device=META)
    report = decoded(100, "paged:64", "same", 128, torch.bfloat16, 512, scoring=Scoring(None, None, bias, "distances"))
    assert (report.spills, report.stack_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("q_len", "heads", "row_tiles", "keys"),
    [  # 8 query heads over 2, or 4 over 1, in tiles of 128 rows; over 32,768 tokens
        (512, (8, 2), 16, 520_704),  # 16 · 32,768 less what lies past the last query of each: 64 · 2 · (7 + 6 + …)
        (2048, (4, 1), 64, 2_033_664),
        (1, (8, 2), 1, 32_768),
    ],
)
def test_how_often_keys_are_read(q_len: int, heads: tuple[int, int], row_tiles: int, keys: int) -> None:
    q = torch.empty(1, heads[0], q_len, 128, dtype=torch.bfloat16, device=META)
    cut = cut_call(q, heads[1], key_codec="same", longest=32768)
    assert (cut.row_tiles, cut.keys_read(q_len, 32768)) == (row_tiles, keys)


def test_a_chunk_whose_rows_fill_a_device_is_not_split() -> None:
    def splits(q_heads: int, kv_heads: int, q_len: int) -> int:
        q = torch.empty(1, q_heads, q_len, 128, dtype=torch.bfloat16, device=META)
        return cut_call(q, kv_heads, key_codec="same", longest=32768).splits

    assert splits(32, 8, 2048) == splits(32, 8, 512) == 1  # 512 and 128 programs
    assert splits(4, 1, 512) == 8  # 16 programs where 132 processors hold one each


@pytest.mark.parametrize(
    ("batch", "lanes", "tiles", "splits"),
    [
        (1, 8, 256, 32),  # a sequence of 32,768 tokens: 256 programs, where 132 processors hold two each
        (32, 8, 32, 1),
        (4, 8, 32, 8),
        (1, 1, 1, 1),
        (1, 1, 7, 7),
    ],
)
def test_splits_fill_what_a_device_holds(batch: int, lanes: int, tiles: int, splits: int) -> None:
    assert split_count(batch * lanes, tiles, 2 * 132) == splits


@pytest.mark.parametrize(
    ("layout", "changed", "said"),
    [
        ("contiguous_bhsd", {"longest": 4097}, "4097 tokens; expected at most 4096, what a page holds"),
        ("paged:64", {"longest": 4097}, "4097 tokens; expected at most 4096, what the block table holds"),
        ("paged:64", {"page_tokens": 32}, "64 tokens a page; expected 32"),
        ("paged:64", {"key_codec": "int3"}, "codec int3; expected one of same"),
        ("paged:64", {"key_codec": "int4_channel"}, "both of four bits or neither"),
        ("paged:64", {"scale": -1.0}, "scale -1.0; expected a finite number above zero"),
        ("paged:64", {"window": 0}, "window 0; expected at least 1 key"),
        ("paged:64", {"lengths": torch.empty(3, dtype=torch.int32, device="meta")}, r"lengths \[3\]"),
        ("paged:64", {"table": torch.empty(3, 64, dtype=torch.int32, device="meta")}, r"a block table \[3, 64\]"),
        ("paged:64", {"q": torch.empty(2, 3, 1, 64, dtype=torch.bfloat16, device="meta")}, "3 query heads over 2"),
        (
            "paged:64",
            {"q": torch.empty(2, 8, 1, 80, dtype=torch.bfloat16, device="meta")},
            "rows, 2, 80",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_any_launch(layout: str, changed: dict[str, Any], said: str) -> None:
    cache = meta_cache(layout, "same", 64, torch.bfloat16)
    arguments: dict[str, Any] = {
        "q": torch.empty(2, 8, 1, 64, dtype=torch.bfloat16, device=META),
        "keys": cache.keys.planes,
        "values": cache.values.planes,
        "lengths": cache.lengths,
        "key_codec": "same",
        "value_codec": "same",
        "page_tokens": cache.page_tokens,
        "table": cache.table,
        "longest": 4096,
        "scale": 0.1,
    }
    with pytest.raises(ValueError, match=said):
        decode_attention(**(arguments | changed))


@pytest.mark.parametrize(
    ("codec", "changed", "said"),
    [
        ("int3", {}, "codec int3; expected one of same"),
        ("same", {"x": torch.empty(2, 3, 4, 64, dtype=torch.bfloat16, device="meta")}, "rows, 3, 64"),
        (
            "same",
            {"starts": torch.empty(2, dtype=torch.int64, device="meta")},
            "expected .2. of torch.int32",
        ),
        ("same", {"place": Place(32)}, "64 tokens a page; expected 32"),
        ("same", {"starts": torch.empty(4, dtype=torch.int32, device="meta")[::2]}, "starts with stride .2"),
        ("int8_token", {}, "data of the cache of torch.bfloat16; expected torch.int8"),
        ("int4_token", {"x": torch.empty(2, 2, 4, 80, dtype=torch.bfloat16, device="meta")}, "a multiple of 32"),
    ],
)
def test_an_append_that_does_not_fit_is_refused(codec: str, changed: dict[str, Any], said: str) -> None:
    cache = meta_cache("paged:64", "same", 64, torch.bfloat16)
    arguments: dict[str, Any] = {
        "x": torch.empty(2, 2, 4, 64, dtype=torch.bfloat16, device=META),
        "planes": cache.keys.planes,
        "starts": cache.lengths,
        "codec": codec,
        "place": Place(64, cache.table),
    }
    with pytest.raises(ValueError, match=said):
        kv_append(**(arguments | changed))


@pytest.mark.parametrize(
    ("format", "changed", "said"),
    [
        ("same", "lengths", r"lengths with stride \(2"),
        ("same", "table", "a block table .* without gaps"),
        ("int8_token", "without scale of keys", "keys with planes data; expected scale"),
        ("int8_token", "wide scale of values", "scale .* of values; expected"),
        ("int8_channel", "strided scale of keys", "scale of keys with stride 2 in its last axis"),
        ("fp8_e4m3", "bytes of keys", "data of keys of torch.uint8; expected"),
        ("int4_g32", "strided minimum of keys", "scale of keys with strides .* and minimum"),
    ],
)
def test_planes_that_would_be_read_as_other_planes_are_refused(format: str, changed: str, said: str) -> None:
    cache = meta_cache("paged:64", format, 64, torch.bfloat16)
    keys, values = CODECS[format]
    given: dict[str, Any] = {
        "q": torch.empty(2, 8, 1, 64, dtype=torch.bfloat16, device=META),
        "keys": cache.keys.planes,
        "values": cache.values.planes,
        "lengths": cache.lengths,
        "key_codec": keys,
        "value_codec": values,
        "page_tokens": cache.page_tokens,
        "table": cache.table,
        "longest": 4096,
        "scale": 0.1,
    }
    with pytest.raises(ValueError, match=said):
        decode_attention(**(given | {changed.split()[-1]: CHANGES[changed](given)}))


def spread(planes: dict[str, Tensor], name: str, axis: int) -> dict[str, Tensor]:
    """With a plane of which every second row is the old one's."""
    plane = planes[name]
    wide = plane.new_empty([size * (1 + (at == axis % plane.dim())) for at, size in enumerate(plane.shape)])
    return {**planes, name: wide.transpose(0, axis)[::2].transpose(0, axis)}


CHANGES = {
    "lengths": lambda given: torch.empty(4, dtype=torch.int32, device=META)[::2],
    "table": lambda given: given["table"].T.contiguous().T,
    "without scale of keys": lambda given: {"data": given["keys"]["data"]},
    "wide scale of values": lambda given: given["values"] | {"scale": torch.empty(128, 64, 2, 2, device=META)},
    "strided scale of keys": lambda given: spread(given["keys"], "scale", -1),
    "bytes of keys": lambda given: {**given["keys"], "data": given["keys"]["data"].view(torch.uint8)},
    "strided minimum of keys": lambda given: spread(given["keys"], "minimum", 1),
}


def test_a_ring_must_hold_what_a_query_may_see() -> None:
    cache = meta_cache("ring:512", "same", 64, torch.bfloat16)
    q = torch.empty(2, 8, 4, 64, dtype=torch.bfloat16, device=META)
    for window, said in ((None, "4096 tokens; expected at most 512"), (510, "513 tokens; expected at most 512")):
        with pytest.raises(ValueError, match=said):
            decode_attention(
                q,
                cache.keys.planes,
                cache.values.planes,
                cache.lengths,
                key_codec="same",
                value_codec="same",
                page_tokens=512,
                wraps=True,
                longest=4096,
                scale=0.1,
                window=window,
            )


@pytest.mark.parametrize("format", ["same", "int4_g32"])
def test_more_sequences_than_a_grids_other_axes_hold(format: str) -> None:
    """The stand-in refuses a grid that a device refuses."""
    batch = 70_000
    cache = KVCache.allocate(
        layout_of("contiguous_bhsd"),
        format_of(format),
        batch=batch,
        kv_heads=1,
        head_dim=32,
        dtype=torch.float16,
        capacity=64,
        device=META,
    )
    keys, values = CODECS[format]
    x = torch.empty(batch, 1, 1, 32, dtype=torch.float16, device=META)
    with target(90) as kernels:
        decode_attention(
            x,
            cache.keys.planes,
            cache.values.planes,
            cache.lengths,
            key_codec=keys,
            value_codec=values,
            page_tokens=cache.page_tokens,
            longest=64,
            scale=0.1,
            splits=2,
        )
        kv_append(x, cache.keys.planes, cache.lengths, keys, Place(cache.page_tokens), cache.recent)
    assert len(kernels.reports) == 2
