"""Numbers as codes of a cache, on the device: eight-bit integers, e4m3, and four bits with a scale and a minimum."""

import triton
import triton.language as tl

GROUP = tl.constexpr(32)  # tokens or channels that share a scale of four-bit codes


@triton.jit
def int4_steps(least: tl.tensor, largest: tl.tensor, unknown: tl.tensor) -> tl.tuple:
    """(scale, minimum) as float16 holds them, in float32; NaN where a number is."""
    least = tl.minimum(tl.maximum(least, -65504.0), 65504.0)
    step = (tl.maximum(tl.minimum(largest, 65504.0), -65504.0) - least) / 15.0
    step, least = or_nan(step, unknown), or_nan(least, unknown)
    return step.to(tl.float16).to(tl.float32), least.to(tl.float16).to(tl.float32)


@triton.jit
def any_nan(numbers: tl.tensor, AXIS: tl.constexpr) -> tl.tensor:
    """Whether any number along an axis is NaN, which minima and maxima pass over."""
    return tl.max((numbers != numbers).to(tl.int32), AXIS) != 0


@triton.jit
def or_nan(x: tl.tensor, unknown: tl.tensor) -> tl.tensor:
    """x, and NaN where it is not known."""
    return tl.where(unknown, float("nan"), x)


@triton.jit
def int4_code(numbers: tl.tensor, step: tl.tensor, zero: tl.tensor) -> tl.tensor:
    quotient = tl.where(step > 0, (numbers - zero) / tl.where(step > 0, step, 1.0), 0.0)
    return nearest(tl.minimum(tl.maximum(quotient, 0.0), 15.0)).to(tl.int32)


@triton.jit
def nearest(x: tl.tensor) -> tl.tensor:
    """Rounded to a whole number, halves to even, for |x| below 2^22: what is past the point falls off."""
    return (x + 12582912.0) - 12582912.0


@triton.jit
def e4m3_bits(x: tl.tensor) -> tl.tensor:
    """|x| up to 448 rounded to e4m3, halves to even, as a byte: for devices that have no such conversion."""
    bits = x.to(tl.uint32, bitcast=True)
    size = bits & 0x7FFFFFFF
    rounded = (size + 0x7FFFF + ((size >> 20) & 1)) >> 20
    tiny = nearest(size.to(tl.float32, bitcast=True) * 512.0).to(tl.uint32)  # in steps of 2^-9
    code = tl.where(size < 0x3C800000, tiny, rounded - 960)  # below 2^-6
    code = tl.where(size > 0x7F800000, 0x7F, code)  # NaN
    return (code | ((bits >> 24) & 0x80)).to(tl.uint8)
