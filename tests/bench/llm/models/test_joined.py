"""Projections side by side in memory."""

from __future__ import annotations

import torch

from attnlab.bench.llm.models.load import load_model
from attnlab.bench.llm.side_by_side import rows_of


def test_joined_weights_are_the_same_and_need_no_copy_to_be_one() -> None:
    weights = load_model("toy")
    joined = weights.joined()
    for before, after in zip(weights.layers, joined.layers, strict=True):
        assert all(map(torch.equal, before.tensors(), after.tensors()))
        one = rows_of(after.query, after.key, after.value)
        assert torch.equal(one, torch.cat([before.query, before.key, before.value]))
        assert one.data_ptr() == after.query.data_ptr()


def test_what_lies_apart_or_in_another_order_is_copied() -> None:
    a, b = torch.randn(6, 4).split([2, 4])
    assert rows_of(a, b).data_ptr() == a.data_ptr()
    assert torch.equal(rows_of(b, a), torch.cat([b, a]))
    assert torch.equal(rows_of(a, torch.zeros(1, 4)), torch.cat([a, torch.zeros(1, 4)]))
    assert torch.equal(rows_of(a[:1], b), torch.cat([a[:1], b])), "a row between them is no part"
