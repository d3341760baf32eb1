"""What the kernels over a key-value cache are given, checked before any launch: planes by codec, lengths, tables."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.kernels.triton.attention_arguments import expect

GROUP = 32  # tokens or channels that share a scale of four-bit codes
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
    expect(codec.kind != "int4" or head_dim % GROUP == 0, f"head size {head_dim} with four bits",
           f"a multiple of {GROUP}", "store it in eight bits")  # fmt: skip
    data = _plane(name, planes, "data")
    wanted = (heads, codec.width(head_dim))
    expect(data.dim() == 4 and tuple(data.shape[2:]) == wanted, f"{name} {list(data.shape)}",
           f"[pages, rows, {wanted[0]}, {wanted[1]}]", "give one plane a side")  # fmt: skip
    expect(data.shape[1] == page_tokens, f"{name} of {data.shape[1]} tokens a page", f"{page_tokens}",
           "pass the page size of the planes")  # fmt: skip
    _check_rows(f"data of {name}", data, codec.dtype or like.dtype, like.device)
    if codec.scales == "nothing":
        return
    shape = codec.scale_shape(data.shape[0], page_tokens, heads, head_dim)
    dtype = torch.float16 if codec.minima else torch.float32
    planes_of_scales = [_plane(name, planes, part) for part in (("scale", "minimum") if codec.minima else ("scale",))]
    for part, plane in zip(("scale", "minimum"), planes_of_scales, strict=False):
        expect(tuple(plane.shape) == shape, f"{part} {list(plane.shape)} of {name}", f"{list(shape)}",
               "pass the plane that was allocated with the data")  # fmt: skip
        _check_rows(f"{part} of {name}", plane, dtype, like.device)
        expect(plane.dim() == 4 or plane.is_contiguous(), f"{part} of {name} with gaps", "contiguous memory",
               "pass a contiguous copy")  # fmt: skip
    first, last = planes_of_scales[0], planes_of_scales[-1]
    expect(first.stride()[:-1] == last.stride()[:-1], f"scale of {name} with strides {first.stride()} and minimum with "
           f"{last.stride()}", "the same strides", "allocate both alike")  # fmt: skip


def check_counts(name: str, counts: Tensor, batch: int, like: Tensor) -> None:
    """ValueError unless a number of tokens for each sequence is dense int32 [B] on the device of `like`."""
    expect(tuple(counts.shape) == (batch,) and counts.dtype == torch.int32, f"{name} {list(counts.shape)} of "
           f"{counts.dtype}", f"[{batch}] of torch.int32", "pass one number for each sequence")  # fmt: skip
    expect(counts.is_contiguous() and counts.device == like.device, f"{name} with stride {counts.stride()} on "
           f"{counts.device}", f"contiguous memory on {like.device}", "pass a contiguous copy there")  # fmt: skip


def check_table(table: Tensor | None, batch: int, pages: int, page_tokens: int, like: Tensor) -> None:
    """ValueError unless a block table is int32 [B, N] with dense rows; without one each sequence needs a page."""
    if table is None:
        expect(pages >= batch, f"{pages} pages for {batch} sequences", "a page each", "pass a block table")
        return
    dense = table.dim() == 2 and (table.shape[1] <= 1 or table.stride(1) == 1)
    expect(dense and table.shape[0] == batch and table.dtype == torch.int32,
           f"a block table {list(table.shape)} of {table.dtype}", f"[{batch}, pages] of torch.int32 without gaps",
           "pass one row of pages for each sequence")  # fmt: skip
    expect(table.device == like.device, f"a block table on {table.device}", f"{like.device}", "move it")
    expect(page_tokens & (page_tokens - 1) == 0, f"page size {page_tokens}", "a power of two", "use other pages")


def _plane(name: str, planes: Mapping[str, Tensor], part: str) -> Tensor:
    expect(part in planes, f"{name} with planes {', '.join(planes) or 'none'}", f"{part} among them",
           "pass every plane of the codec")  # fmt: skip
    return planes[part]


def _check_rows(name: str, plane: Tensor, dtype: torch.dtype, device: torch.device) -> None:
    expect(plane.dtype == dtype, f"{name} of {plane.dtype}", f"{dtype}", "store the cache in this codec")
    dense = plane.shape[-1] <= 1 or plane.stride(-1) == 1 or plane.numel() == 0
    expect(dense and plane.device == device, f"{name} on {plane.device} with strides {plane.stride()}",
           f"{device} and rows without gaps", "move or copy them")  # fmt: skip
