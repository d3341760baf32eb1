"""Masks: the arithmetic, the tensors and the counts all say the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.masks import Mask, permitted_pairs, segments_of

LENGTHS = st.integers(1, 24)
MASKS = st.one_of(
    st.sampled_from([Mask("full"), Mask("causal")]),
    st.builds(Mask, st.sampled_from(["window", "chunked", "prefix"]), st.integers(1, 30)),
)


@given(MASKS, LENGTHS, LENGTHS)
def test_tensor_range_and_counts_agree(mask: Mask, q_len: int, kv_len: int) -> None:
    allowed = mask.permitted(torch.arange(q_len), q_len, kv_len)
    for row in range(q_len):
        first, last = mask.key_range(row, q_len, kv_len)
        assert allowed[row].nonzero().flatten().tolist() == list(range(first, last))
    assert mask.pairs(q_len, kv_len) == int(allowed.sum())
    assert mask.rows_with_keys(q_len, kv_len) == int(allowed.any(1).sum())
    assert mask.keys_seen(q_len, kv_len) == int(allowed.any(0).sum())
    assert mask.most_keys(q_len, kv_len) == int(allowed.sum(1).max()) or mask.is_band


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any))
def test_documents_are_blocks_on_the_diagonal(lengths: list[int]) -> None:
    mask, total = Mask("document", documents=tuple(lengths)), sum(lengths)
    assert Mask.read(str(mask)) == mask
    blocks = [torch.ones(length, length).tril() for length in lengths]
    allowed = mask.permitted(torch.arange(total), total, total)
    assert torch.equal(allowed, torch.block_diag(*blocks).bool())
    for row in range(total):
        first, last = mask.key_range(row, total, total)
        assert allowed[row].nonzero().flatten().tolist() == list(range(first, last))
    assert mask.pairs(total, total) == int(allowed.sum())
    assert mask.most_keys(total, total) == int(allowed.sum(1).max())


@given(st.lists(st.floats(0, 0.999), max_size=12), st.integers(0, 9))
def test_a_node_sees_the_context_and_its_ancestors(picks: list[float], context: int) -> None:
    parents = tuple(int(pick * node) for node, pick in enumerate(picks, start=1))
    mask, nodes = Mask("tree", parents=parents), len(parents) + 1
    allowed = mask.permitted(torch.arange(nodes), nodes, nodes + context)
    for node in range(nodes):
        above, at = {node}, node
        while at:
            at = parents[at - 1]
            above.add(at)
        assert allowed[node].nonzero().flatten().tolist() == [*range(context), *sorted(context + one for one in above)]
    assert mask.pairs(nodes, nodes + context) == int(allowed.sum())
    assert mask.most_keys(nodes, nodes + context) == int(allowed.sum(1).max())
    if parents:
        assert Mask.read(str(mask)) == mask


@given(MASKS, st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9)), min_size=1, max_size=4))
def test_a_pack_may_have_more_keys_than_queries(mask: Mask, lengths: list[tuple[int, int]]) -> None:
    queries, keys = (torch.tensor([0, *part]).cumsum(0).to(torch.int32) for part in zip(*lengths, strict=True))
    blocks = [mask.permitted(torch.arange(q), q, k).int() for q, k in lengths]
    total, total_keys = int(queries[-1]), int(keys[-1])
    got = permitted_pairs(mask, torch.arange(total), total, total_keys, queries, keys)
    assert torch.equal(got, torch.block_diag(*blocks).bool())


def test_causal_is_aligned_bottom_right() -> None:
    rows = Mask("causal").permitted(torch.arange(2), 2, 4).int().tolist()
    assert rows == [[1, 1, 1, 0], [1, 1, 1, 1]]


def test_more_queries_than_keys_leave_the_first_rows_empty() -> None:
    rows = Mask("causal").permitted(torch.arange(4), 4, 2).int().tolist()
    assert rows == [[0, 0], [0, 0], [1, 0], [1, 1]]


def test_a_window_counts_the_query_itself() -> None:
    rows = Mask("window", 2).permitted(torch.arange(3), 3, 4).int().tolist()
    assert rows == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]


def test_some_rows_alone() -> None:
    mask, rows = Mask("window", 5), torch.tensor([0, 7, 3])
    whole = mask.permitted(torch.arange(9), 9, 12)
    assert torch.equal(mask.permitted(rows, 9, 12), whole[rows])


@given(MASKS, st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_packed_sequences_are_blocks_on_the_diagonal(mask: Mask, lengths: list[int]) -> None:
    total = sum(lengths)
    packed = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    blocks = [mask.permitted(torch.arange(length), length, length).int() for length in lengths]
    got = permitted_pairs(mask, torch.arange(total), total, total, packed)
    assert torch.equal(got, torch.block_diag(*blocks).bool())
    assert segments_of(packed, total).tolist() == [n for n, length in enumerate(lengths) for _ in range(length)]


@pytest.mark.parametrize("text", ["full", "causal", "window:1", "chunked:256", "prefix:3", "document:3+0", "tree:2x2"])
def test_reads_what_it_prints(text: str) -> None:
    assert str(Mask.read(text)) == text
    assert Mask.read(Mask.read(text)) == Mask.read(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("casual", "unknown mask 'casual'; expected one such as full, causal, window:256"),
        ("causal:3", "unknown mask 'causal:3'"),
        ("window", "got a window of '' in 'window'; expected a whole number of at least 1"),
        ("window:0", "got a window of '0'"),
        ("window:-4", "got a window of '-4'"),
        ("window:2.5", "got a window of '2.5'"),
        (None, "unknown mask None"),
        ("chunked:0", "got chunks of '0'"),
        ("prefix", "got a prefix of ''"),
        ("document:", "got documents ''; expected their lengths"),
        ("document:0+0", "got documents '0[+]0'"),
        ("document:3+x", "got documents '3[+]x'"),
        ("tree:", "got a tree ''; expected children a level"),
        ("tree:0+2", "node 2 has the parent 2; expected one that comes before it, of 0 to 1"),
        ("tree:2x0", "expected at least one child"),
        ("tree:3x99", "more than 256 nodes"),
        ("tree:300", "more than 256 nodes"),
        ("tree:" + "0+" * 256 + "0", "more than 256 nodes"),
    ],
)
def test_refuses(text: object, says: str) -> None:
    with pytest.raises(ImpossibleCase, match=says):
        Mask.read(text)
