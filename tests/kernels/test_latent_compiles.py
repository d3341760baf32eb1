"""Attention over latent tokens compiles for GPUs that are not here, without spills, and refuses what does not fit."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.bench.profilers.triton_aot import SHARED_LIMIT_BYTES, target
from attnlab.kernels.triton.latent_attention import latent_attention

pytestmark = pytest.mark.usefixtures("fresh_cache")


def meta(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


@pytest.mark.parametrize(
    ("sm", "heads", "q_len", "paged", "dtype"),
    [
        (90, 128, 1, True, torch.bfloat16),
        (80, 128, 2, True, torch.float16),
        (100, 128, 1, True, torch.bfloat16),
        (90, 16, 1, False, torch.float16),
        (90, 16, 1, True, torch.float32),
    ],
)
def test_no_spills(sm: int, heads: int, q_len: int, paged: bool, dtype: torch.dtype) -> None:
    q, tokens = meta(4, heads, q_len, 576, dtype=dtype), meta(400, 64, 1, 576, dtype=dtype)
    table = meta(4, 64, dtype=torch.int32) if paged else None
    lengths = meta(4, dtype=torch.int32)
    with target(sm) as compiled:
        latent_attention(q, tokens, lengths, v_head_dim=512, scale=0.05, longest=4096, table=table)
    assert [report.name for report in compiled.reports] == ["_part", "_join"]
    for report in compiled.reports:
        assert (report.spills, report.stack_bytes) == (0, 0)
        assert report.shared_bytes <= SHARED_LIMIT_BYTES[sm]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tokens": meta(4, 64, 2, 72)}, "got tokens [4, 64, 2, 72] of torch.bfloat16; expected [pages, N, 1, 72]"),
        ({"tokens": meta(4, 64, 1, 64)}, "got tokens [4, 64, 1, 64]"),
        ({"v_head_dim": 73}, "got 73 of 72 numbers"),
        ({"v_head_dim": 0}, "got 0 of 72 numbers"),
        ({"scale": -1.0}, "got scale -1.0; expected a finite number above zero"),
        ({"tokens": meta(1, 64, 1, 72)}, "got 1 pages; expected one for each of 2 sequences"),
        ({"table": meta(2, 4, dtype=torch.int64)}, "got table torch.int64 [2, 4]; expected int32 [2, pages]"),
        ({"q": meta(2, 4, 1, 72, dtype=torch.float64)}, "got q of torch.float64"),
    ],
)
def test_arguments_that_do_not_fit(changes: dict[str, Any], says: str) -> None:
    arguments: dict[str, Any] = {
        "q": meta(2, 4, 1, 72),
        "tokens": meta(4, 64, 1, 72),
        "lengths": meta(2, dtype=torch.int32),
        "v_head_dim": 64,
        "scale": 0.1,
        "longest": 64,
    }
    with target(90), pytest.raises(ValueError, match=re.escape(says)):
        latent_attention(**(arguments | changes))
