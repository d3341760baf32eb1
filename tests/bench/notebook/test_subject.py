"""How a case is spelled in Python, and what is said of what is none."""

from __future__ import annotations

import pytest

from attnlab.bench import AttentionBackwardCase, AttentionCase, Registry, UsageError, discover
from attnlab.bench.notebook.subject import CaseLike, subject


@pytest.fixture(scope="module")
def registry() -> Registry:
    return discover()


@pytest.mark.parametrize(
    ("case", "operator", "axes", "found"),
    [
        ("attention: B1-Hq9-Hkv3-Sq512-D64-bf16-causal", None, {}, "attention Hq9-Hkv3-Sq512-bf16-causal"),
        ("attention Sq512-bf16", None, {}, "attention Sq512-bf16"),
        ("attention/Sq512-bf16", None, {}, "attention Sq512-bf16"),
        ("attention", None, {}, "attention bf16"),
        (" attention ", "attention", {}, "attention bf16"),
        ("attention", None, {"q_len": 8, "mask": "causal"}, "attention Sq8-bf16-causal"),
        ("Sq512-bf16", "attention", {}, "attention Sq512-bf16"),
        (None, "gelu", {"dtype": "float32"}, "gelu fp32"),
        ("M2-N3-K4-bf16", None, {}, "linear M2-N3-K4-bf16"),
        (AttentionCase(q_len=8), None, {}, "attention Sq8-bf16"),
        (AttentionBackwardCase(q_len=8), None, {"q_heads": 2}, "attention_backward Hq2-Sq8-bf16"),
        (["attention: Sq8-bf16", AttentionCase(q_len=16)], None, {}, "attention Sq8-bf16 Sq16-bf16"),
        ("attention", None, {"q_len": [8, 16], "mask": "causal"}, "attention Sq8-bf16-causal Sq16-bf16-causal"),
    ],
)
def test_a_case_is_known_by_all_that_a_user_would_write(
    case: CaseLike, operator: str | None, axes: dict[str, object], found: str, registry: Registry
) -> None:
    asked = subject(case, operator, axes, registry)
    assert " ".join([asked.operator.name, *(one.id for one in asked.cases)]) == found


@pytest.mark.parametrize(
    ("case", "operator", "axes", "said"),
    [
        (None, None, {}, r"got no case; expected an operator and an id, such as \"attention: Sq512-bf16\""),
        ([], None, {}, "got no case"),
        (7, None, {}, "got a case that is a int; expected an operator and an id"),
        (
            "Sq512-bf16",
            None,
            {},
            "can be of attention, attention_backward, decode_attention, kv_append, rope; say which, such as 'attent",
        ),
        ("nonsense", None, {}, "case 'nonsense' is of no operator; expected"),
        ("atention", None, {}, "unknown operator 'atention'; did you mean 'attention'"),
        ("atention: Sq8-bf16", None, {}, "unknown operator 'atention'; did you mean 'attention'"),
        ("Sq8-bf16", "atention", {}, "unknown operator 'atention'; did you mean 'attention'"),
        ("attention: Sq8-bf17", None, {}, "'bf17' is no axis of attention; an id reads like 'bf16'"),
        ("attention", None, {"q_length": 8}, "unknown axis of attention 'q_length'; did you mean 'q_len'"),
        ("attention", None, {"q_len": "many"}, "axis q_len: got 'many'; expected a whole number"),
        ("attention: Sq8-bf16", None, {"q_len": 8}, "case Sq8-bf16 sets q_len, and so does a keyword"),
        (
            "attention: Sq8-bf16",
            "gelu",
            {},
            "got operator='gelu' and case 'attention: Sq8-bf16', which is of attention",
        ),
        (
            AttentionCase(),
            "gelu",
            {},
            "got operator='gelu' and case 'bf16', which is of attention; drop one",
        ),
        (["attention", "gelu"], None, {}, "got cases of attention and gelu; expected cases of one operator"),
    ],
)
def test_what_is_no_case_is_told_with_what_would_be(
    case: CaseLike, operator: str | None, axes: dict[str, object], said: str, registry: Registry
) -> None:
    with pytest.raises(UsageError, match=said):
        subject(case, operator, axes, registry)
