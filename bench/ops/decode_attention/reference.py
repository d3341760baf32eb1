"""Decoding in plain torch: the float64 oracle over the cache as it is stored, the yardstick, the probes.

The oracle reads the cache back, so that the budget is the kernel's own error; what the format lost before is apart,
in `format_error`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
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


def sample_sequences(case: DecodeCase) -> Tensor:
    """The sequences to compare: all of a small case; else the shortest, the longest, the first and a seeded sample."""
    a_sequence = 2 * case.kv_heads * max(case.longest, 1) * case.head_dim
    wanted = max(8, FULL_CHECK_NUMBERS // a_sequence)
    if wanted >= case.batch:
        return torch.arange(case.batch)
    edges = [
        0,
        case.batch - 1,
        min(range(case.batch), key=case.lengths.__getitem__),
        max(range(case.batch), key=case.lengths.__getitem__),
    ]
    others = torch.randperm(case.batch, generator=torch.Generator().manual_seed(case.batch)).tolist()
    return torch.tensor(sorted(list(dict.fromkeys([*edges, *others]))[:wanted]))


def select_sequences(outputs: tuple[Tensor, ...], sequences: Tensor) -> tuple[Tensor, ...]:
    """The sampled sequences of outputs [B, Hq, Sq, D]."""
    return tuple(out.index_select(0, sequences.to(out.device)) for out in outputs)


def oracle(
    case: DecodeCase, inputs: DecodeInputs, sequences: Tensor, rounding: Rounding = NO_ROUNDING
) -> tuple[Tensor, ...]:
    """Attention in float64 over the keys and values that the cache holds, decoded.

    Where scores are rounded, keys are too, to the dtype in which they are multiplied.
    """
    outs = []
    for n, k, v in each_sequence(case, inputs, sequences):
        k = k if rounding == NO_ROUNDING else k.to(case.torch_dtype)
        outs.append(attend(inputs, inputs.q[n].double(), k.double(), v.double(), rounding))
    return (torch.stack(outs),)


def slack(case: DecodeCase, inputs: DecodeInputs, sequences: Tensor, rounding: Rounding) -> tuple[Tensor, ...]:
    """How far the output moves where scores that lie near a boundary of their rounding fall to its other side."""
    (out,) = oracle(case, inputs, sequences, rounding)
    below, above = (oracle(case, inputs, sequences, replace(rounding, nudge=nudge))[0] for nudge in (-NUDGE, NUDGE))
    return ((out - below).abs() + (out - above).abs(),)


def yardstick(
    case: DecodeCase, inputs: DecodeInputs, sequences: Tensor, rounding: Rounding = NO_ROUNDING
) -> YardstickOutput:
    """What careful code gets: decoded keys and values and the probabilities rounded to the dtype, sums in float32."""
    dtype = case.torch_dtype
    outs, terms = [], []
    for n, k, v in each_sequence(case, inputs, sequences):
        k, v = k.to(dtype).float(), v.to(dtype).float()
        p = probabilities(inputs, inputs.q[n].float(), k, rounding)
        outs.append(as_heads(p.to(dtype).float() @ v[:, None]).to(dtype))
        terms.append(as_heads((p.square() @ v.square()[:, None]).sqrt()))
    return YardstickOutput((torch.stack(outs),), (torch.stack(terms),))


def each_sequence(case: DecodeCase, inputs: DecodeInputs, sequences: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(number, keys, values) of each sequence, [Hkv, S, D] in float32 with S its own length."""
    for n in sequences.tolist():
        k, v = inputs.cache.read(slice(n, n + 1), case.lengths[n])
        yield n, k[0], v[0]


def attend(inputs: DecodeInputs, q: Tensor, k: Tensor, v: Tensor, rounding: Rounding = NO_ROUNDING) -> Tensor:
    """One sequence: q [Hq, Sq, D], k and v [Hkv, S, D] -> [Hq, Sq, D]; mask and variants are those of the inputs."""
    return as_heads(probabilities(inputs, q, k, rounding) @ v[:, None])


def probabilities(inputs: DecodeInputs, q: Tensor, k: Tensor, rounding: Rounding = NO_ROUNDING) -> Tensor:
    """Softmax over the permitted keys, [Hkv, G, Sq, S]; a query that sees none has zeros."""
    q_len, length, dtype = q.shape[1], k.shape[1], inputs.q.dtype
    rows = torch.arange(q_len, device=q.device)
    places = places_of(rows, q_len, length)
    allowed = inputs.mask.sees(places.position, places.key, length)
    grouped = variants.normed(q, inputs.q_norm, q.dtype, dtype).unflatten(0, (k.shape[0], -1))
    scaled = rounding.scores(grouped, k[:, None].mT, inputs.scale, dtype)
    scores, _ = variants.biased(scaled, inputs, places, rows, inputs.mask.is_causal)
    masked = scores.masked_fill(~allowed, float("-inf"))
    return variants.weighed(masked, inputs.sinks).masked_fill(~allowed, 0.0)


def as_heads(x: Tensor) -> Tensor:
    """[Hkv, G, Sq, D] -> [Hq, Sq, D]."""
    return x.flatten(0, 1)


def format_error(case: DecodeCase, inputs: DecodeInputs, tokens: Tokens) -> float:
    """The format's own error: attention in float64 over the cache as stored, against the tokens as they were.

    Root-mean-square of the difference over root-mean-square of the latter, on the sampled sequences; 0 for `same`.
    """
    sequences = sample_sequences(case)
    (stored,) = oracle(case, inputs, sequences)
    originals = []
    for n in sequences.tolist():
        k, v = (x[n, :, : case.lengths[n]].double() for x in (tokens.k, tokens.v))
        originals.append(attend(inputs, inputs.q[n].double(), k, v))
    original = torch.stack(originals)
    return root_mean_square(stored - original) / root_mean_square(original)


def key_shifted(
    case: DecodeCase, inputs: DecodeInputs, sequences: Tensor, expected: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """The key of the token before, for each token."""
    outs = [
        attend(inputs, inputs.q[n].double(), k.double().roll(1, 1), v.double())
        for n, k, v in each_sequence(case, inputs, sequences)
    ]
    return (torch.stack(outs),)


def one_fewer(
    case: DecodeCase, inputs: DecodeInputs, sequences: Tensor, expected: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Every sequence read as if its last token were not there yet."""
    shorter = replace(case, context="+".join(str(max(0, length - 1)) for length in case.lengths), shared_prefix=0)
    return oracle(shorter, inputs, sequences)


def one_lost(
    case: DecodeCase, inputs: DecodeInputs, sequences: Tensor, expected: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """All but one token in the middle of what each sequence sees."""
    outs = []
    for out, (n, k, v) in zip(expected[0], each_sequence(case, inputs, sequences), strict=True):
        first, last = case.seen[n]
        lost = (first + last) // 2
        weight = probabilities(inputs, inputs.q[n].double(), k.double())[..., lost : lost + 1]  # [Hkv, G, Sq, 1]
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
