"""Small random cases of attention: every axis, lengths to 96, few heads."""

from __future__ import annotations

from hypothesis import strategies as st

from attnlab.bench import AttentionCase

LONGEST = 96
HEAD_DIMS = [5, 8, 16, 32, 40, 64, 72, 80, 96, 128]
MASKS = st.one_of(st.sampled_from(["full", "causal"]), st.integers(1, LONGEST).map(lambda window: f"window:{window}"))


@st.composite
def attention_cases(draw: st.DrawFn, head_dims: list[int] = HEAD_DIMS) -> AttentionCase:
    kv_heads = draw(st.sampled_from([1, 2, 3]))
    head_dim = draw(st.sampled_from(head_dims))
    axes = {
        "kv_heads": kv_heads,
        "q_heads": kv_heads * draw(st.sampled_from([1, 2, 4])),
        "head_dim": head_dim,
        "v_head_dim": draw(st.sampled_from([head_dim, head_dim, head_dim, 24])),
        "dtype": draw(st.sampled_from(["float32", "float16", "bfloat16"])),
        "mask": draw(MASKS),
        "inputs": draw(st.sampled_from(["normal", "outliers"])),
    }
    if draw(st.integers(0, 3)) == 0:
        lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
        return AttentionCase(**axes, packed=tuple(lengths))
    q_len = draw(st.integers(1, LONGEST))
    kv_len = draw(st.one_of(st.just(q_len), st.integers(1, LONGEST)))
    return AttentionCase(**axes, batch=draw(st.sampled_from([1, 2])), q_len=q_len, kv_len=kv_len)
