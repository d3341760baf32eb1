"""Which keys a query sees, on the device: the first and last ones, and the mask of a tile.

With q_len queries and kv_len keys, query i stands at i + kv_len - q_len. `size` and `table` are those of the
`attention_masks.Mask` that MASK, or PLAN.mask, names. Rows may be numbers or tiles.
"""

import triton
import triton.language as tl


@triton.jit
def first_key(
    query: tl.tensor, q_len: tl.tensor, kv_len: tl.tensor, size: tl.tensor, table: tl.tensor, MASK: tl.constexpr
) -> tl.tensor:
    """The first key that a query sees, where its mask is `near`; may be negative."""
    if MASK == "window":
        return query + (kv_len - q_len - size + 1)
    elif MASK == "chunked":
        return tl.maximum(query + (kv_len - q_len), 0) // size * size
    else:
        return tl.load(table + tl.minimum(query, q_len - 1))


@triton.jit
def key_end(
    query: tl.tensor, q_len: tl.tensor, kv_len: tl.tensor, size: tl.tensor, MASK: tl.constexpr, ALL: tl.constexpr
) -> tl.tensor:
    """One past the last key that a query sees; with ALL past the last before which none is forbidden for being late."""
    if ALL and MASK == "tree":
        return query * 0 + (kv_len - q_len)
    elif MASK == "prefix":
        return tl.maximum(query + (kv_len - q_len + 1), size)
    else:
        return query + (kv_len - q_len + 1)


@triton.jit
def first_query(
    key: tl.tensor, q_len: tl.tensor, kv_len: tl.tensor, size: tl.tensor, MASK: tl.constexpr, ALL: tl.constexpr
) -> tl.tensor:
    """The first query that sees a key; with ALL the first after which none is too early for it. May be negative."""
    if ALL and MASK == "tree":
        return tl.where(key < kv_len - q_len, 0, q_len)
    elif MASK == "prefix":
        return tl.where(key < size, 0, key - (kv_len - q_len))
    else:
        return key + -(kv_len - q_len)  # in this order, by which the assembler spills less


@triton.jit
def query_end(
    key: tl.tensor, q_len: tl.tensor, kv_len: tl.tensor, size: tl.tensor, table: tl.tensor, MASK: tl.constexpr
) -> tl.tensor:
    """One past the last query that sees a key, where the mask is `near`."""
    if MASK == "window":
        return key + (size - (kv_len - q_len))
    elif MASK == "chunked":
        return (key // size + 1) * size - (kv_len - q_len)
    else:
        return tl.load(table + q_len + tl.minimum(key, kv_len - 1))


@triton.jit
def attention_mask(
    queries: tl.tensor,
    keys: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    size: tl.tensor,
    table: tl.tensor,
    PLAN: tl.constexpr,
) -> tl.tensor:
    """Whether a query may see a key."""
    shift = kv_len - q_len
    mask = keys < kv_len
    if PLAN.mask == "prefix":
        mask = mask & ((keys <= queries + shift) | (keys < size))
    elif PLAN.causal:
        mask = mask & (keys <= queries + shift)
    if PLAN.mask == "window":
        mask = mask & (keys > queries + shift - size)
    elif PLAN.near:
        mask = mask & (keys >= first_key(queries, q_len, kv_len, size, table, PLAN.mask))
    elif PLAN.mask == "tree":
        mask = mask & is_ancestor(table, queries, keys - shift, q_len)
    return mask


@triton.jit
def is_ancestor(table: tl.tensor, node: tl.tensor, other: tl.tensor, nodes: tl.tensor) -> tl.tensor:
    """Whether the other is a node's ancestor or the node itself; true of all before the tree, which are negative."""
    inside = (other >= 0) & (other < nodes) & (node < nodes) & (node >= 0)
    return tl.load(table + node * nodes + other, mask=inside, other=1) != 0
