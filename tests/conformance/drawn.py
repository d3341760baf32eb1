"""Small random cases of attention: every axis, lengths to 96, few heads; and cases of what models add to it."""

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


VARIANT_MASKS = ("chunked:7", "chunked:32", "prefix:5", "prefix:40", "full", "causal", "window:9")


@st.composite
def variant_cases(draw: st.DrawFn) -> AttentionCase:
    """With cap, sinks, bias and norms as they come, over every kind of mask, and packs of unequal lengths."""
    kv_heads = draw(st.sampled_from([1, 2, 3]))
    axes = {
        "kv_heads": kv_heads,
        "q_heads": kv_heads * draw(st.sampled_from([1, 2])),
        "head_dim": draw(st.sampled_from([8, 16, 40, 64])),
        "dtype": draw(st.sampled_from(["float32", "float16", "bfloat16"])),
        "mask": draw(st.sampled_from(VARIANT_MASKS)),
        "softcap": draw(st.sampled_from([None, None, 5.0, 50.0])),
        "sinks": draw(st.sampled_from(["none", "none", "learned", "zero"])),
        "bias": draw(st.sampled_from(["none", "none", "alibi", "relative:16", "dense"])),
        "qk_norm": draw(st.sampled_from(["none", "rms"])),
    }
    shape = draw(st.sampled_from(["row", "packed", "documents", "tree"]))
    if shape == "packed":
        lengths = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 40)), min_size=1, max_size=4)
        queries, keys = zip(*draw(lengths), (3, 5), strict=True)
        bias = "alibi" if axes["bias"] == "dense" else axes["bias"]
        return AttentionCase(**axes | {"bias": bias, "packed": queries, "packed_keys": keys})
    if shape == "documents":
        ends = draw(st.lists(st.integers(0, 30), min_size=1, max_size=4))
        return AttentionCase(**axes | {"mask": f"document:{'+'.join(map(str, [*ends, 2]))}"})
    if shape == "tree":
        parents = [draw(st.integers(0, node)) for node in range(draw(st.integers(1, 12)))]
        tree = {"mask": f"tree:{'+'.join(map(str, parents))}" if parents[1:] else "tree:1", "bias": "none"}
        return AttentionCase(**axes | tree, kv_len=len(parents) + 1 + draw(st.integers(0, 50)))
    return AttentionCase(**axes, q_len=draw(st.integers(1, 60)), kv_len=draw(st.integers(1, LONGEST)))
