"""The kernels of a cache compile for GPUs that are not here: no spills, and few instructions to decode a number."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.bench.caches import KVCache, format_of, known_formats, layout_of
from attnlab.bench.profilers.triton_aot import SHARED_LIMIT_BYTES, KernelReport, target
from attnlab.impls._cache import CODECS
from attnlab.kernels.triton.decode_attention import configuration, decode_attention
from attnlab.kernels.triton.kv_append import Place, kv_append

META = torch.device("meta")
LAYOUTS = ("contiguous_bhsd", "paged:16", "paged:64", "contiguous_bshd", "paged_hsd:256", "ring:512", "paged:1")
FORMATS = tuple(known_formats())
TARGETS = (90, 80, 100)
DTYPES = (torch.bfloat16, torch.float16)
HEAD_DIMS = (64, 128, 96, 256, 80)


def cases() -> Iterator[tuple[int, str, str, int, torch.dtype]]:
    """(sm, format, layout, head size, dtype): every format for sm_90, those that differ most for the others."""
    turn = itertools.count()
    for sm, format in itertools.product(TARGETS, FORMATS):
        if sm != 90 and format not in ("same", "fp8_e4m3", "int4_g32"):
            continue
        n = next(turn)
        sizes = [d for d in HEAD_DIMS if format != "int4_g32" or d % 32 == 0]
        layouts = [x for x in LAYOUTS if format != "int4_g32" or x not in ("paged:16", "paged:1")]
        yield sm, format, layouts[n % len(layouts)], sizes[n % len(sizes)], DTYPES[n // 3 % 2]


@pytest.fixture(scope="module", autouse=True)
def fresh_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels are compiled here and now, and not taken from an earlier run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton-cache")))
        yield


def meta_cache(layout: str, format: str, head_dim: int, dtype: torch.dtype) -> KVCache:
    return KVCache.allocate(
        layout_of(layout), format_of(format), batch=2, kv_heads=2, head_dim=head_dim, dtype=dtype, capacity=4096,
        device=META,
    )  # fmt: skip


@functools.cache
def decoded(
    sm: int, layout: str, format: str, head_dim: int, dtype: torch.dtype, q_len: int = 1, **options: Any
) -> dict[str, KernelReport]:
    """The kernels of one launch over 4096 tokens of 2 sequences, 8 query heads over 2."""
    cache = meta_cache(layout, format, head_dim, dtype)
    q = torch.empty(2, 8, q_len, head_dim, dtype=dtype, device=META)
    keys, values = CODECS[format]
    with target(sm) as kernels:
        decode_attention(
            q, cache.keys.planes, cache.values.planes, cache.lengths, key_codec=keys, value_codec=values,
            page_tokens=cache.page_tokens, table=cache.table, wraps=cache.layout.wraps, longest=4096, scale=0.1,
            window=300 if cache.layout.wraps else None, **({"splits": 4} | options),
        )  # fmt: skip
    return {report.name: report for report in kernels.reports}


@pytest.mark.parametrize(("sm", "format", "layout", "head_dim", "dtype"), list(cases()))
def test_decoding_does_not_spill(sm: int, format: str, layout: str, head_dim: int, dtype: torch.dtype) -> None:
    reports = decoded(sm, layout, format, head_dim, dtype, q_len=4 if sm == 80 else 1)
    assert set(reports) == {"_decode", "_combine"}
    for report in reports.values():
        assert (report.spills, report.stack_bytes) == (0, 0)
        assert report.shared_bytes <= SHARED_LIMIT_BYTES[sm]
    assert (
        reports["_decode"].count("HMMA") + reports["_decode"].count("HGMMA") + reports["_decode"].count("UTCHMMA") > 0
    )


@pytest.mark.parametrize(("sm", "format", "layout", "head_dim", "dtype"), list(cases()))
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


def test_one_split_needs_no_second_pass() -> None:
    assert set(decoded(90, "paged:64", "same", 128, torch.bfloat16, splits=1)) == {"_decode"}


# Instructions of the whole kernel beyond those on plain numbers, for each number decoded by a thread, on sm_90.
DECODING_CEILING = {"int8_token": 4.5, "fp8_e4m3": 3.5, "int4_g32": 16.0}


@pytest.mark.parametrize(("format", "ceiling"), DECODING_CEILING.items())
def test_instructions_that_decode_a_number(format: str, ceiling: float) -> None:
    head_dim, dtype = 128, torch.bfloat16
    tiling = configuration(head_dim, dtype, CODECS[format][0], 4)
    numbers = 2 * head_dim * tiling.block_n / (32 * tiling.num_warps)

    def instructions(name: str) -> int:
        return sum(decoded(90, "paged:64", name, head_dim, dtype, tiling=tiling)["_decode"].opcodes.values())

    assert 0 < (instructions(format) - instructions("same")) / numbers <= ceiling


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
        "q": torch.empty(2, 8, 1, 64, dtype=torch.bfloat16, device=META), "keys": cache.keys.planes,
        "values": cache.values.planes, "lengths": cache.lengths, "key_codec": "same", "value_codec": "same",
        "page_tokens": cache.page_tokens, "table": cache.table, "longest": 4096, "scale": 0.1,
    }  # fmt: skip
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
        "x": torch.empty(2, 2, 4, 64, dtype=torch.bfloat16, device=META), "planes": cache.keys.planes,
        "starts": cache.lengths, "codec": codec, "place": Place(64, cache.table),
    }  # fmt: skip
    with pytest.raises(ValueError, match=said):
        kv_append(**(arguments | changed))


@pytest.mark.parametrize(
    ("format", "changed", "said"),
    [
        ("same", "lengths", r"lengths with stride \(2"),
        ("same", "table", "a block table .* without gaps"),
        ("int8_token", "without scale of keys", "keys with planes data; expected scale"),
        ("int8_token", "wide scale of values", "scale .* of values; expected"),
        ("int8_channel", "strided scale of keys", "scale of keys .* strides"),
        ("fp8_e4m3", "bytes of keys", "data of keys of torch.uint8; expected"),
        ("int4_g32", "strided minimum of keys", "scale of keys with strides .* and minimum"),
    ],
)
def test_planes_that_would_be_read_as_other_planes_are_refused(format: str, changed: str, said: str) -> None:
    cache = meta_cache("paged:64", format, 64, torch.bfloat16)
    keys, values = CODECS[format]
    given: dict[str, Any] = {
        "q": torch.empty(2, 8, 1, 64, dtype=torch.bfloat16, device=META), "keys": cache.keys.planes,
        "values": cache.values.planes, "lengths": cache.lengths, "key_codec": keys, "value_codec": values,
        "page_tokens": cache.page_tokens, "table": cache.table, "longest": 4096, "scale": 0.1,
    }  # fmt: skip
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
                q, cache.keys.planes, cache.values.planes, cache.lengths, key_codec="same", value_codec="same",
                page_tokens=512, wraps=True, longest=4096, scale=0.1, window=window,
            )  # fmt: skip


@pytest.mark.parametrize("format", ["same", "int4_g32"])
def test_more_sequences_than_a_grids_other_axes_hold(format: str) -> None:
    """The stand-in refuses a grid that a device refuses."""
    batch = 70_000
    cache = KVCache.allocate(
        layout_of("contiguous_bhsd"), format_of(format), batch=batch, kv_heads=1, head_dim=32, dtype=torch.float16,
        capacity=64, device=META,
    )  # fmt: skip
    keys, values = CODECS[format]
    x = torch.empty(batch, 1, 1, 32, dtype=torch.float16, device=META)
    with target(90) as kernels:
        decode_attention(
            x, cache.keys.planes, cache.values.planes, cache.lengths, key_codec=keys, value_codec=values,
            page_tokens=cache.page_tokens, longest=64, scale=0.1, splits=2,
        )  # fmt: skip
        kv_append(x, cache.keys.planes, cache.lengths, keys, Place(cache.page_tokens), cache.recent)
    assert len(kernels.reports) == 3
