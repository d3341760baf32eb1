"""The sampling kernels compile for GPUs that are not here, without spills; and what does not fit is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from attnlab.bench.profilers.triton_aot import KernelReport, target
from attnlab.kernels.triton.sampling import sample

META = torch.device("meta")
VOCAB = 128_256
MANY_DRAWS = 1000


@pytest.fixture(scope="module", autouse=True)
def fresh_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels are compiled here and now, and not taken from an earlier run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton-cache")))
        yield


def compiled(sm: int, dtype: torch.dtype, vocab: int = VOCAB, draws: int = 1, **params: Any) -> list[KernelReport]:
    """The kernels of one call for two rows."""
    logits = torch.empty(2, vocab, dtype=dtype, device=META)
    seen = torch.empty(2, 100, dtype=torch.int64, device=META) if "repetition_penalty" in params else None
    with target(sm) as kernels:
        sample(logits, torch.empty(2, draws, device=META), seen=seen, **params)
    return kernels.reports


CALLS = [
    ({"temperature": 0}, ["survey", "pick_largest"]),
    ({}, ["survey", "choose"]),
    ({"min_p": 0.1}, ["survey", "collect", "choose"]),
    ({"top_k": 50, "top_p": 0.9, "min_p": 0.1}, ["survey", "bound", "collect", "choose"]),
    ({"top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.1, "draws": MANY_DRAWS},
     ["mark_seen", "survey", "narrow", "narrow", "narrow", "collect", "choose", "draw_many"]),
]  # fmt: skip


@pytest.mark.parametrize(("params", "launched"), CALLS)
@pytest.mark.parametrize(("sm", "dtype"), [(90, torch.bfloat16), (80, torch.float32), (100, torch.float16)])
def test_each_way_launches_its_kernels_and_none_spills(sm, dtype, params, launched):
    if sm != 90 and len(launched) < 4:
        pytest.skip("its kernels are compiled for this target by the longer ways")
    reports = compiled(sm, dtype, **params)
    assert [report.name for report in reports] == launched
    for report in reports:
        assert (report.name, report.spills, report.stack_bytes) == (report.name, 0, 0)


def test_the_largest_sizes_do_not_spill():
    for report in compiled(90, torch.float32, vocab=1 << 20, top_k=1000, top_p=0.9):
        assert (report.name, report.spills, report.stack_bytes) == (report.name, 0, 0)
