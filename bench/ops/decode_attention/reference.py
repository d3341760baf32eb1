"""Decoding in plain torch: the float64 oracle over the cache as it is stored, the yardstick, the probes.

The oracle reads the cache back, so that the budget is the kernel's own error; what the format lost before is apart,
in `format_error`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.error_budget import Probe, YardstickOutput, heads_permuted, root_mean_square, zeros
from attnlab.bench.llm.masks import places_of
from attnlab.bench.ops._shared import variants
from attnlab.bench.ops._shared.score_rounding import NO_ROUNDING, NUDGE, Rounding
from attnlab.bench.ops._shared.variant_probes import has_choice, heads_differ, probes_of_variants

if TYPE_CHECKING:
    from attnlab.bench.ops._shared.caching import DecodeCase, Tokens
    from attnlab.bench.ops.decode_attention.inputs import DecodeInputs

MOST_LOST = 2.0**-20  # of a row's weight that is left without a token, where that token was all of it
FULL_CHECK_NUMBERS = 1 << 29  # keys that are compared at most: sequences beyond are sampled
FULL_CHECK_SCORES = 1 << 26  # of all heads: rows of a chunk beyond are sampled
FEWEST_ROWS = 64
TILES = (16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Sample:
    """What is compared: so many sequences, and of each the outputs of so many new tokens; numbers in order."""

    sequences: Tensor
    rows: Tensor


def sample(case: DecodeCase) -> Sample:
    """All of a small case.

    Else the shortest sequence, the longest, the first, the last and a seeded sample; of a long chunk of new tokens its
    ends, edges of tiles of 16 to 256 and a seeded sample.
    """
    a_sequence = case.kv_heads * max(case.longest, 1) * (case.head_dim + case.v_head_dim)
    wanted = max(8, FULL_CHECK_NUMBERS // a_sequence)
    edges = [
        0,
        case.batch - 1,
        min(range(case.batch), key=case.lengths.__getitem__),
        max(range(case.batch), key=case.lengths.__getitem__),
    ]
    sequences = _some(case.batch, wanted, edges)
    scores = len(sequences) * case.q_heads * max(case.longest, 1)
    corners = [row for size in TILES for row in (size - 1, size)]
    rows = _some(case.q_len, max(FEWEST_ROWS, FULL_CHECK_SCORES // scores), [0, case.q_len - 1, *corners])
    return Sample(sequences, rows)


def _some(count: int, wanted: int, edges: list[int]) -> Tensor:
    """So many of `count` numbers, in order: the edges first, then by a seeded draw."""
    if wanted >= count:
        return torch.arange(count)
    others = torch.randperm(count, generator=torch.Generator().manual_seed(count)).tolist()
    known = [edge for edge in edges if 0 <= edge < count]
    return torch.tensor(sorted(list(dict.fromkeys([*known, *others]))[:wanted]))


def select(outputs: tuple[Tensor, ...], sample: Sample) -> tuple[Tensor, ...]:
    """The sampled sequences and rows of outputs [B, Hq, Sq, Dv]."""
    return tuple(
        out.index_select(0, sample.sequences.to(out.device)).index_select(2, sample.rows.to(out.device))
        for out in outputs
    )


def oracle(
    case: DecodeCase, inputs: DecodeInputs, sample: Sample, rounding: Rounding = NO_ROUNDING
) -> tuple[Tensor, ...]:
    """Attention in float64 over the keys and values that the cache holds, decoded.

    Where scores are rounded, keys are too, to the dtype in which they are multiplied.
    """
    outs = []
    for n, k, v in each_sequence(case, inputs, sample.sequences):
        k = k if rounding == NO_ROUNDING else k.to(case.torch_dtype)
        outs.append(attend(inputs, n, k.double(), v.double(), sample.rows, rounding))
    return (torch.stack(outs),)


def slack(case: DecodeCase, inputs: DecodeInputs, sample: Sample, rounding: Rounding) -> tuple[Tensor, ...]:
    """How far the output moves where scores that lie near a boundary of their rounding fall to its other side."""
    (out,) = oracle(case, inputs, sample, rounding)
    below, above = (oracle(case, inputs, sample, replace(rounding, nudge=nudge))[0] for nudge in (-NUDGE, NUDGE))
    return ((out - below).abs() + (out - above).abs(),)


def yardstick(
    case: DecodeCase, inputs: DecodeInputs, sample: Sample, rounding: Rounding = NO_ROUNDING
) -> YardstickOutput:
    """What careful code gets: decoded keys and values and the probabilities rounded to the dtype, sums in float32."""
    dtype = case.torch_dtype
    outs, terms = [], []
    for n, k, v in each_sequence(case, inputs, sample.sequences):
        k, v = k.to(dtype).float(), v.to(dtype).float()
        p = probabilities(inputs, n, k, sample.rows, rounding)
        outs.append(as_heads(p.to(dtype).float() @ v[:, None]).to(dtype))
        weights = variants.rounded_as(p, inputs, dtype)
        terms.append(as_heads((weights.square() @ v.square()[:, None]).sqrt()))
    return YardstickOutput((torch.stack(outs),), (torch.stack(terms),))


def each_sequence(case: DecodeCase, inputs: DecodeInputs, sequences: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(number, keys, values) of each sequence, [Hkv, S, D] in float32 with S its own length."""
    for n in sequences.tolist():
        k, v = inputs.cache.read(slice(n, n + 1), case.lengths[n])
        yield n, k[0], v[0]


def attend(
    inputs: DecodeInputs, n: int, k: Tensor, v: Tensor, rows: Tensor, rounding: Rounding = NO_ROUNDING
) -> Tensor:
    """Sequence n: k [Hkv, S, D], v [Hkv, S, Dv] and so many rows of its queries -> [Hq, R, Dv], in the keys' dtype."""
    return as_heads(probabilities(inputs, n, k, rows, rounding) @ v[:, None])


def probabilities(inputs: DecodeInputs, n: int, k: Tensor, rows: Tensor, rounding: Rounding = NO_ROUNDING) -> Tensor:
    """Softmax over the permitted keys, [Hkv, G, R, S], by mask and variants of the inputs; zeros where none is seen."""
    q_len, length, dtype = inputs.q.shape[2], k.shape[1], inputs.q.dtype
    rows = rows.to(k.device)
    places = places_of(rows, q_len, length)
    allowed = inputs.mask.sees(places.position, places.key, length)
    q = variants.normed(inputs.q[n].index_select(1, rows), inputs.q_norm, k.dtype, dtype)
    scaled = rounding.scores(q.unflatten(0, (k.shape[0], -1)), k[:, None].mT, inputs.scale, dtype)
    scores, _ = variants.biased(scaled, inputs, places, rows, inputs.mask.is_causal)
    masked = scores.masked_fill(~allowed, float("-inf"))
    return variants.weighed(masked, inputs.sinks).masked_fill(~allowed, 0.0)


def as_heads(x: Tensor) -> Tensor:
    """[Hkv, G, R, D] -> [Hq, R, D]."""
    return x.flatten(0, 1)


def format_error(case: DecodeCase, inputs: DecodeInputs, tokens: Tokens) -> float:
    """The format's own error: attention in float64 over the cache as stored, against the tokens as they were.

    Root-mean-square of the difference over root-mean-square of the latter, on the sampled sequences; 0 for `same`.
    """
    taken = sample(case)
    (stored,) = oracle(case, inputs, taken)
    originals = []
    for n in taken.sequences.tolist():
        k, v = (x[n, :, : case.lengths[n]].double() for x in (tokens.k, tokens.v))
        originals.append(attend(inputs, n, k, v, taken.rows))
    original = torch.stack(originals)
    return root_mean_square(stored - original) / root_mean_square(original)


def key_shifted(
    case: DecodeCase, inputs: DecodeInputs, sample: Sample, expected: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """The key of the token before, for each token."""
    outs = [
        attend(inputs, n, k.double().roll(1, 1), v.double(), sample.rows)
        for n, k, v in each_sequence(case, inputs, sample.sequences)
    ]
    return (torch.stack(outs),)


def one_fewer(
    case: DecodeCase, inputs: DecodeInputs, sample: Sample, expected: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Every sequence read as if its last token were not there yet."""
    shorter = replace(case, context="+".join(str(max(0, length - 1)) for length in case.lengths), shared_prefix=0)
    return oracle(shorter, inputs, sample)


def one_lost(
    case: DecodeCase, inputs: DecodeInputs, sample: Sample, expected: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """All but one token in the middle of what each sequence sees."""
    outs = []
    for out, (n, k, v) in zip(expected[0], each_sequence(case, inputs, sample.sequences), strict=True):
        first, last = case.seen[n]
        lost = (first + last) // 2
        weight = probabilities(inputs, n, k.double(), sample.rows)[..., lost : lost + 1]  # [Hkv, G, Sq, 1]
        rest = (1 - weight).clamp_min(MOST_LOST)
        outs.append((out - as_heads(weight * v.double()[:, None, lost : lost + 1])) / as_heads(rest))
    return (torch.stack(outs),)


def loses(case: DecodeCase) -> bool:
    """Whether each sequence sees two tokens or more."""
    return min(last - first for first, last in case.seen) >= 2


def forgets_nothing(case: DecodeCase) -> bool:
    """In a ring the place of a token that is forgotten holds the newest one: shifted by one, it is the same set."""
    return case.longest > 0 and not case.placing.wraps and (case.mask.kind != "tree" or min(case.lengths) > case.q_len)


PROBES = (
    Probe("zeros", lambda case: case.longest > 0, zeros),
    Probe("one key shifted", has_choice, key_shifted),
    Probe("one token fewer", forgets_nothing, one_fewer),
    Probe("one token lost", loses, one_lost),
    Probe("heads permuted", lambda case: case.longest > 0 and heads_differ(case), heads_permuted),
    *probes_of_variants(oracle),
)
