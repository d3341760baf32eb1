"""The attention kernels compile for GPUs that are not here: registers, spills, shared memory, tensor cores.

A selection that meets every head size, target, mask and dtype in turn; ATTNLAB_ALL_CONFIGURATIONS=1 runs every
combination, a quarter of an hour.
"""

import functools
import itertools
import os
from collections.abc import Callable

import pytest
import torch
from triton.runtime.errors import OutOfResources

from attnlab.bench.profilers.triton_aot import SHARED_LIMIT_BYTES, KernelReport, target
from attnlab.kernels.triton.attention_arguments import Tiling
from attnlab.kernels.triton.attention_backward import attention_backward
from attnlab.kernels.triton.attention_forward import attention_forward

pytestmark = pytest.mark.usefixtures("fresh_cache")

MASKS = {
    "packed": {"causal": True},
    "window": {"causal": True, "window": 256},
    "full": {},
    "causal": {"causal": True},
}
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
TARGETS = (90, 80, 100)
TENSOR_CORES = {80: "HMMA", 90: "HGMMA", 100: "UTCHMMA"}
FORWARD = [(32, 32), (64, 64), (80, 80), (96, 96), (128, 128), (192, 128), (192, 192), (256, 256), (33, 33)]
BACKWARD = [(32, 32), (64, 64), (80, 80), (96, 96), (128, 128)]
# Spilling instructions of one kernel that float32 may have; its dots use no tensor cores, and are of little use here.
FLOAT32_CEILING = 8
# And those of `dkdv_kernel` with a head size of 128 on sm_90, which is faster so.
DKDV_CEILING = 48

EVERYTHING = bool(os.environ.get("ATTNLAB_ALL_CONFIGURATIONS"))


def cases(head_dims: list[tuple[int, int]], fewer: list[tuple[int, int]]) -> list[tuple[int, int, int, str, str]]:
    """(sm, head size, value head size, mask, dtype): all, or head_dims for sm_90 and fewer for the other targets."""
    if EVERYTHING:
        return [(sm, *d, mask, dtype) for sm, d, mask, dtype in itertools.product(TARGETS, head_dims, MASKS, DTYPES)]
    pairs = [(90, d) for d in head_dims] + [(sm, d) for sm in TARGETS[1:] for d in fewer]
    # 4 masks and 2 dtypes, shifted after each round of the masks: each mask meets each dtype.
    turns = ((list(MASKS)[i % 4], list(DTYPES)[(i + i // 4) % 2]) for i in itertools.count())
    return [(sm, *d, *turn) for (sm, d), turn in zip(pairs, turns, strict=False)]


def meta(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


@functools.cache
def compiled(
    launch: Callable,
    sm: int,
    head_dim: int,
    v_head_dim: int,
    mask: str,
    dtype: torch.dtype,
    tiling: Tiling | None = None,
) -> dict[str, KernelReport]:
    """The kernels of one launch, by name: 8 query heads over 2, 1000 queries and keys."""
    arguments = MASKS[mask] | {"scale": 0.1, "tiling": tiling}
    if mask == "packed":
        arguments["cu_seqlens"] = meta(4, dtype=torch.int32)
    batch = 1 if mask == "packed" else 2
    q, out = meta(batch, 8, 1000, head_dim, dtype=dtype), meta(batch, 8, 1000, v_head_dim, dtype=dtype)
    k, v = meta(batch, 2, 1000, head_dim, dtype=dtype), meta(batch, 2, 1000, v_head_dim, dtype=dtype)
    with target(sm) as kernels:
        if launch is attention_forward:
            attention_forward(q, k, v, **arguments)
        else:
            attention_backward(out, q, k, v, out, meta(batch, 8, 1000, dtype=torch.float32), **arguments)
    return {report.name: report for report in kernels.reports}


@pytest.mark.parametrize(
    ("sm", "head_dim", "v_head_dim", "mask", "dtype"), cases(FORWARD, [(64, 64), (96, 96), (256, 256)])
)
def test_forward_in_16_bits(sm, head_dim, v_head_dim, mask, dtype):
    reports = compiled(attention_forward, sm, head_dim, v_head_dim, mask, DTYPES[dtype])
    assert set(reports) == {"_forward"}
    assert_fast(reports["_forward"], sm)


@pytest.mark.parametrize(("sm", "head_dim", "v_head_dim", "mask", "dtype"), cases(BACKWARD, [(64, 64)]))
def test_backward_in_16_bits(sm, head_dim, v_head_dim, mask, dtype):
    reports = compiled(attention_backward, sm, head_dim, v_head_dim, mask, DTYPES[dtype])
    assert set(reports) == {"delta_kernel", "dkdv_kernel", "dq_kernel"}
    assert reports["delta_kernel"].spills == 0
    assert_fast(reports["dkdv_kernel"], sm, DKDV_CEILING if (sm, head_dim) == (90, 128) else 0)
    assert_fast(reports["dq_kernel"], sm)


def assert_fast(report: KernelReport, sm: int, spills: int = 0) -> None:
    assert report.sm == sm
    assert report.spills <= spills
    assert spills or report.stack_bytes == 0
    assert report.registers <= 255
    assert report.shared_bytes <= SHARED_LIMIT_BYTES[sm]
    assert report.count(TENSOR_CORES[sm]) > 0 or report.count("HMMA") > 0


# Each spilled once: sizes that no tile fits, sizes between powers of two, and the smallest.
ONCE_SPILLED = [
    (attention_forward, 80, 130, "causal", "bfloat16"),
    (attention_forward, 90, 136, "causal", "bfloat16"),
    (attention_forward, 100, 150, "causal", "float16"),
    (attention_forward, 80, 160, "causal", "bfloat16"),
    (attention_forward, 80, 208, "causal", "bfloat16"),
    (attention_forward, 80, 16, "causal", "bfloat16"),
    (attention_backward, 80, 130, "causal", "bfloat16"),
    (attention_backward, 90, 160, "causal", "bfloat16"),
]


@pytest.mark.parametrize(("launch", "sm", "head_dim", "mask", "dtype"), ONCE_SPILLED)
def test_head_sizes_that_spilled_once(launch, sm, head_dim, mask, dtype):
    for report in compiled(launch, sm, head_dim, head_dim, mask, DTYPES[dtype]).values():
        assert (report.spills, report.stack_bytes) == (0, 0), report.name


@pytest.mark.parametrize(
    ("sm", "head_dim", "launch"),
    [
        (90, 64, attention_forward),
        (80, 96, attention_forward),
        (100, 128, attention_forward),
        (90, 256, attention_forward),
        (80, 128, attention_backward),
    ],
)
def test_float32_is_float32(sm, head_dim, launch):
    for report in compiled(launch, sm, head_dim, head_dim, "window", torch.float32).values():
        assert "tf32" not in report.ptx
        assert "mma" not in report.ptx
        assert report.count("FFMA") > 0
        assert report.count("HMMA") == report.count("HGMMA") == report.count("UTCHMMA") == 0
        assert report.spills <= FLOAT32_CEILING
        assert report.shared_bytes <= SHARED_LIMIT_BYTES[sm]


@pytest.mark.parametrize("sm", [90])
def test_tensor_cores_of_hopper(sm):
    """Where tiles have 64 queries or more, sm_90's own instructions are used and not sm_80's."""
    reports = {}
    for launch, selection in ((attention_forward, FORWARD), (attention_backward, BACKWARD)):
        (mask, dtype), *_ = (case[3:] for case in cases(selection, []) if case[:3] == (sm, 128, 128))
        reports |= compiled(launch, sm, 128, 128, mask, DTYPES[dtype])  # as the tests above compile it
    for name in ("_forward", "dkdv_kernel", "dq_kernel"):
        assert reports[name].count("HGMMA") > 0
        assert reports[name].count("HMMA") == 0


def test_spills_are_seen():
    report = compiled(attention_forward, 80, 128, 128, "full", torch.bfloat16, Tiling(128, 128, 4, 1))["_forward"]
    assert report.spill_loads > 0
    assert report.spill_stores > 0
    assert report.stack_bytes > 0


def test_too_much_shared_memory_is_refused():
    with pytest.raises(OutOfResources, match="shared memory"):
        compiled(attention_forward, 80, 128, 128, "full", torch.bfloat16, Tiling(64, 128, 8, 4))


def test_without_interpreter_cpu_tensors_are_refused():
    q = torch.zeros(1, 1, 4, 16)
    with pytest.raises(ValueError, match="expected tensors on a GPU"):
        attention_forward(q, q, q, scale=1.0)
