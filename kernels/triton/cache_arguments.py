"""What the kernels over a key-value cache are given, checked before any launch: planes by codec, lengths, tables."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.kernels.triton.kv_codes import GROUP as _GROUP
from attnlab.kernels.triton.launch_checks import check_beside, check_contiguous, check_dense_rows, expect

GROUP: int = _GROUP.value
FP8 = torch.float8_e4m3fn


@dataclass(frozen=True)
class Codec:
    """What a codec stores.

    kind: how a number becomes a code, same, int8, fp8 or int4. dtype: of codes, None for that of the queries. scales:
    what has a scale (and, with four bits, a minimum): nothing, token, channel, tensor, or a group, channels or tokens.
    """

    kind: str
    dtype: torch.dtype | None
    scales: str

    @property
    def minima(self) -> bool:
        return self.kind == "int4"

    def width(self, head_dim: int) -> int:
        """Elements of a row of codes."""
        return head_dim // 2 if self.kind == "int4" else head_dim

    def scale_shape(self, pages: int, page_tokens: int, heads: int, head_dim: int) -> tuple[int, ...]:
        """Of the planes `scale` and `minimum`."""
        return {
            "token": (pages, page_tokens, heads, 1),
            "channel": (heads, head_dim),
            "tensor": (1, 1),
            "channels": (pages, page_tokens, heads, head_dim // GROUP),
            "tokens": (pages, page_tokens // GROUP, heads, head_dim),
        }[self.scales]


CODECS = {
    "same": Codec("same", None, "nothing"),
    "int8_token": Codec("int8", torch.int8, "token"),
    "int8_channel": Codec("int8", torch.int8, "channel"),
    "fp8_tensor": Codec("fp8", FP8, "tensor"),
    "fp8_token": Codec("fp8", FP8, "token"),
    "int4_channel": Codec("int4", torch.uint8, "tokens"),
    "int4_token": Codec("int4", torch.uint8, "channels"),
}


def check_side(
    name: str, planes: Mapping[str, Tensor], codec: Codec, heads: int, page_tokens: int, like: Tensor
) -> None:
    """ValueError unless planes of keys or values are those of the codec; `like` [..., D] has the dtype and device."""
    head_dim = like.shape[-1]
    fits = codec.kind != "int4" or head_dim % GROUP == 0
    expect(fits, f"head size {head_dim} with four bits", f"a multiple of {GROUP}", "store it in eight bits")
    data = _plane(name, planes, "data")
    wanted = (heads, codec.width(head_dim))
    fits = data.dim() == 4 and tuple(data.shape[2:]) == wanted
    expect(fits, f"{name} {list(data.shape)}", f"[pages, rows, {wanted[0]}, {wanted[1]}]", "give one plane a side")
    got = f"{name} of {data.shape[1]} tokens a page"
    expect(data.shape[1] == page_tokens, got, f"{page_tokens}", "pass the page size of the planes")
    _check_plane(f"data of {name}", data, codec.dtype or like.dtype, like)
    if codec.scales != "nothing":
        _check_scales(name, planes, codec, codec.scale_shape(data.shape[0], page_tokens, heads, head_dim), like)


def check_counts(name: str, counts: Tensor, batch: int, like: Tensor) -> None:
    """ValueError unless a number of tokens for each sequence is dense int32 [B] on the device of `like`."""
    fits = tuple(counts.shape) == (batch,) and counts.dtype == torch.int32
    got = f"{name} {list(counts.shape)} of {counts.dtype}"
    expect(fits, got, f"[{batch}] of torch.int32", "pass one number for each sequence")
    fits = counts.is_contiguous() and counts.device == like.device
    got = f"{name} with stride {counts.stride()} on {counts.device}"
    expect(fits, got, f"contiguous memory on {like.device}", "pass a contiguous copy there")


def check_table(table: Tensor | None, batch: int, pages: int, page_tokens: int, like: Tensor) -> None:
    """ValueError unless a block table is int32 [B, N] with dense rows; without one each sequence needs a page."""
    if table is None:
        expect(pages >= batch, f"{pages} pages for {batch} sequences", "a page each", "pass a block table")
        return
    dense = table.dim() == 2 and (table.shape[1] <= 1 or table.stride(1) == 1)
    fits = dense and table.shape[0] == batch and table.dtype == torch.int32
    got = f"a block table {list(table.shape)} of {table.dtype}"
    wanted = f"[{batch}, pages] of torch.int32 without gaps"
    expect(fits, got, wanted, "pass one row of pages for each sequence")
    check_beside("a block table", table, like)
    expect(page_tokens & (page_tokens - 1) == 0, f"page size {page_tokens}", "a power of two", "use other pages")


def _check_scales(name: str, planes: Mapping[str, Tensor], codec: Codec, shape: tuple[int, ...], like: Tensor) -> None:
    parts = ("scale", "minimum") if codec.minima else ("scale",)
    scales = [_plane(name, planes, part) for part in parts]
    for part, plane in zip(parts, scales, strict=True):
        got = f"{part} {list(plane.shape)} of {name}"
        expect(tuple(plane.shape) == shape, got, f"{list(shape)}", "pass the plane that was allocated with the data")
        _check_plane(f"{part} of {name}", plane, torch.float16 if codec.minima else torch.float32, like)
        if plane.dim() != 4:
            check_contiguous(f"{part} of {name}", plane)
    first, last = scales[0].stride(), scales[-1].stride()
    got = f"scale of {name} with strides {first} and minimum with {last}"
    expect(first[:-1] == last[:-1], got, "the same strides", "allocate both alike")


def _plane(name: str, planes: Mapping[str, Tensor], part: str) -> Tensor:
    got = f"{name} with planes {', '.join(planes) or 'none'}"
    expect(part in planes, got, f"{part} among them", "pass every plane of the codec")
    return planes[part]


def _check_plane(name: str, plane: Tensor, dtype: torch.dtype, like: Tensor) -> None:
    expect(plane.dtype == dtype, f"{name} of {plane.dtype}", f"{dtype}", "store the cache in this codec")
    check_dense_rows(name, plane)
    check_beside(name, plane, like)
