"""Every broken decoder of stored weights is rejected, and ours pass."""

from __future__ import annotations

import pytest

from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import GENERATE

from .checking import tally
from .stored_weights import STORED_DEFECTS, Decodes


@pytest.mark.parametrize(
    "case_id", ["toy-random-P21-N4-bf16-w_int4_g32_asym+int8", "toy-random-P21-N4-fp32-w_int8_dynamic"]
)
def test_told_apart(case_id: str) -> None:
    counted = tally(GENERATE, GenerateCase.parse(case_id), (Decodes,), STORED_DEFECTS)
    assert not counted.alarms
    assert not counted.through
    assert counted.broken >= 3
