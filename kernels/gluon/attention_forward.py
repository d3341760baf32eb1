"""Attention forward in Gluon for sm_90: one warp loads tiles by TMA, two groups of four multiply and take softmax.

Technique: FlashAttention-3 (Shah et al., 2024, arXiv:2407.08608): the scores of a tile of keys are multiplied while the
weights of the tile before are multiplied by its values, and the two groups take turns, so that one's softmax runs under
the other's products. Keys and values come through rings of buffers of their own; weights stay in registers.

Compiles with Triton 3.6 and 3.7. Its speed was not measured yet: it has not run on a GPU.
"""

from dataclasses import dataclass

import torch
import triton
from torch import Tensor
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import fence_async_shared, mbarrier
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

from attnlab.kernels.gluon.attention_partitions import ROWS, Plan, consume, load
from attnlab.kernels.triton.attention_arguments import check, reach
from attnlab.kernels.triton.attention_masks import chosen
from attnlab.kernels.triton.device import LOG2_E, architecture
from attnlab.kernels.triton.launch_checks import expect

# Of a thread when the kernel starts: twelve warps share 65,536. Then 240 where warps multiply, and 24 elsewhere.
MAX_REGISTERS = 168
SECTION_BYTES = 32 * 2**20  # keys and values that are read at a time; Hopper's L2 has 50 MB
ALIGNMENT_BYTES = 16  # of the copy engine


@dataclass(frozen=True)
class Tiling:
    """How keys and values are cut; queries are in tiles of two times 64."""

    block_n: int  # keys of a tile
    stages: int  # tiles of keys, and of values, that shared memory holds

    def __str__(self) -> str:
        return f"{2 * ROWS.value}×{self.block_n} tiles, 2 × 4 warps and 1, {self.stages} stages"


TILINGS = {64: Tiling(128, 3), 128: Tiling(128, 2), 256: Tiling(64, 2)}


def unserved(head_dim: int, v_head_dim: int, dtype: torch.dtype) -> str | None:
    """What the kernel does not serve of head sizes and dtypes; None where it serves them."""
    if head_dim not in TILINGS:
        return f"head size {head_dim} is not served: one of {', '.join(map(str, TILINGS))}"
    if v_head_dim != head_dim:
        return f"value head size {v_head_dim} beside {head_dim} is not served: they must be equal"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"{str(dtype).removeprefix('torch.')} is not served: float16 or bfloat16"
    return None


def unreadable(tensor: Tensor) -> str | None:
    """Why the copy engine cannot read a tensor [B, H, S, D] in 16 bits; None where it can."""
    if tensor.data_ptr() % ALIGNMENT_BYTES:
        return f"a first element that is not at a multiple of {ALIGNMENT_BYTES} bytes"
    for size, stride in zip(tensor.shape[:3], tensor.stride()[:3], strict=True):
        if size > 1 and (stride <= 0 or stride * tensor.element_size() % ALIGNMENT_BYTES):
            return (
                f"strides {tensor.stride()}: all but the last must be multiples of {ALIGNMENT_BYTES} bytes, and not 0"
            )
    return None


def attention_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float,
    causal: bool = False,
    window: int | None = None,
    tiling: Tiling | None = None,
) -> tuple[Tensor, Tensor]:
    """softmax(scale · q kᵀ) v and the logarithm of the softmax's denominator, on a GPU of compute capability 9.0.

    q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, D]: float16 or bfloat16; D of 64, 128 or 256; Hq a multiple of
    Hkv; rows dense, other strides and the first element at multiples of 16 bytes. Sums are in float32.

    causal: query i sees keys up to i + Sk - Sq. window: only the last `window` of these; needs causal. tiling: of
    TILINGS where None.

    Returns out [B, Hq, Sq, D] in q's dtype, dense, and lse [B, Hq, Sq], float32, natural; 0 and -inf for a query
    without a permitted key. Raises ValueError on arguments that do not fit, before any launch.
    """
    sizes = check(q, k, v, scale=scale, mask=chosen(causal, window, None))
    expect(q.device.type != "cpu", "tensors on cpu", "tensors on a GPU", "move them: Gluon has no interpreter")
    reason = unserved(sizes.head_dim, sizes.v_head_dim, q.dtype)
    expect(reason is None, str(reason), "what this kernel serves", "use kernels.triton.attention_forward")
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    if lse.numel() == 0 or k.numel() == 0:
        return out.zero_(), lse.fill_(float("-inf"))
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        reason = unreadable(tensor)
        expect(reason is None, f"{name} with {reason}", "what the copy engine reads", f"pass {name}.contiguous()")
    with torch.cuda.device_of(q):
        sm = architecture()
        expect(90 <= sm < 100, f"a GPU of sm_{sm}", "sm_90", "use kernels.triton.attention_forward")
        launch(q, k, v, out, lse, scale=scale, causal=causal, window=window, programs=multiprocessors(), tiling=tiling)
    return out, lse


def multiprocessors() -> int:
    """Of the current device."""
    driver = triton.runtime.driver.active
    return int(driver.utils.get_device_properties(driver.get_current_device())["multiprocessor_count"])


def launch(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    *,
    scale: float,
    causal: bool,
    window: int | None,
    programs: int,
    tiling: Tiling | None = None,
) -> None:
    """Fills out and lse, both dense, by so many programs at most; arguments as `attention_forward` checks them."""
    _, q_heads, q_len, head_dim = q.shape
    _, kv_heads, kv_len, _ = k.shape
    tiling = tiling or TILINGS[head_dim]
    group, heads = q_heads // kv_heads, q.shape[0] * q_heads
    section = group * max(1, SECTION_BYTES // (2 * kv_len * head_dim * k.element_size()))
    tiles = triton.cdiv(q_len, 2 * ROWS.value) * heads
    _forward[(min(programs, tiles),)](
        _descriptor(q, ROWS.value),
        _descriptor(k, tiling.block_n),
        _descriptor(v, tiling.block_n),
        out,
        lse,
        scale * LOG2_E.value,
        q_heads,
        group,
        heads,
        min(section, heads),
        q_len,
        kv_len,
        reach(window, kv_len),
        PLAN=Plan(causal, window is not None, head_dim, tiling.block_n, tiling.stages),
        num_warps=4,
        maxnreg=MAX_REGISTERS,
    )


def _descriptor(tensor: Tensor, rows: int) -> TensorDescriptor:
    """What the copy engine knows of a tensor [B, H, S, D]; rows past S are read as zeros."""
    layout = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=4)
    # The stride of an axis of one is never used, and may be anything in torch.
    width, axes = tensor.shape[3], zip(tensor.shape[:3], tensor.stride()[:3], strict=True)
    strides = [stride if size > 1 else width for size, stride in axes]
    return TensorDescriptor(tensor, list(tensor.shape), [*strides, 1], [1, 1, rows, width], layout)


@gluon.jit(do_not_specialize=["q_heads", "group", "heads", "section", "q_len", "kv_len", "window"])
def _forward(q, k, v, out, lse, scale_log2, q_heads, group, heads, section, q_len, kv_len, window, PLAN: gl.constexpr):
    """q, k, v: descriptors of [B, H, S, D] with blocks [1, 1, ROWS or BLOCK_N, D]; out and lse: dense pointers."""
    STAGES: gl.constexpr = PLAN.stages
    queries = gl.allocate_shared_memory(q.dtype, [2, 1, 1, ROWS, PLAN.head_dim], q.layout)
    keys = gl.allocate_shared_memory(k.dtype, [STAGES, 1, 1, PLAN.block_n, PLAN.head_dim], k.layout)
    values = gl.allocate_shared_memory(v.dtype, [STAGES, 1, 1, PLAN.block_n, PLAN.head_dim], v.layout)
    q_full = _barriers(1, 1)
    q_empty = _barriers(1, 2)  # of both consumers
    k_full = _barriers(STAGES, 1)
    k_empty = _barriers(STAGES, 2)
    v_full = _barriers(STAGES, 1)
    v_empty = _barriers(STAGES, 2)
    turns = _barriers(2, 1)
    fence_async_shared()  # the copy engine sees the barriers

    q_ring = queries, q_full, q_empty
    k_ring = keys, k_full, k_empty
    v_ring = values, v_full, v_empty
    sizes = q_heads, group, heads, section, q_len, kv_len, window
    # PLAN stands in each call: a tuple held in a variable would turn constants into tensors.
    gl.warp_specialize(
        [
            (consume, (out, lse, q_ring, k_ring, v_ring, turns, scale_log2, sizes, PLAN, 0)),
            (consume, (out, lse, q_ring, k_ring, v_ring, turns, scale_log2, sizes, PLAN, 1)),
            (load, (q, k, v, q_ring, k_ring, v_ring, sizes, PLAN)),
        ],
        [4, 1],
        [240, 24],
    )


@gluon.jit
def _barriers(N: gl.constexpr, COUNT: gl.constexpr):
    """N barriers, each of which COUNT must arrive at."""
    barriers = gl.allocate_shared_memory(gl.int64, [N, 1], mbarrier.MBarrierLayout())
    for n in gl.static_range(N):
        mbarrier.init(barriers.index(n), count=COUNT)
    return barriers
