"""Codes of a cache as numbers on the device: whole tiles of units, each holding one number or the codes of two or four.

A unit is what one load gives: a number, a byte of codes, or 16 bits of codes. Of 16 bits each plane, the first byte of
every unit, the second, or one of the four nibbles, becomes a tile of float16 of its own: the shuffling that a matrix
product wants is then done by loads of 16-bit matrices, and two numbers are converted at once. Planes are disjoint
channels: scores add up over them, and the values of each are accumulated apart.

Inline assembly converts on a device; the interpreter, and a device without instructions for e4m3, has the same numbers
from plain operations.
"""

import triton
import triton.language as tl

from attnlab.kernels.triton.device import INTERPRETED, narrow

SAME = tl.constexpr("same")
INT8 = tl.constexpr("int8")
FP8 = tl.constexpr("fp8")  # e4m3 that the device converts by itself
FP8_BITS = tl.constexpr("fp8_bits")  # e4m3 as bytes, for devices before sm_89
INT4 = tl.constexpr("int4")

# Two units of two bytes, a register, at a time. A byte in the low half of 0x6400 is 1024 and itself in float16; an
# eight-bit integer has its sign flipped before, which adds 128.
INT8_ASSEMBLY = tl.constexpr("""{
    .reg .b32 x, bias;
    xor.b32 x, $2, 0x80808080;
    mov.b32 bias, 0x64806480;
    prmt.b32 $0, x, 0x64646464, 0x4240;
    prmt.b32 $1, x, 0x64646464, 0x4341;
    sub.rn.f16x2 $0, $0, bias;
    sub.rn.f16x2 $1, $1, bias;
}""")
FP8_ASSEMBLY = tl.constexpr("""{
    .reg .b32 x;
    .reg .b16 low, high;
    prmt.b32 x, $2, 0, 0x3120;
    mov.b32 {low, high}, x;
    cvt.rn.f16x2.e4m3x2 $0, low;
    cvt.rn.f16x2.e4m3x2 $1, high;
}""")
# The same for devices before sm_89. Exponent and fraction move one place down, to where float16 has them. Its exponent
# has another bias: times 256. 0x7f, which is no number, carries into the bit above it.
FP8_BITS_ASSEMBLY = tl.constexpr("""{
    .reg .b32 x, size, carry, factor;
    mov.b32 factor, 0x5c005c00;
    shl.b32 x, $2, 8;
    and.b32 size, x, 0x7f007f00;
    shr.u32 size, size, 1;
    lop3.b32 $0, x, 0x80008000, size, 0xea;
    mul.rn.f16x2 $0, $0, factor;
    add.u32 carry, size, 0x00800080;
    shr.u32 carry, carry, 1;
    lop3.b32 $0, carry, 0x20002000, $0, 0xea;
    and.b32 size, $2, 0x7f007f00;
    shr.u32 size, size, 1;
    lop3.b32 $1, $2, 0x80008000, size, 0xea;
    mul.rn.f16x2 $1, $1, factor;
    add.u32 carry, size, 0x00800080;
    shr.u32 carry, carry, 1;
    lop3.b32 $1, carry, 0x20002000, $1, 0xea;
}""")
# Half of each nibble, in the order of their bits: 1024 and itself, or 1024 and sixteen times itself, come out first.
INT4_ASSEMBLY = tl.constexpr("""{
    .reg .b32 x, magic, low, low_less, high, high_less;
    mov.b32 magic, 0x64006400;
    mov.b32 low, 0x38003800;
    mov.b32 low_less, 0xe000e000;
    mov.b32 high, 0x28002800;
    mov.b32 high_less, 0xd000d000;
    shr.u32 x, $4, 8;
    lop3.b32 $0, $4, 0x000f000f, magic, 0xea;
    lop3.b32 $1, $4, 0x00f000f0, magic, 0xea;
    lop3.b32 $2, x, 0x000f000f, magic, 0xea;
    lop3.b32 $3, x, 0x00f000f0, magic, 0xea;
    fma.rn.f16x2 $0, $0, low, low_less;
    fma.rn.f16x2 $1, $1, high, high_less;
    fma.rn.f16x2 $2, $2, low, low_less;
    fma.rn.f16x2 $3, $3, high, high_less;
}""")

FMA_ASSEMBLY = tl.constexpr("fma.rn.f16x2 $0, $1, $2, $3;")


@triton.jit
def numbers(units: tl.tensor, KIND: tl.constexpr, PLANES: tl.constexpr, DTYPE: tl.constexpr) -> tl.tuple:
    """The planes of a tile of units as numbers of DTYPE, which is float16 where units have 16 bits of codes.

    Four-bit codes are 0 to 15 and come out halved: so does what they stand for, which else may pass float16's largest.
    """
    if KIND == INT4:
        if PLANES == 4:
            return _nibbles(units)
        else:
            low, high = (units & 15).to(tl.float32), (units >> 4).to(tl.float32)
            return _convert(low * 0.5, DTYPE), _convert(high * 0.5, DTYPE)
    elif PLANES == 1:
        return (_number(units, KIND, DTYPE),)
    elif KIND == INT8:
        return _int8_planes(units)
    else:
        return _fp8_planes(units, KIND)


@triton.jit
def apply_scale(codes: tl.tensor, scale: tl.tensor, minimum: tl.tensor, DTYPE: tl.constexpr) -> tl.tensor:
    """Half of what four-bit codes stand for, from half of each and of the minimum, rounded once."""
    if tl.float16 != DTYPE:
        return narrow(codes.to(tl.float32) * scale.to(tl.float32) + minimum.to(tl.float32), DTYPE)
    elif INTERPRETED:
        return (codes.to(tl.float64) * scale.to(tl.float64) + minimum.to(tl.float64)).to(tl.float16)
    else:
        return tl.inline_asm_elementwise(
            FMA_ASSEMBLY, "=r,r,r,r", [codes, scale, minimum], dtype=tl.float16, is_pure=True, pack=2
        )


@triton.jit
def _int8_planes(units: tl.tensor) -> tl.tuple:
    if INTERPRETED:
        bits = units.to(tl.uint16, bitcast=True) ^ 0x8080
        return _less((bits & 0xFF) | 0x6400, 1152.0), _less((bits >> 8) | 0x6400, 1152.0)
    else:
        return tl.inline_asm_elementwise(
            INT8_ASSEMBLY, "=&r,=&r,r", [units], dtype=(tl.float16, tl.float16), is_pure=True, pack=2
        )


@triton.jit
def _fp8_planes(units: tl.tensor, KIND: tl.constexpr) -> tl.tuple:
    ASSEMBLY: tl.constexpr = FP8_BITS_ASSEMBLY if KIND == FP8_BITS else FP8_ASSEMBLY
    if INTERPRETED:
        bits = units.to(tl.uint16, bitcast=True)
        return _e4m3(bits & 0xFF), _e4m3(bits >> 8)
    else:
        return tl.inline_asm_elementwise(
            ASSEMBLY, "=&r,=&r,r", [units], dtype=(tl.float16, tl.float16), is_pure=True, pack=2
        )


@triton.jit
def _nibbles(units: tl.tensor) -> tl.tuple:
    if INTERPRETED:
        bits = units.to(tl.uint16, bitcast=True)
        return (
            _halved(bits & 15),
            _halved((bits >> 4) & 15),
            _halved((bits >> 8) & 15),
            _halved(bits >> 12),
        )
    else:
        return tl.inline_asm_elementwise(
            INT4_ASSEMBLY,
            "=&r,=&r,=&r,=&r,r",
            [units],
            dtype=(tl.float16, tl.float16, tl.float16, tl.float16),
            is_pure=True,
            pack=2,
        )


@triton.jit
def _halved(code: tl.tensor) -> tl.tensor:
    return (code.to(tl.float32) * 0.5).to(tl.float16)


@triton.jit
def _less(bits: tl.tensor, offset: tl.constexpr) -> tl.tensor:
    return (bits.to(tl.float16, bitcast=True).to(tl.float32) - offset).to(tl.float16)


@triton.jit
def _e4m3(code: tl.tensor) -> tl.tensor:
    """A byte of e4m3 in 16 bits as float16, whose exponent has one bit more and another bias; 0x7f is no number."""
    magnitude = code & 0x7F
    bits = ((code & 0x80) << 8) | tl.where(magnitude == 0x7F, 0x7E00, magnitude << 7)
    return (bits.to(tl.uint16).to(tl.float16, bitcast=True).to(tl.float32) * 256.0).to(tl.float16)


@triton.jit
def _number(units: tl.tensor, KIND: tl.constexpr, DTYPE: tl.constexpr) -> tl.tensor:
    if KIND == FP8_BITS:
        return _e4m3(units.to(tl.uint16)).to(DTYPE)
    else:
        return _convert(units, DTYPE)


@triton.jit
def _convert(codes: tl.tensor, DTYPE: tl.constexpr) -> tl.tensor:
    """Codes as numbers of DTYPE, which holds each of them exactly; the interpreter has no such way to bfloat16."""
    if INTERPRETED and tl.bfloat16 == DTYPE:
        return narrow(codes.to(tl.float32), DTYPE)
    else:
        return codes.to(DTYPE)
