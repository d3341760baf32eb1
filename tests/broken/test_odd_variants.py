"""Mistakes that are easily made with what models add to attention are rejected on every case that shows them."""

from __future__ import annotations

from typing import Any

import pytest

from attnlab.bench.ops._shared.caching import DecodeCase
from attnlab.bench.ops.attention.case import AttentionCase
from attnlab.bench.ops.attention.contract import ATTENTION
from attnlab.bench.ops.attention_backward import ATTENTION_BACKWARD, AttentionBackwardCase
from attnlab.bench.ops.decode_attention.contract import DECODE_ATTENTION

from .cases import LATENT_IDS, ODD_DECODE_IDS, ODD_IDS
from .odd_variants_elsewhere import HONEST_LATENT, LATENT, ODD_ATTENTION, ODD_BACKWARD, ODD_DECODE
from .test_broken import assert_told_apart
from .test_variants import Property
from .variants import HONEST_VARIANTS
from .variants_elsewhere import HONEST_DECODES, HONEST_GRADIENTS

ODD_BACKWARD_IDS = [case_id for case_id in ODD_IDS if "qk_rms" not in case_id]
EACH = [
    (ATTENTION, AttentionCase, ODD_IDS, HONEST_VARIANTS, ODD_ATTENTION),
    (ATTENTION_BACKWARD, AttentionBackwardCase, ODD_BACKWARD_IDS, HONEST_GRADIENTS, ODD_BACKWARD),
    (DECODE_ATTENTION, DecodeCase, ODD_DECODE_IDS, HONEST_DECODES, ODD_DECODE),
    (DECODE_ATTENTION, DecodeCase, LATENT_IDS, HONEST_LATENT, LATENT),
]


@pytest.mark.parametrize(
    ("operator", "kind", "case_id", "honest", "defects"),
    [(operator, kind, one, honest, defects) for operator, kind, ids, honest, defects in EACH for one in ids],
)
def test_odd_mistakes(
    operator: Any, kind: Any, case_id: str, honest: Any, defects: Any, record_property: Property
) -> None:
    assert_told_apart(operator, kind.parse(case_id), honest, defects, record_property)


@pytest.mark.parametrize(("kind", "ids", "defects"), [(kind, ids, defects) for _, kind, ids, _, defects in EACH])
def test_every_mistake_has_a_case_that_shows_it(kind: Any, ids: list[str], defects: Any) -> None:
    cases = [kind.parse(case_id) for case_id in ids]
    assert [defect.name for defect in defects if not any(defect.applies(case) for case in cases)] == []
