"""Powers of two that keep codes times scales within float16 on the device."""

import triton
import triton.language as tl

LEAST = tl.constexpr(-126)  # exponent of the least number that float32 holds in full
GRAIN = tl.constexpr(14)  # weights times scales of values reach up to 2^15, well within float16


@triton.jit
def exponent_of(number: tl.tensor) -> tl.tensor:
    """e of number = m · 2^e, 1 <= m < 2, of a positive float32; from -126 to 126 whatever it is."""
    bits = number.to(tl.int32, bitcast=True) >> 23 & 0xFF
    return tl.minimum(tl.maximum(bits - 127, LEAST), -LEAST)


@triton.jit
def power_of_two(exponent: tl.tensor) -> tl.tensor:
    """2^exponent in float32; 0 below -126."""
    return (tl.maximum(exponent + 127, 0) << 23).to(tl.float32, bitcast=True)
