"""Operations and bytes of models with windows, against numbers worked out by hand."""

from __future__ import annotations

import dataclasses

import torch

from attnlab.bench.llm.caches import format_of, layout_of
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.cost import attention_operations, bytes_moved, cache_bytes, operations, pass_bytes

GEMMA = PUBLISHED["toy_gemma2"]  # 4 layers, of which 2 have a window of 7; 4 query heads, 2 of keys and values, of 24
TOKEN_BYTES = 2 * 2 * 24 * 4  # keys and values of one layer, in float32


def test_a_token_sees_what_its_window_lets_it() -> None:
    """Of 10 tokens, 55 pairs in a layer without a window, and 7 · 8 / 2 + 3 · 7 in one with it."""
    assert attention_operations(GEMMA, 10) == 4 * 24 * 4 * (2 * 55 + 2 * 49)
    everywhere = dataclasses.replace(GEMMA, windowed=())
    assert attention_operations(everywhere, 10) == 4 * 24 * 4 * 4 * 49
    assert attention_operations(PUBLISHED["toy"], 10) == 4 * 16 * 4 * 3 * 55


def test_bytes_of_a_pass_are_of_what_its_tokens_see() -> None:
    def read(lengths: list[int], new: list[int] | None, layout: str = "contiguous_bhsd") -> int:
        return cache_bytes(GEMMA, layout_of(layout), format_of("same"), torch.float32, lengths, new)

    assert read([5], None) == 4 * 5 * TOKEN_BYTES
    assert read([20, 3], None) == (2 * (20 + 3) + 2 * (7 + 3)) * TOKEN_BYTES
    assert read([20], [4]) == (2 * 20 + 2 * 10) * TOKEN_BYTES  # the first of four sees 7, the others one more each
    assert read([20], [20]) == 4 * 20 * TOKEN_BYTES
    pages = 2 * 5 + 2 * 2  # of 4 tokens: all 20, and those from the 14th on
    assert read([20], None, "paged:4") == (2 * 20 + 2 * 7) * TOKEN_BYTES + pages * 4


def test_a_generation_costs_what_its_passes_do() -> None:
    case = GenerateCase.parse("toy_gemma2-random-P12-N3-fp32")
    through = 14
    layer = 64 * 24 * (2 * 4 + 2 * 2) + 3 * 64 * 128
    attended = 4 * 24 * 4 * (2 * through * 15 // 2 + 2 * (28 + 7 * 7))
    assert operations(case) == through * 2 * 4 * layer + 3 * 2 * 64 * 512 + attended
    norms = 4 * 4 * 64 + 64
    assert GEMMA.parameters == 512 * 64 + 4 * layer + norms
    steps = (2 * 13 + 2 * 7 + 2 * 14 + 2 * 7) * TOKEN_BYTES
    assert bytes_moved(case) == 3 * pass_bytes(GEMMA, torch.float32) + steps + 8 * 15
    assert PUBLISHED["toy_gemma3"].layer_parameters == layer + 4 * 64 + 2 * 24
