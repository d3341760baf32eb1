"""Storing new tokens of keys or values in a cache in any layout, encoded on the way, in Triton."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from attnlab.kernels.triton.attention_arguments import strides
from attnlab.kernels.triton.cache_arguments import CODECS, GROUP, check_counts, check_side, check_table
from attnlab.kernels.triton.cache_forms import Paging
from attnlab.kernels.triton.device import INTERPRETED, architecture
from attnlab.kernels.triton.head_widths import padded_width
from attnlab.kernels.triton.kv_append_kernels import Planes, PlaneStrides, append_group, append_tokens
from attnlab.kernels.triton.launch_checks import DTYPE_NAMES, DTYPES, check_device, check_head_dim, expect
from attnlab.kernels.triton.row_arguments import RowTiling

TOKEN_CODECS = ("same", "int8_token", "int8_channel", "fp8_tensor", "fp8_token", "int4_token")
GROUP_CODECS = ("int4_channel",)
NUMBERS_A_PROGRAM = 1024


def row_tiling(heads: int, width: int) -> RowTiling:
    """What is built in: heads of a token that a program takes, each whole. Groups of tokens are one head a program."""
    block = padded_width(width)
    return RowTiling(max(1, min(triton.next_power_of_2(heads), NUMBERS_A_PROGRAM // block)), block, num_warps=4)


@dataclass(frozen=True)
class Place:
    """Where tokens of a cache lie: pages of page_tokens tokens, by a block table [B, N] or one a sequence."""

    page_tokens: int
    table: Tensor | None = None
    wraps: bool = False

    @property
    def paging(self) -> Paging:
        """As kernels are compiled for it."""
        return Paging(self.page_tokens, self.table is not None, self.wraps)


def kv_append(
    x: Tensor,
    planes: Mapping[str, Tensor],
    starts: Tensor,
    codec: str,
    place: Place,
    recent: Tensor | None = None,
    tiling: RowTiling | None = None,
) -> None:
    """Store x [B, Hkv, T, D] as tokens starts[b] to starts[b] + T - 1 of each sequence.

    x: float32, float16 or bfloat16, D from 1 to 256. planes: `data` and, by codec, `scale` and `minimum`, as
    `decode_attention` takes them; scales that are set once are read. starts: int32 [B]. recent, for int4_channel:
    [B, 64, Hkv, D], the last keys as they came, token t at t mod 64; T is then 32 at most, and the group that was not
    full is encoded anew. tiling: of `row_tiling` where None. Raises ValueError on arguments that do not fit, before any
    launch. That the tokens fit into the pages is the caller's to know: positions are not read on the host.
    """
    _check(x, planes, starts, codec, place, recent)
    if x.numel() == 0:
        return
    tiling = tiling or row_tiling(x.shape[1], x.shape[3])
    with torch.cuda.device_of(x):
        if codec in GROUP_CODECS:
            assert recent is not None
            _launch_groups(x, recent, starts, planes, place, tiling)
        else:
            _launch_tokens(x, starts, planes, codec, place, tiling)


def _launch_tokens(
    x: Tensor, starts: Tensor, planes: Mapping[str, Tensor], codec: str, place: Place, tiling: RowTiling
) -> None:
    batch, heads, tokens, width = x.shape
    native = not INTERPRETED.value and architecture() >= 89
    as_bytes = codec.startswith("fp8") and not native
    tensors, plane_strides = _planes(planes, starts)
    append_tokens[(tokens * triton.cdiv(heads, tiling.rows) * batch,)](
        x,
        starts,
        tensors._replace(data=tensors.data.view(torch.uint8)) if as_bytes else tensors,
        *_table(place, starts),
        strides(x),
        plane_strides,
        tokens,
        heads,
        CODEC=codec,
        AS_BYTES=as_bytes,
        WIDTH=width,
        BLOCK=padded_width(width),
        HEADS=tiling.rows,
        GROUPS=triton.next_power_of_2(max(1, width // GROUP)),
        PAGING=place.paging,
        num_warps=tiling.num_warps,
    )


def _launch_groups(
    x: Tensor, recent: Tensor, starts: Tensor, planes: Mapping[str, Tensor], place: Place, tiling: RowTiling
) -> None:
    batch, heads, tokens, width = x.shape
    groups = (tokens + GROUP - 2) // GROUP + 1
    tensors, plane_strides = _planes(planes, starts)
    append_group[(groups * heads * batch,)](  # on one axis, for the others end at 65,535
        x,
        recent,
        starts,
        tensors,
        *_table(place, starts),
        strides(x),
        strides(recent),
        plane_strides,
        tokens,
        groups,
        heads,
        WIDTH=width,
        GROUPS=triton.next_power_of_2(width // GROUP),
        PAGING=place.paging,
        num_warps=tiling.num_warps,
    )


def _planes(planes: Mapping[str, Tensor], none: Tensor) -> tuple[Planes, PlaneStrides]:
    """Planes as kernels take them, `none` for one that a codec has not."""
    data, scale = planes["data"], planes.get("scale", none)
    scale_strides = strides(scale) if scale.dim() == 4 else (0, 0, 0)
    return Planes(data, scale, planes.get("minimum", none)), PlaneStrides(strides(data), scale_strides)


def _table(place: Place, none: Tensor) -> tuple[Tensor, int]:
    """The block table and its stride."""
    return (none, 0) if place.table is None else (place.table, place.table.stride(0))


def _check(
    x: Tensor, planes: Mapping[str, Tensor], starts: Tensor, codec: str, place: Place, recent: Tensor | None
) -> None:
    known = TOKEN_CODECS + GROUP_CODECS
    expect(codec in known, f"codec {codec}", f"one of {', '.join(known)}", "store the cache in one of these")
    fits = x.dim() == 4 and x.dtype in DTYPES and (x.shape[-1] == 1 or x.stride(-1) == 1)
    got, wanted = f"x {list(x.shape)} of {x.dtype}", f"[B, Hkv, T, D] of {DTYPE_NAMES} without gaps"
    expect(fits, got, wanted, "cast, reshape or copy x")
    check_device("x", x)
    batch, heads, tokens, width = x.shape
    check_head_dim("head size", width)
    check_side("the cache", planes, CODECS[codec], heads, place.page_tokens, x)
    check_counts("starts", starts, batch, x)
    check_table(place.table, batch, planes["data"].shape[0], place.page_tokens, x)
    if codec in GROUP_CODECS:
        kept = [batch, 2 * GROUP, heads, width]
        fits = recent is not None and list(recent.shape) == kept and recent.stride(-1) == 1
        got = f"recent {None if recent is None else list(recent.shape)}"
        expect(fits, got, str(kept), "pass the last keys as they came")
        expect(tokens <= GROUP, f"{tokens} tokens", f"at most {GROUP}", "append in parts")
