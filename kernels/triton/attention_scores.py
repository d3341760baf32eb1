"""From scores to weights on the device: cap and bias, the online softmax, and the denominator with its sink.

SHAPING is a `Shaping` of `attention_scoring`, extras its `Extras`. Without cap and bias nothing here but the
softmax is compiled.
"""

import triton
import triton.language as tl

from attnlab.kernels.triton.device import LN_2, LOG2_E


@triton.jit
def bias_of(extras: tl.tuple, head: tl.tensor, SHAPING: tl.constexpr) -> tl.tensor:
    """What the bias of a query head, or of a tile of them, begins with: its slope, or a pointer to its numbers."""
    if SHAPING.bias == "slopes":
        return tl.load(extras.bias + head) * LOG2_E
    elif SHAPING.bias != "none":
        return extras.bias + tl.cast(head, tl.int64) * extras.bias_strides[0]
    else:
        return head


@triton.jit
def shaped(
    scores: tl.tensor,
    scale_log2: tl.tensor,
    extras: tl.tuple,
    bias: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    SHAPING: tl.constexpr,
) -> tl.tuple:
    """(scores with cap and bias, in base 2; the cap's slope at each where there is one).

    rows, columns: of queries and keys, broadcast to scores. bias: as `bias_of` gives it.
    """
    slope = scores
    if SHAPING.capped:
        # c tanh(s / c) = c - 2 c / (exp(2 s / c) + 1): no power overflows to a NaN
        rest = 1 / (tl.exp2(scores * (scale_log2 * extras.steep)) + 1)
        scores = extras.cap - 2 * extras.cap * rest
        slope = 4 * rest * (1 - rest)
    else:
        scores = scores * scale_log2
    # Rows and columns past the end have a neighbour's bias, so that no load needs a mask.
    row = tl.minimum(rows, q_len - 1)
    column = tl.minimum(columns, kv_len - 1)
    position = row + (kv_len - q_len)
    if SHAPING.bias == "slopes":
        scores -= bias * tl.abs(column.to(tl.float32) - position.to(tl.float32))
    elif SHAPING.bias == "distances":
        scores += tl.load(bias + (column - position)) * LOG2_E
    elif SHAPING.bias == "dense":
        scores += tl.load(bias + tl.cast(row, tl.int64) * extras.bias_strides[1] + column).to(tl.float32) * LOG2_E
    return scores, slope


@triton.jit
def online_softmax(scores: tl.tensor, scale_log2: tl.tensor, peak: tl.tensor, total: tl.tensor) -> tl.tuple:
    """One more tile of scores [M, N] in a softmax whose peak [M], in base 2, and total [M] are known so far.

    Returns (weights [M, N], factor of earlier sums [M], new peak, new total). Milakov and Gimelshein, arXiv:1805.02867.
    """
    new_peak = tl.maximum(peak, tl.max(scores, 1) * scale_log2)
    anchor = tl.where(new_peak == float("-inf"), 0.0, new_peak)  # -inf less -inf would be NaN
    weights = tl.exp2(scores * scale_log2 - anchor[:, None])
    fade = tl.exp2(peak - anchor)
    return weights, fade, new_peak, total * fade + tl.sum(weights, 1)


@triton.jit
def add_sink(peak: tl.tensor, total: tl.tensor, sink: tl.tensor) -> tl.tuple:
    """(factor of sums [M], peak, total) with one more weight, of no value; sink: its logit, natural, or -inf."""
    sink = sink * LOG2_E
    top = tl.maximum(peak, sink)
    anchor = tl.where(top == float("-inf"), 0.0, top)
    fade = tl.exp2(peak - anchor)
    return fade, top, total * fade + tl.exp2(sink - anchor)


@triton.jit
def log_sum(peak: tl.tensor, total: tl.tensor) -> tl.tensor:
    """Natural logarithm of a softmax's denominator [M]; -inf where it is empty."""
    blind = total == 0
    return tl.where(blind, float("-inf"), (peak + tl.log2(tl.where(blind, 1.0, total))) * LN_2)
