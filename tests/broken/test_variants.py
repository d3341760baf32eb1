"""What models add to attention, done wrongly, is rejected on every case that shows it, and honest code passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attnlab.bench.ops._shared.caching import DecodeCase
from attnlab.bench.ops.attention.case import AttentionCase
from attnlab.bench.ops.attention.contract import ATTENTION
from attnlab.bench.ops.attention_backward import ATTENTION_BACKWARD, AttentionBackwardCase
from attnlab.bench.ops.decode_attention.contract import DECODE_ATTENTION

from .cases import VARIANT_BACKWARD_IDS, VARIANT_DECODE_IDS, VARIANT_IDS
from .test_broken import assert_told_apart
from .variants import HONEST_VARIANTS
from .variants_elsewhere import (
    ATTENTION_VARIANTS,
    BACKWARD_VARIANTS,
    DECODE_VARIANTS,
    HONEST_DECODES,
    HONEST_GRADIENTS,
)

Property = Callable[[str, object], None]


@pytest.mark.parametrize("case_id", VARIANT_IDS)
def test_attention(case_id: str, record_property: Property) -> None:
    case = AttentionCase.parse(case_id)
    assert case.id == case_id
    assert_told_apart(ATTENTION, case, HONEST_VARIANTS, ATTENTION_VARIANTS, record_property)


@pytest.mark.parametrize("case_id", VARIANT_BACKWARD_IDS)
def test_attention_backward(case_id: str, record_property: Property) -> None:
    case = AttentionBackwardCase.parse(case_id)
    assert_told_apart(ATTENTION_BACKWARD, case, HONEST_GRADIENTS, BACKWARD_VARIANTS, record_property)


@pytest.mark.parametrize("case_id", VARIANT_DECODE_IDS)
def test_decode_attention(case_id: str, record_property: Property) -> None:
    case = DecodeCase.parse(case_id)
    assert case.id == case_id
    assert_told_apart(DECODE_ATTENTION, case, HONEST_DECODES, DECODE_VARIANTS, record_property)


@pytest.mark.parametrize(
    ("defects", "kind", "ids"),
    [
        (ATTENTION_VARIANTS, AttentionCase, VARIANT_IDS),
        (BACKWARD_VARIANTS, AttentionBackwardCase, VARIANT_BACKWARD_IDS),
        (DECODE_VARIANTS, DecodeCase, VARIANT_DECODE_IDS),
    ],
)
def test_every_defect_has_a_case_that_shows_it(defects: Any, kind: Any, ids: list[str]) -> None:
    cases = [kind.parse(case_id) for case_id in ids]
    assert [defect.name for defect in defects if not any(defect.applies(case) for case in cases)] == []
