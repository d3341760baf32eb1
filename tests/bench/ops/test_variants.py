"""What models add to attention, pair by pair as the formula says, against the oracles of the three operators."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.bench import DecodeCase
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, NORMAL_DRAW
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.biases import bucket_of
from attnlab.bench.llm.head_norm import NORM_EPS
from attnlab.bench.ops import attention_backward
from attnlab.bench.ops._shared import attention_math, variants
from attnlab.bench.ops._shared.variant_probes import WRONG_VARIANTS
from attnlab.bench.ops.attention.case import AttentionCase
from attnlab.bench.ops.attention.contract import ATTENTION
from attnlab.bench.ops.attention_backward import ATTENTION_BACKWARD, AttentionBackwardCase
from attnlab.bench.ops.decode_attention import reference as decode_math
from attnlab.bench.ops.decode_attention.contract import DECODE_ATTENTION
from attnlab.bench.ops.kv_append import AppendCase

CPU = torch.device("cpu")
PROMPTS = (
    "Hq2-Sq9-Sk13-D8-fp32-cap2",
    "Hq4-Hkv2-Sq9-D8-fp32-causal-cap1.5-sink_learned",
    "Hq4-Hkv2-Sq5-Sk3-D8-fp32-causal-sink_zero",
    "Hq3-Sq7-Sk12-D8-fp32-bias_alibi",
    "Hq2-Sq40-D8-fp32-causal-bias_relative.8",
    "Hq2-Sq30-D8-fp32-bias_relative.8",
    "Hq2-Hkv1-Sq6-Sk9-D8-fp32-window.3-cap3-bias_dense",
    "B2-Hq2-Sq11-Sk17-D8-fp32-chunked.4",
    "Hq2-Sq11-Sk17-D8-fp32-prefix.9-bias_alibi",
    "Hq2-D8-fp32-document.5+0+1+7-sink_learned",
    "Hq2-Sk20-D8-fp32-tree.2x2x1-cap5",
    "Hq2-packed3+0+5-keys7+4+5-D8-fp32-causal-sink_learned-bias_alibi",
    "Hq2-packed3+0+5-keys2+0+9-D8-fp32-chunked.3",
)
NORMED = ("Hq4-Hkv2-Sq9-D8-fp32-causal-qk_rms", "Hq2-Sq9-D8-fp32-cap2-sink_learned-qk_rms")
DECODES = (
    "B2-Hq4-Hkv2-C3+17-D8-fp32-cap2-sink_learned",
    "B3-Hq2-Sq3-C0+2+20-D8-fp32-chunked.4-sink_zero-bias_relative.8",
    "B2-Hq2-C5+12-D8-fp32-tree.2x1-qk_rms-paged.4",
    "B2-Hq2-Sq4-C5+12-D8-fp32-prefix.11-cap3-bias_alibi",
)


def sees(case: Any, position: int, key: int, kv_len: int) -> bool:
    mask = case.mask
    if mask.kind == "full":
        return True
    if mask.kind == "prefix":
        return key <= position or key < mask.size
    if key > position:
        return False
    if mask.kind == "window":
        return position - key < mask.size
    if mask.kind == "chunked":
        return key // mask.size == position // mask.size
    if mask.kind == "document":
        of = [n for n, length in enumerate(mask.documents) for _ in range(length)]
        return of[key] == of[position]
    if mask.kind == "tree" and key >= kv_len - mask.nodes:
        node, other = (x - kv_len + mask.nodes for x in (position, key))
        while node > other:
            node = mask.parents[node - 1]
        return bool(node == other)
    return True


def by_pairs(case: Any, inputs: Any, q: Tensor, k: Tensor, v: Tensor, place: int = 0) -> Tensor:
    """One sequence: q [Hq, Sq, D], k and v [Hkv, Sk, …] in float64 -> [Hq, Sq, Dv]; place: its first query's row."""
    heads, q_len, kv_len = q.shape[0], q.shape[1], k.shape[1]
    out = []
    for head in range(heads):
        kv = head * k.shape[0] // heads
        for row in range(q_len):
            position = row + kv_len - q_len
            weights, values = [], []
            for key in range(kv_len):
                if not sees(case, position, key, kv_len):
                    continue
                score = (q[head, row] @ k[kv, key]) / math.sqrt(case.head_dim)
                if case.softcap is not None:
                    score = case.softcap * torch.tanh(score / case.softcap)
                weights.append((score + bias_of(case, inputs, head, place + row, key, key - position)).exp())
                values.append(v[kv, key])
            extra = 0.0 if inputs.sinks is None else inputs.sinks[head].double().exp()
            total = sum(weights) + extra
            terms = [weight * value for weight, value in zip(weights, values, strict=True)]
            out.append(sum(terms) / total if terms else torch.zeros(v.shape[2], dtype=torch.float64))
    return torch.stack(out).unflatten(0, (heads, q_len))


def bias_of(case: Any, inputs: Any, head: int, row: int, key: int, distance: int) -> Any:
    kind = case.bias.kind
    if kind == "alibi":
        return -inputs.bias_table[head].double() * abs(distance)
    if kind == "relative":
        bucket = bucket_of(torch.tensor(distance), case.bias.buckets, case.mask.is_causal)
        return inputs.bias_table[head, bucket].double()
    return inputs.bias_table[head, row, key].double() if kind == "dense" else 0.0


def normed(x: Tensor, weight: Tensor | None) -> Tensor:
    """By torch's own RMSNorm."""
    if weight is None:
        return x
    return torch.nn.functional.rms_norm(x, x.shape[-1:], weight.double(), NORM_EPS)


def prompt_by_pairs(case: AttentionCase, inputs: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k = normed(q, inputs.q_norm), normed(k, inputs.k_norm)
    outs = []
    for batch in range(case.batch):
        start = key = 0
        parts = []
        for q_len, kv_len in case.sequences if case.packed else [(case.q_len, case.kv_len)]:
            rows, keys = slice(start, start + q_len), slice(key, key + kv_len)
            if q_len:
                parts.append(by_pairs(case, inputs, q[batch, :, rows], k[batch, :, keys], v[batch, :, keys], start))
            start, key = start + q_len, key + kv_len
        outs.append(torch.cat(parts, 1))
    return torch.stack(outs)


@pytest.mark.parametrize("case_id", [*PROMPTS, *NORMED])
def test_over_a_prompt(case_id: str) -> None:
    case = AttentionCase.parse(case_id)
    assert case.id == case_id
    inputs = ATTENTION.make_inputs(case, NORMAL_DRAW, 3, CPU)
    (got,) = attention_math.oracle(case, inputs, torch.arange(case.q_len))
    want = prompt_by_pairs(case, inputs, *(x.double() for x in (inputs.q, inputs.k, inputs.v)))
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case_id", PROMPTS)
def test_its_gradients(case_id: str) -> None:
    case = AttentionBackwardCase.parse(case_id)
    inputs = ATTENTION_BACKWARD.make_inputs(case, NORMAL_DRAW, 3, CPU)
    q, k, v = (x.double().requires_grad_() for x in (inputs.q, inputs.k, inputs.v))
    want = torch.autograd.grad(prompt_by_pairs(case, inputs, q, k, v), (q, k, v), inputs.dout.double())
    heads = torch.arange(case.kv_heads)
    got = attention_backward.oracle(case, inputs, heads)
    for one, other in zip(got, attention_backward.select_heads(want, heads), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("case_id", DECODES)
def test_over_a_cache(case_id: str) -> None:
    case = DecodeCase.parse(case_id)
    assert case.id == case_id
    inputs = DECODE_ATTENTION.make_inputs(case, NORMAL_DRAW, 3, CPU)
    (got,) = decode_math.oracle(case, inputs, decode_math.sample(case))
    for n, k, v in decode_math.each_sequence(case, inputs, torch.arange(case.batch)):
        q = normed(inputs.q[n].double(), inputs.q_norm)
        torch.testing.assert_close(got[n], by_pairs(case, inputs, q, k.double(), v.double()), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("operator", "ids"), [(ATTENTION, (*PROMPTS, *NORMED)), (DECODE_ATTENTION, DECODES)])
def test_every_wrong_variant_is_told_from_the_right_one(operator: Any, ids: tuple[str, ...]) -> None:
    """Some set of inputs of each case shows it; each wrong one is tried on some case."""
    tried = set()
    for case_id in ids:
        case = operator.case_type.parse(case_id)
        seen = [
            operator.check.expect(case, operator.make_inputs(case, draw, seed, CPU))
            for draw, seed in ((NORMAL_DRAW, 0), (NORMAL_DRAW, 1), (NEEDLE_DRAW, 0))
        ]
        assert not set.intersection(*(set(expected.blunt) for expected in seen)), case_id
        tried |= {name for expected in seen for name in expected.probes}
    missing = {one.name for one in WRONG_VARIANTS} - tried
    assert not missing


def test_bytes_by_hand() -> None:
    plain = AttentionCase(q_heads=4, q_len=6, head_dim=8, dtype="float16")
    added = {
        "sinks=learned": (AttentionCase(q_heads=4, q_len=6, head_dim=8, dtype="float16", sinks="learned"), 4 * 4),
        "alibi": (AttentionCase(q_heads=4, q_len=6, head_dim=8, dtype="float16", bias="alibi"), 4 * 4),  # type: ignore[arg-type]
        "dense": (AttentionCase(q_heads=4, q_len=6, head_dim=8, dtype="float16", bias="dense"), 4 * 36 * 2),  # type: ignore[arg-type]
        "norms": (AttentionCase(q_heads=4, q_len=6, head_dim=8, dtype="float16", qk_norm="rms"), 2 * 8 * 2),
        "softcap": (AttentionCase(q_heads=4, q_len=6, head_dim=8, dtype="float16", softcap=5), 0),
    }
    for name, (case, more) in added.items():
        assert ATTENTION.bytes_moved(case) == ATTENTION.bytes_moved(plain) + more, name
    decoding = DecodeCase(q_heads=4, head_dim=8, dtype="float16")
    normed_queries = DecodeCase(q_heads=4, head_dim=8, dtype="float16", qk_norm="rms")
    assert DECODE_ATTENTION.bytes_moved(normed_queries) == DECODE_ATTENTION.bytes_moved(decoding) + 8 * 2


@pytest.mark.parametrize(
    ("kind", "axes", "says"),
    [
        (AttentionCase, {"softcap": 0}, "axis softcap: got a soft cap of 0; expected none, or a number above 0"),
        (AttentionCase, {"softcap": -1.5}, "axis softcap: got a soft cap of -1.5"),
        (AttentionCase, {"softcap": "1e3"}, "axis softcap"),
        (AttentionCase, {"softcap": 10**400}, "at most three decimals, such as 50, up to 1000000"),
        (AttentionCase, {"softcap": 1_000_001}, "up to 1000000"),
        (
            AttentionCase,
            {"mask": "prefix:2147483648"},
            "got a prefix of 2147483648 in 'prefix:2147483648'; expected at most",
        ),
        (
            AttentionCase,
            {"mask": "document:2147483647+1"},
            "got documents of 2147483648 tokens; expected at most 2147483647",
        ),
        (AttentionCase, {"mask": "chunked:²"}, "got chunks of '²' in 'chunked:²'; expected a whole number"),
        (AttentionCase, {"mask": "document:²+3"}, "got documents '²+3'"),
        (AttentionCase, {"bias": "relative:²"}, "got '²' buckets"),
        (DecodeCase, {"context": "²"}, "axis context"),
        (DecodeCase, {"layout": "paged:²"}, "axis layout"),
        (AttentionCase, {"sinks": "8"}, "axis sinks: unknown sinks '8'; expected none, zero or learned"),
        (AttentionCase, {"bias": "relative:3"}, "axis bias: got '3' buckets"),
        (AttentionCase, {"qk_norm": "l2"}, "unknown norm of queries and keys 'l2'; expected none or rms"),
        (AttentionCase, {"mask": "document:10+20", "q_len": 31}, "expected documents that cover the row"),
        (AttentionCase, {"mask": "tree:2", "q_len": 4}, "expected a query for each node"),
        (AttentionCase, {"mask": "tree:2x2", "kv_len": 6}, "got a tree of 7 nodes for 7 queries and 6 keys"),
        (AttentionCase, {"mask": "tree:2", "bias": "alibi"}, "expected none: nodes of a tree"),
        (AttentionCase, {"packed": "3+4", "packed_keys": "5"}, "a length of keys for each of 2 packed sequences"),
        (AttentionCase, {"packed_keys": "5"}, "got packed=none with packed_keys=5"),
        (AttentionCase, {"packed": "3+4", "packed_keys": "5+6", "q_len": 8}, "expected batch=1 and the sums 7 and 11"),
        (AttentionCase, {"packed": "3+4", "mask": "document:7"}, "expected one of both"),
        (AttentionCase, {"packed": "3+4", "bias": "dense"}, "expected alibi or relative"),
        (DecodeCase, {"mask": "full"}, "axis mask: got mask full; expected causal, window:256"),
        (DecodeCase, {"mask": "document:9"}, "a sequence's cache holds one text"),
        (DecodeCase, {"bias": "dense"}, "axis bias: got bias dense"),
        (DecodeCase, {"mask": "tree:2x2", "context": "3"}, "for 7 queries and 3 keys"),
        (AppendCase, {"softcap": 3}, "got softcap=3; expected none: scores have no part in what is stored"),
        (AppendCase, {"mask": "chunked:4"}, "got mask=chunked:4; expected causal, window"),
    ],
)
def test_what_cannot_be_is_refused(kind: Any, axes: dict[str, Any], says: str) -> None:
    with pytest.raises(ImpossibleCase) as raised:
        kind(**axes)
    assert says in str(raised.value)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_learned_sinks_of_heads_are_far_apart(dtype: str) -> None:
    """So that two that are exchanged show."""
    case = AttentionCase(q_heads=4, kv_heads=2, q_len=33, dtype=dtype, mask="causal", sinks="learned")
    sinks = variants.drawn_sinks(case)
    assert sinks is not None
    assert sinks.sort().values.diff().min() > 0.9  # three steps from 1.5 below to 1.5 above log 33
    assert sinks.mean().item() == pytest.approx(math.log(33), abs=0.02)
    assert sinks.tolist() != sorted(sinks.tolist())


@pytest.mark.parametrize(
    ("operator", "case_id"),
    [
        (ATTENTION, "Hq1-Sq1-Sk1-D96-fp16-causal-sink_learned-bias_relative.4"),
        (DECODE_ATTENTION, "Hq1-C17-D96-fp16-window.1-sink_learned-bias_relative.4"),
        (DECODE_ATTENTION, "Hq1-C17-D96-fp16-chunked.1-sink_zero-bias_relative.4-paged_hsd.64-int8_token"),
    ],
)
def test_what_weighs_next_to_nothing_beside_a_sink_can_be_judged(operator: Any, case_id: str) -> None:
    """The one key of a row scores so low that float16 does not hold its weight: the yardstick's error is not counted
    over an output that is as small."""
    case = operator.case_type.parse(case_id)
    found = []
    for seed in range(1, 8):
        inputs = operator.make_inputs(case, NEEDLE_DRAW, seed, CPU)
        expected = operator.check.expect(case, inputs)
        zeros = tuple(torch.zeros_like(out) for out in expected.expected)
        found.append(expected.accepts(zeros))
    assert not all(found), "a result of zeros is wrong for some needles"
