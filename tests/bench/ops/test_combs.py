"""Inputs on which every key counts: one that is lost or counted twice shows, wherever it lies."""

from __future__ import annotations

import pytest
import torch

from attnlab.bench.contract.operator_spec import NEEDLE_DRAW
from attnlab.bench.ops._shared import needles, wide_sums
from attnlab.bench.ops._shared.caching import NEEDLE_DRAWS, DecodeCase
from attnlab.bench.ops.decode_attention import reference as decode_math
from attnlab.bench.ops.decode_attention.contract import DECODE_ATTENTION

CPU = torch.device("cpu")
COMB = needles.TURNS + 1  # the seed whose needles are a comb


def borders(length: int) -> list[int]:
    """Tokens beside where a split, a tile or a page of any plausible size may begin."""
    starts = {length * part // parts for parts in range(1, 65) for part in range(parts + 1)}
    starts |= {part * -(-length // parts) for parts in range(1, 65) for part in range(parts + 1)}
    starts |= {tile * n for tile in (16, 64, 128, 1000, 1024) for n in range(length // tile + 1)}
    near = {start + step for start in starts for step in (-1, 0)}
    return sorted(place for place in near if 0 <= place < length)


@pytest.mark.parametrize(
    "case_id", ["Hq8-Hkv1-C8195-D64-bf16", "Hq4-Hkv2-C3001-D64-bf16-int8_token", "Hq4-Hkv1-C4100-D32-fp16-fp8_e4m3"]
)
def test_a_lost_key_shows_at_every_border(case_id: str) -> None:
    case = DecodeCase.parse(case_id)
    inputs = DECODE_ATTENTION.make_inputs(case, NEEDLE_DRAW, COMB, CPU)
    expectation = DECODE_ATTENTION.check.expect(case, inputs)
    _, k, v = next(decode_math.each_sequence(case, inputs, torch.arange(1)))
    p = decode_math.probabilities(inputs, 0, k, torch.arange(case.q_len))
    right = p.to(case.torch_dtype).float() @ v[:, None]

    def share(place: int, times: int) -> float:
        weight = p[..., place : place + 1]
        out = (right + (times - 1) * weight * v[:, None, place : place + 1]) / (1 + (times - 1) * weight)
        return expectation.judge((decode_math.as_heads(out)[None].to(case.torch_dtype),))[0].share_of_budget

    assert share(0, 1) < 0.7
    tried = borders(case.longest)
    tried = [0, 1, case.longest - 1, *tried[:: len(tried) // 300]]
    assert [place for place in tried if share(place, 0) < 1] == []
    assert [place for place in tried[::10] if share(place, 2) < 1] == []


def test_all_kinds_of_needles_come_up_among_consecutive_seeds() -> None:
    case = DecodeCase(context=40)
    made = [DECODE_ATTENTION.make_inputs(case, NEEDLE_DRAW, seed, CPU) for seed in range(3, 3 + NEEDLE_DRAWS)]
    combed = [bool((inputs.q.amax(-1) > 20).all()) for inputs in made]
    assert sum(combed) == 1
    assert sum(float(inputs.q.abs().max()) < 1 for inputs in made) == 1, "one is flat"


def test_partial_sums_are_large_and_the_sum_is_not() -> None:
    signs = wide_sums.signs(4096, 20)
    assert signs.abs().min() == 1
    assert signs.sum(-1).abs().max() <= 4
    assert all(signs[:, n::step].sum(-1).abs().max() > 4096 / step - 2 for step in (2, 3, 5, 7) for n in (0, step - 1))
    assert signs[0].cumsum(0).abs().max() == 2048
    assert wide_sums.signs(1000, 9, short=True).cumsum(-1).abs().max() <= 64
    assert len({tuple(row.tolist()) for row in signs[:14]}) == 14
