"""The kernels of a decoder's parts compile for GPUs that are not here, without spills, and refuse what does not fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from attnlab.bench.profilers.triton_aot import SHARED_LIMIT_BYTES, KernelReport, target
from attnlab.kernels.triton.activations import gelu, swiglu
from attnlab.kernels.triton.embedding import embedding
from attnlab.kernels.triton.norms import layer_norm, rms_norm
from attnlab.kernels.triton.rope import rope

pytestmark = pytest.mark.usefixtures("fresh_cache")

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
PADDING = 64  # columns between rows


def meta(*shape: int, dtype: torch.dtype = BF16) -> Tensor:
    return torch.empty(*shape, dtype=dtype, device="meta")


def rows(width: int, dtype: torch.dtype = BF16) -> Tensor:
    """[70, width], rows apart."""
    return meta(70, width + PADDING, dtype=dtype)[:, :width]


def heads(head_dim: int, dtype: torch.dtype = BF16) -> tuple[Tensor, ...]:
    """q, k, cos, sin and positions of two sequences of 5 tokens, 32 query heads over 8, of one projection."""
    q, k, _ = meta(2, 5, 48, head_dim, dtype=dtype).split([32, 8, 8], dim=2)
    tables = [meta(8192, head_dim // 2, dtype=FP32) for _ in range(2)]
    return q, k, *tables, meta(2, 5, dtype=torch.int64)


LAUNCHES: dict[str, tuple[int, Callable[[], object]]] = {
    "rmsnorm-4096": (90, lambda: rms_norm(rows(4096), meta(4096), 1e-5)),
    "rmsnorm-64": (80, lambda: rms_norm(rows(64, FP32), meta(64, dtype=FP32), 1e-5)),
    "rmsnorm-16384": (100, lambda: rms_norm(rows(16384), meta(16384), 1e-5)),
    "rmsnorm-20000": (90, lambda: rms_norm(rows(20000, FP16), meta(20000, dtype=FP16), 1e-5)),
    "layernorm-5120": (90, lambda: layer_norm(rows(5120), meta(5120), meta(5120), 1e-5)),
    "layernorm-16384": (80, lambda: layer_norm(rows(16384, FP32), meta(16384), meta(16384), 1e-5)),
    "layernorm-20000": (100, lambda: layer_norm(rows(20000), meta(20000), meta(20000), 1e-5)),
    "swiglu": (90, lambda: swiglu(rows(2 * 14336))),
    "swiglu-sm80": (80, lambda: swiglu(rows(2 * 1536, FP32))),
    "gelu": (90, lambda: gelu(rows(3072), "none")),
    "gelu-tanh": (100, lambda: gelu(rows(3072, FP16), "tanh")),
    "embedding": (90, lambda: embedding(meta(70, dtype=torch.int64), rows(4096))),
    "rope-half": (90, lambda: rope(*heads(128))),
    "rope-interleaved": (100, lambda: rope(*heads(80), style="interleaved", in_place=True)),
    "rope-sinusoidal": (80, lambda: rope(*heads(64, FP32), style="sinusoidal")),
}
DENSE = {"rmsnorm-4096": 128, "swiglu": 128, "rope-half": 128}  # bits a load, where rows are whole pieces


@pytest.mark.parametrize("name", LAUNCHES)
def test_no_spills(name: str) -> None:
    sm, launch = LAUNCHES[name]
    with target(sm) as compiled:
        launch()
    (report,) = compiled.reports
    assert (report.spills, report.stack_bytes) == (0, 0)
    assert report.shared_bytes <= SHARED_LIMIT_BYTES[sm]
    if name in DENSE:
        assert widest_load_bits(report) == DENSE[name]


def widest_load_bits(report: KernelReport) -> int:
    """Of the loads from global memory, such as LDG.E.128."""
    loads = [opcode.split(".") for opcode in report.opcodes if opcode.startswith("LDG")]
    return max(int(part) for parts in loads for part in (*parts, "32") if part.isdigit())


q, k, cos, sin, positions = heads(64)


@pytest.mark.parametrize(
    ("launch", "said"),
    [
        (lambda: rms_norm(meta(4, 8, 64), meta(64), 1e-5), r"x \[4, 8, 64\]"),
        (lambda: rms_norm(meta(4, 64, dtype=torch.int32), meta(64), 1e-5), "of torch.int32; expected"),
        (lambda: rms_norm(meta(64, 4).T, meta(64), 1e-5), "x with stride 4 in its last axis"),
        (lambda: rms_norm(meta(4, 64), meta(63), 1e-5), r"weight \[63\]; expected \[64\]"),
        (lambda: layer_norm(meta(4, 64), meta(64), meta(1, 64), 1e-5), r"bias \[1, 64\]; expected \[64\]"),
        (lambda: swiglu(meta(4, 63)), "an even number of columns"),
        (lambda: swiglu(meta(4, 0)), "at least one column"),
        (lambda: swiglu(torch.empty(4, 64)), "x on cpu; expected tensors on a GPU"),
        (lambda: gelu(meta(4, 64), "erf"), "approximate 'erf'; expected none or tanh"),
        (lambda: embedding(meta(4), meta(9, 64)), "expected .M. of torch.int64"),
        (lambda: rope(q, k, cos, sin, positions, "neox"), "style 'neox'; expected one of half"),
        (lambda: rope(q, k.float(), cos, sin, positions), "k .* of torch.float32; expected"),
        (lambda: rope(q, k[:, :4], cos, sin, positions), r"k \[2, 4, 8, 64\] beside q"),
        (lambda: rope(q[..., :63], k[..., :63], cos, sin, positions), "head size 63; expected an even one"),
        (lambda: rope(q, k, cos, sin[:, :8], positions), r"sin \[8192, 8\]"),
        (lambda: rope(q, k, cos.half(), sin.half(), positions), "cos .* of torch.float16"),
        (lambda: rope(q, k, cos, sin, positions[:, :3]), r"positions \[2, 3\]"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_launch(launch: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        launch()


def test_nothing_is_launched_for_no_rows() -> None:
    with target(90) as compiled:
        assert rms_norm(meta(0, 64), meta(64), 1e-5).shape == (0, 64)
        assert swiglu(meta(0, 64)).shape == (0, 32)
        assert embedding(meta(0, dtype=torch.int64), meta(9, 64)).shape == (0, 64)
        assert rope(q[:0], k[:0], cos, sin, positions[:0])[0].shape == (0, 5, 32, 64)
    assert not compiled.reports
