"""Four-bit codes of weights as numbers on the device, and numbers of x as codes."""

import triton
import triton.language as tl

from attnlab.kernels.triton.device import INTERPRETED, narrow
from attnlab.kernels.triton.kv_codes import e4m3_bits, nearest

# Two units of four nibbles, a register, at a time: 128 and a nibble in bfloat16 is 0x4300 and itself, 1024 and a nibble
# in float16 0x6400 and itself. Less 136 and 1032 leaves a code less 8.
BF16_ASSEMBLY = tl.constexpr("""{
    .reg .b32 x, magic, one, less;
    mov.b32 magic, 0x43004300;
    mov.b32 one, 0x3f803f80;
    mov.b32 less, 0xc308c308;
    lop3.b32 $0, $4, 0x000f000f, magic, 0xea;
    shr.u32 x, $4, 4;
    lop3.b32 $1, x, 0x000f000f, magic, 0xea;
    shr.u32 x, $4, 8;
    lop3.b32 $2, x, 0x000f000f, magic, 0xea;
    shr.u32 x, $4, 12;
    lop3.b32 $3, x, 0x000f000f, magic, 0xea;
    fma.rn.bf16x2 $0, $0, one, less;
    fma.rn.bf16x2 $1, $1, one, less;
    fma.rn.bf16x2 $2, $2, one, less;
    fma.rn.bf16x2 $3, $3, one, less;
}""")
# The second nibble of a byte is taken where it lies: 1024 and sixteen times itself, over 16, less 72.
FP16_ASSEMBLY = tl.constexpr("""{
    .reg .b32 x, magic, less, sixteenth, high_less;
    mov.b32 magic, 0x64006400;
    mov.b32 less, 0x64086408;
    mov.b32 sixteenth, 0x2c002c00;
    mov.b32 high_less, 0xd480d480;
    shr.u32 x, $4, 8;
    lop3.b32 $0, $4, 0x000f000f, magic, 0xea;
    lop3.b32 $1, $4, 0x00f000f0, magic, 0xea;
    lop3.b32 $2, x, 0x000f000f, magic, 0xea;
    lop3.b32 $3, x, 0x00f000f0, magic, 0xea;
    sub.rn.f16x2 $0, $0, less;
    fma.rn.f16x2 $1, $1, sixteenth, high_less;
    sub.rn.f16x2 $2, $2, less;
    fma.rn.f16x2 $3, $3, sixteenth, high_less;
}""")


@triton.jit
def nibbles(units: tl.tensor, DTYPE: tl.constexpr) -> tl.tuple:
    """The four planes of a tile of units, codes less 8, as numbers of DTYPE, which holds them exactly."""
    if INTERPRETED or tl.float32 == DTYPE:
        bits = units.to(tl.int32) & 0xFFFF
        return (
            narrow(((bits & 15) - 8).to(tl.float32), DTYPE),
            narrow((((bits >> 4) & 15) - 8).to(tl.float32), DTYPE),
            narrow((((bits >> 8) & 15) - 8).to(tl.float32), DTYPE),
            narrow(((bits >> 12) - 8).to(tl.float32), DTYPE),
        )
    elif tl.bfloat16 == DTYPE:
        return tl.inline_asm_elementwise(
            BF16_ASSEMBLY,
            "=&r,=&r,=&r,=&r,r",
            [units],
            dtype=(tl.bfloat16, tl.bfloat16, tl.bfloat16, tl.bfloat16),
            is_pure=True,
            pack=2,
        )
    else:
        return tl.inline_asm_elementwise(
            FP16_ASSEMBLY,
            "=&r,=&r,=&r,=&r,r",
            [units],
            dtype=(tl.float16, tl.float16, tl.float16, tl.float16),
            is_pure=True,
            pack=2,
        )


@triton.jit
def largest_of_rows(
    x: tl.tensor, largest: tl.tensor, x_stride: tl.tensor, width: tl.tensor, BLOCK: tl.constexpr
) -> None:
    """The largest magnitude of each row of x."""
    row = tl.program_id(0).to(tl.int64)
    tl.store(largest + row, _largest(x + row * x_stride, width, BLOCK))


@triton.jit
def encode_rows(
    x: tl.tensor,
    codes: tl.tensor,
    scales: tl.tensor,
    largest: tl.tensor,
    x_stride: tl.tensor,
    rows: tl.tensor,
    width: tl.tensor,
    TOP: tl.constexpr,
    WHOLE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Codes of a row of x and its scale, the largest magnitude over TOP; WHOLE: the largest of all rows counts.

    codes are int8, or bytes of e4m3. A quotient is rounded to nearest even; a scale of 0 gives codes of 0.
    """
    row = tl.program_id(0).to(tl.int64)
    if WHOLE:
        top = 0.0
        for start in range(0, rows, BLOCK):
            place = start + tl.arange(0, BLOCK)
            top = tl.maximum(top, tl.max(tl.load(largest + place, mask=place < rows, other=0.0), 0))
    else:
        top = _largest(x + row * x_stride, width, BLOCK)
    scale = tl.div_rn(top, TOP * 1.0)
    tl.store(scales + row, scale)
    divisor = tl.where(scale > 0, scale, 1.0)
    for start in range(0, width, BLOCK):
        column = start + tl.arange(0, BLOCK)
        numbers = tl.load(x + row * x_stride + column, mask=column < width, other=0.0).to(tl.float32)
        steps = tl.where(scale > 0, tl.div_rn(numbers, tl.zeros_like(numbers) + divisor), 0.0)
        steps = tl.minimum(tl.maximum(steps, -TOP), TOP)
        code = nearest(steps).to(tl.int8) if tl.int8 == codes.dtype.element_ty else e4m3_bits(steps)
        tl.store(codes + row * width + column, code, mask=column < width)


@triton.jit
def _largest(x: tl.tensor, width: tl.tensor, BLOCK: tl.constexpr) -> tl.tensor:
    top = tl.zeros([BLOCK], tl.float32)
    for start in range(0, width, BLOCK):
        column = start + tl.arange(0, BLOCK)
        top = tl.maximum(top, tl.abs(tl.load(x + column, mask=column < width, other=0.0).to(tl.float32)))
    return tl.max(top, 0)
