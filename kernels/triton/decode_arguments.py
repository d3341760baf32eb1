"""What decoding is given, checked before any launch, and how the kernel sees the planes of a cache."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.kernels.triton.attention_masks import Mask, check_mask
from attnlab.kernels.triton.attention_scoring import Scoring, check_scoring
from attnlab.kernels.triton.cache_arguments import CODECS, check_counts, check_side, check_table
from attnlab.kernels.triton.cache_forms import Form
from attnlab.kernels.triton.decode_planes import FP8_BITS
from attnlab.kernels.triton.device import INTERPRETED, TRITON_DTYPES, architecture
from attnlab.kernels.triton.head_widths import blocks, padded_width
from attnlab.kernels.triton.launch_checks import (
    DTYPE_NAMES,
    DTYPES,
    check_dense_rows,
    check_device,
    check_groups,
    check_head_dim,
    check_scale,
    expect,
)

KEY_CODECS = tuple(codec for codec in CODECS if codec != "int4_token")
VALUE_CODECS = tuple(codec for codec in CODECS if codec not in ("int4_channel", "int8_channel"))
SCALES = {"channels": "group", "tokens": "group"}


@dataclass(frozen=True)
class Side:
    """Keys or values as the kernel takes them.

    planes: units, scale and minimum, the latter two `none` where a codec has them not; strides of the first three axes
    of units and of scales.
    """

    planes: tuple[Tensor, Tensor, Tensor]
    strides: tuple[tuple[int, ...], tuple[int, ...]]
    form: Form


@dataclass(frozen=True)
class Codecs:
    """How keys and values are stored, by name in `CODECS`."""

    keys: str
    values: str


def side(planes: Mapping[str, Tensor], name: str, q: Tensor, none: Tensor) -> Side:
    """Keys or values in 16-bit units of codes where they fit; else codes are read one by one, as numbers of q's dtype.

    They do not fit where q is float32, which float16 would round, or where a row of codes is no whole number of units:
    an odd head size, rows or a first one at an odd byte.
    """
    codec, data = CODECS[name], planes["data"]
    native = bool(INTERPRETED.value) or architecture() >= 89
    kind = FP8_BITS.value if codec.kind == "fp8" and not native else codec.kind
    number_planes, dtype = (2 if kind == "int4" else 1), q.dtype
    if kind == FP8_BITS.value:
        data = data.view(torch.uint8)
    if kind != "same" and q.dtype != torch.float32 and _in_units(data):
        data, number_planes, dtype = data.view(torch.int16), 2 * number_planes, torch.float16
    units = q.shape[-1] // number_planes
    scale, minimum = planes.get("scale", none), planes.get("minimum", none)
    scales = SCALES.get(codec.scales, codec.scales)
    columns = (padded_width(units),) if number_planes > 1 else blocks(units)  # 16 of them are too few for four warps
    form = Form(kind, scales, number_planes, columns, TRITON_DTYPES[dtype])
    scale_strides = scale.stride()[:3] if scale.dim() == 4 else (0, 0, 0)
    return Side((data, scale, minimum), (data.stride()[:3], scale_strides), form)


def _in_units(data: Tensor) -> bool:
    width = data.shape[-1]
    return width % 2 == 0 and data.storage_offset() % 2 == 0 and all(stride % 2 == 0 for stride in data.stride()[:-1])


def check(
    q: Tensor,
    keys: Mapping[str, Tensor],
    values: Mapping[str, Tensor],
    lengths: Tensor,
    codecs: Codecs,
    page_tokens: int,
    table: Tensor | None,
    *,
    wraps: bool,
    longest: int,
    scale: float,
    mask: Mask,
    scoring: Scoring,
) -> int:
    """The number of key-value heads; ValueError where arguments do not fit."""
    _check_queries(q)
    check_scale(scale)
    _check_codecs(codecs)
    kv_heads = keys["data"].shape[2] if "data" in keys and keys["data"].dim() == 4 else 0
    check_groups(q.shape[1], kv_heads)
    check_side("keys", keys, CODECS[codecs.keys], kv_heads, page_tokens, q)
    check_side("values", values, CODECS[codecs.values], kv_heads, page_tokens, q)
    batch, _, q_len, _ = q.shape
    check_counts("lengths", lengths, batch, q)
    check_table(table, batch, min(keys["data"].shape[0], values["data"].shape[0]), page_tokens, q)
    expect(longest >= 0, f"longest {longest}", "0 tokens or more", "pass the largest length")
    expect(mask.kind not in ("full", "document"), f"mask {mask.kind}", "one of a growing text", "see `Mask`")
    check_mask(mask, q_len, longest, False, q)
    by_distance = scoring.bias_kind != "dense"
    expect(by_distance, "a dense bias", "slopes or distances", "a growing cache has no rows for a dense one")
    check_scoring(scoring, q_len, longest, False, q)
    if table is not None:
        held = table.shape[1] * page_tokens
        expect(longest <= held, f"{longest} tokens", f"at most {held}, what the block table holds", "add pages")
        return kv_heads
    window = window_of(mask)
    # A ring keeps the last tokens alone: what a query may see must be among them.
    seen = longest if window is None or not wraps else min(longest, window + q_len - 1)
    mend = "allocate a larger cache, or narrow the window" if wraps else "allocate a larger cache"
    expect(seen <= page_tokens, f"{seen} tokens", f"at most {page_tokens}, what a page holds", mend)
    return kv_heads


def window_of(mask: Mask) -> int | None:
    """The most keys that a query of a mask sees; None where that is all."""
    return mask.size if mask.near else None


def _check_queries(q: Tensor) -> None:
    fits = q.dim() == 4 and q.dtype in DTYPES
    expect(fits, f"q {list(q.shape)} of {q.dtype}", f"[B, Hq, Sq, D] of {DTYPE_NAMES}", "cast or reshape q")
    check_device("q", q)
    check_head_dim("head size", q.shape[-1])
    check_dense_rows("q", q)


def _check_codecs(codecs: Codecs) -> None:
    for codec, known in ((codecs.keys, KEY_CODECS), (codecs.values, VALUE_CODECS)):
        expect(codec in known, f"codec {codec}", f"one of {', '.join(known)}", "store the cache in one of these")
    fits = codecs.keys.startswith("int4") == codecs.values.startswith("int4")
    got = f"keys {codecs.keys}, values {codecs.values}"
    expect(fits, got, "both of four bits or neither", "store both alike")
