"""The tiled implementation visits the blocks that it must, and masks only those that a mask cuts."""

from __future__ import annotations

import pytest
import torch

from attnlab.bench import AttentionCase
from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.ops.attention.contract import make_inputs
from attnlab.impls.attention.tiled import BLOCK_K, BLOCK_Q, Tiled

N = 4  # blocks of keys in the cases below


def blocks_of(mask, q_len=N * BLOCK_K, packed=""):
    lengths = {"packed": packed} if packed else {"q_len": q_len}
    case = AttentionCase(q_heads=1, head_dim=8, dtype="float32", mask=mask, **lengths)
    return Tiled().prepare(case, make_inputs(case, NORMAL_DRAW, 0, torch.device("cpu")))


@pytest.mark.parametrize(
    ("mask", "visited", "masked"),
    [
        ("full", 2 * N * N, 0),
        ("causal", N * (N + 1), 2 * N),  # two blocks of queries for each of keys
        (f"window:{BLOCK_Q}", 2 * N + N - 1, 2 * N + N - 1),
    ],
)
def test_blocks(mask, visited, masked):
    assert BLOCK_K == 2 * BLOCK_Q
    tiles = [tile for block in blocks_of(mask) for tile in block.tiles]
    assert (len(tiles), sum(tile.forbidden is not None for tile in tiles)) == (visited, masked)


def test_packed_sequences_see_their_own_blocks_alone():
    first, second = blocks_of("full", packed="10+20")
    assert (first.rows, first.tiles[0].keys) == (slice(0, 10), slice(0, 10))
    assert (second.rows, second.tiles[0].keys) == (slice(10, 30), slice(10, 30))
