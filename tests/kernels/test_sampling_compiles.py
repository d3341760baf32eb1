"""The sampling kernels compile for GPUs that are not here, without spills; and what does not fit is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from attnlab.bench.profilers.triton_aot import SHARED_LIMIT_BYTES, KernelReport, target
from attnlab.kernels.triton.sampling import sample

pytestmark = pytest.mark.usefixtures("fresh_cache")

META = torch.device("meta")
VOCAB = 128_256


def compiled(sm: int, dtype: torch.dtype, vocab: int = VOCAB, draws: int = 1, **params: Any) -> list[KernelReport]:
    """The kernels of one call for two rows."""
    logits = torch.empty(2, vocab, dtype=dtype, device=META)
    seen = torch.empty(2, 100, dtype=torch.int64, device=META) if "repetition_penalty" in params else None
    with target(sm) as kernels:
        sample(logits, torch.empty(2, draws, device=META), seen=seen, **params)
    return kernels.reports


@pytest.mark.parametrize(
    ("sm", "dtype", "params", "launched"),
    [
        (90, torch.bfloat16, {"temperature": 0}, ["survey", "pick_largest"]),
        (90, torch.float32, {"min_p": 0.1}, ["survey", "collect", "choose"]),
        (90, torch.bfloat16, {"top_k": 50, "top_p": 0.9, "min_p": 0.1}, ["survey", "bound", "collect", "choose"]),
        (80, torch.float32, {"top_k": 1000, "vocab": 1 << 20}, ["survey", "bound", "collect", "choose"]),
        (
            100,
            torch.float16,
            {"top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.1, "draws": 1000},
            ["mark_seen", "survey", "narrow", "narrow", "collect", "choose", "draw_many"],
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else None,
)
def test_each_way_launches_its_kernels_and_none_spills(sm, dtype, params, launched):
    reports = compiled(sm, dtype, **params)
    assert [report.name for report in reports] == launched  # a second `narrow` for all turns after the first
    for report in reports:
        assert (report.name, report.spills, report.stack_bytes) == (report.name, 0, 0)
        assert report.shared_bytes <= SHARED_LIMIT_BYTES[sm]


@pytest.mark.parametrize(
    ("dtype", "params", "launched"),
    [
        (torch.float32, {"vocab": 64, "draws": 50_000}, ["survey", "choose", "draw_many"]),  # 1 chunk
        (torch.float32, {"vocab": 512}, ["survey", "choose"]),
        (torch.bfloat16, {"vocab": 8000}, ["survey", "choose"]),  # 4 chunks
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_few_chunks_compile_though_a_thread_loads_more_logits_than_there_are_chunks(dtype, params, launched):
    """Triton 3.6 fails an assertion on a scan that is shorter."""
    assert [report.name for report in compiled(90, dtype, **params)] == launched


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"logits": torch.empty(2, 3, 4, device=META)}, r"logits \[2, 3, 4\]"),
        ({"logits": torch.empty(2, 50, dtype=torch.float64, device=META)}, "of torch.float64; expected"),
        ({"logits": torch.empty(50, 2, device=META).T}, "without gaps"),
        ({"logits": torch.empty(2, (1 << 20) + 1, device=META)}, "1048577 tokens; expected 1 to 1048576"),
        ({"uniforms": torch.empty(3, 1, device=META)}, r"uniforms \[3, 1\].*expected \[2, N\]"),
        ({"uniforms": torch.empty(2, 1, dtype=torch.float16, device=META)}, "of torch.float16"),
        ({"temperature": -1.0}, "temperature -1.0; expected 0 or more"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"top_k": 0}, "top_k 0; expected 1 or more, or None"),
        ({"top_p": 0.0}, "top_p 0.0; expected above 0 and at most 1"),
        ({"min_p": 1.0}, "min_p 1.0; expected 0 to below 1"),
        ({"repetition_penalty": 1.1}, "a repetition penalty without seen"),
        ({"repetition_penalty": 1.1, "seen": torch.empty(1, 5, dtype=torch.int64, device=META)}, r"seen \[1, 5\]"),
        ({"logits": torch.empty(2, 50), "uniforms": torch.empty(2, 1)}, "logits on cpu; expected tensors on a GPU"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_launch(changed, said):
    arguments: dict[str, Any] = {
        "logits": torch.empty(2, 50, device=META),
        "uniforms": torch.empty(2, 1, device=META),
    }
    with pytest.raises(ValueError, match=said):
        sample(**(arguments | changed))


@pytest.mark.parametrize("params", [{"temperature": 0}, {"top_p": 0.9}, {}], ids=str)
def test_more_rows_than_a_grids_other_axes_hold(params):
    """The stand-in refuses a grid that a device refuses."""
    rows = 70_000
    with target(90) as kernels:
        sample(torch.empty(rows, 100, device=META), torch.empty(rows, 200, device=META), **params)
    assert kernels.reports
