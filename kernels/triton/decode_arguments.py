"""What decoding is given, checked before any launch, and how the kernel sees the planes of a cache."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnlab.kernels.triton.attention_arguments import DTYPES, LARGEST_HEAD_DIM, architecture, blocks, expect, padded
from attnlab.kernels.triton.attention_tiles import INTERPRETED
from attnlab.kernels.triton.cache_arguments import CODECS, check_counts, check_side, check_table
from attnlab.kernels.triton.decode_planes import FP8_BITS

KEY_CODECS = tuple(codec for codec in CODECS if codec != "int4_token")
VALUE_CODECS = tuple(codec for codec in CODECS if codec not in ("int4_channel", "int8_channel"))
SCALES = {"channels": "group", "tokens": "group"}


@dataclass(frozen=True)
class Side:
    """Keys or values as the kernel takes them.

    planes: units, scale and minimum, the latter two `none` where a codec has them not; strides of the first three axes
    of units and of scales. form: kind of code, what has a scale, planes of a unit, blocks of units, dtype.
    """

    planes: tuple[Tensor, Tensor, Tensor]
    strides: tuple[tuple[int, ...], tuple[int, ...]]
    form: tuple[Any, ...]


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
    columns = (padded(units),) if number_planes > 1 else blocks(units)  # 16 of them are too few for four warps
    form = kind, scales, number_planes, columns, str(dtype).removeprefix("torch.")
    return Side(
        (data, scale, minimum), (data.stride()[:3], scale.stride()[:3] if scale.dim() == 4 else (0, 0, 0)), form
    )


def _in_units(data: Tensor) -> bool:
    width = data.shape[-1]
    return width % 2 == 0 and data.storage_offset() % 2 == 0 and all(stride % 2 == 0 for stride in data.stride()[:-1])


def check(
    q: Tensor, keys: Mapping[str, Tensor], values: Mapping[str, Tensor], lengths: Tensor, key_codec: str,
    value_codec: str, page_tokens: int, table: Tensor | None, wraps: bool, longest: int, scale: float,
    window: int | None,
) -> int:  # fmt: skip
    """The number of key-value heads; ValueError where arguments do not fit."""
    expect(q.dim() == 4 and q.dtype in DTYPES, f"q {list(q.shape)} of {q.dtype}",
           f"[B, Hq, Sq, D] of {', '.join(map(str, DTYPES))}", "cast or reshape q")  # fmt: skip
    expect(q.device.type != "cpu" or bool(INTERPRETED.value), "tensors on cpu", "tensors on a GPU",
           "move them, or set TRITON_INTERPRET=1 before the import to run in the interpreter")  # fmt: skip
    batch, q_heads, q_len, head_dim = q.shape
    expect(1 <= head_dim <= LARGEST_HEAD_DIM, f"head size {head_dim}", f"1 to {LARGEST_HEAD_DIM}", "split the head")
    expect(
        head_dim == 1 or q.stride(-1) == 1,
        f"q with stride {q.stride(-1)} in its last axis",
        "stride 1",
        "pass q.contiguous()",
    )
    for codec, known in ((key_codec, KEY_CODECS), (value_codec, VALUE_CODECS)):
        expect(codec in known, f"codec {codec}", f"one of {', '.join(known)}", "store the cache in one of these")
    expect(key_codec.startswith("int4") == value_codec.startswith("int4"), f"keys {key_codec}, values {value_codec}",
           "both of four bits or neither", "store both alike")  # fmt: skip
    kv_heads = keys["data"].shape[2] if "data" in keys and keys["data"].dim() == 4 else 0
    expect(kv_heads > 0 and q_heads % kv_heads == 0, f"{q_heads} query heads over {kv_heads} key-value heads",
           "a multiple", "repeat or drop heads")  # fmt: skip
    check_side("keys", keys, CODECS[key_codec], kv_heads, page_tokens, q)
    check_side("values", values, CODECS[value_codec], kv_heads, page_tokens, q)
    check_counts("lengths", lengths, batch, q)
    expect(math.isfinite(scale) and scale > 0, f"scale {scale}", "a finite number above zero", "negate q instead")
    expect(window is None or window >= 1, f"window {window}", "at least 1 key", "pass None for no window")
    expect(longest >= 0, f"longest {longest}", "0 tokens or more", "pass the largest length")
    check_table(table, batch, min(keys["data"].shape[0], values["data"].shape[0]), page_tokens, q)
    if table is not None:
        held = table.shape[1] * page_tokens
        expect(longest <= held, f"{longest} tokens", f"at most {held}, what the block table holds", "add pages")
        return kv_heads
    # A ring keeps the last tokens alone: what a query may see must be among them.
    seen = longest if window is None or not wraps else min(longest, window + q_len - 1)
    expect(seen <= page_tokens, f"{seen} tokens", f"at most {page_tokens}, what a page holds",
           "allocate a larger cache, or narrow the window" if wraps else "allocate a larger cache")  # fmt: skip
    return kv_heads
