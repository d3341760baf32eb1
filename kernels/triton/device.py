"""What every kernel shares: the device that it is compiled for, and products and rounding as a device has them.

The interpreter multiplies float16 and bfloat16 wrongly, and cuts float32 to bfloat16 where a device rounds. `dot` and
`narrow` make it do what a device does; nothing else differs.
"""

import math

import torch
import triton
import triton.language as tl

INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)
LOG2_E = tl.constexpr(math.log2(math.e))
LN_2 = tl.constexpr(math.log(2))
TRITON_DTYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}


def architecture() -> int:
    """Compute capability, times ten, that kernels are now compiled for; the interpreter takes sm_90's tilings."""
    if INTERPRETED.value:
        return 90
    return int(triton.runtime.driver.active.get_current_target().arch)


@triton.jit
def dot(a: tl.tensor, b: tl.tensor, acc: tl.tensor, PRECISION: tl.constexpr) -> tl.tensor:
    """a [M, K] times b [K, N] plus acc or None, accumulated in float32; PRECISION matters to float32 operands only."""
    if INTERPRETED:
        a = a.to(tl.float32)
        b = b.to(tl.float32)
    return tl.dot(a, b, acc, input_precision=PRECISION)


@triton.jit
def narrow(tile: tl.tensor, DTYPE: tl.constexpr) -> tl.tensor:
    """A float32 tile in DTYPE, rounded to nearest even."""
    if INTERPRETED and tl.bfloat16 == DTYPE:
        bits = tile.to(tl.uint32, bitcast=True)
        tile = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).to(tl.float32, bitcast=True)
    return tile.to(DTYPE)
