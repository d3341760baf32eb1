"""How a case's weights are held where that is not in its dtype: what products with them round, and their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from attnlab.bench.llm.models.reference import as_it_is

if TYPE_CHECKING:
    from attnlab.bench.llm.models.config import ModelConfig
    from attnlab.bench.llm.models.reference import Rounding

SAME, Q4_1 = "same", "q4_1"

BLOCK = 32  # values that share a scale in ggml's formats
Q4_1_BYTES, Q8_0_BYTES = 20, 34  # of a block: 4-bit codes with a float16 scale and minimum, 8-bit codes with a scale
NORM_BYTES = 4


def rounding(weights: str) -> Rounding:
    """What becomes of the activations in every product with such weights."""
    return rounded_to_codes if weights == Q4_1 else as_it_is


def rounded_to_codes(x: Tensor) -> Tensor:
    """`[..., K]` in its dtype, as ggml has it in products with Q4_1 and Q8_0 weights: int8 codes over 32 channels.

    The scale is a block's largest value over 127, kept in float16 (llama.cpp, `quantize_row_q8_1`).
    """
    blocks = x.unflatten(-1, (-1, BLOCK)).float()
    scale = blocks.abs().amax(-1, keepdim=True) / 127
    codes = (blocks / scale.clamp_min(1e-30)).round()
    rounded: Tensor = (codes * scale.half().float()).flatten(-2).to(x.dtype)
    return rounded


def file_bytes(config: ModelConfig) -> int:
    """What a pass reads of the packaged file: Q4_1 in the layers, Q8_0 in embedding and head, which are one."""
    norms = (2 * config.layers + 1) * config.hidden_size
    table = config.vocab_size * config.hidden_size
    layers = config.parameters - table - norms
    return layers // BLOCK * Q4_1_BYTES + table // BLOCK * Q8_0_BYTES + norms * NORM_BYTES
