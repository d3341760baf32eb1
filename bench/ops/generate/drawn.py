"""The check of sampled answers: many short ones, held to the exact distribution, and to independence of each other.

Each figure is a bound of chance in nats, over what is allowed: the chance of so large a deviation is at most e to the
minus it, whatever the distributions, by the inequalities of Chernoff and Hoeffding (1963), Bernstein, and Azuma
(1967). Each place is judged given all before it, so that sums over places are martingales.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.ops.generate.laws import Laws, Places
from attnlab.bench.store.deviations import Deviation

if TYPE_CHECKING:
    from attnlab.bench.llm.sampling_params import SamplingParams

FALSE_ALARMS = 1e-4  # of a check, at most
MOST_AT_ONCE = 2**22  # probabilities that are held together
FAMILIES = 4  # of tests, with an equal share each
ORDERS = ("by_rank", "by_id")
LEVELS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995)
MOST_REFUSED = 0.5  # less than one token
MARGIN = 2.0  # as of other noise
LEAST_BEYOND = 2.0  # tokens within the noise that are let through beyond the truncation


@dataclass(frozen=True)
class Noise:
    """How far an honest engine's logits may be off.

    typical: root mean square. largest: of two logits. beyond: the mass of kept tokens so near to the truncation that
    typical noise may leave them out, about as large as that of others which it lets in. drift, scatter: mean and root
    mean square, over places, of what the noise does to the mean of the scores.
    """

    typical: float
    largest: float
    beyond: float
    drift: float
    scatter: float


@dataclass(frozen=True)
class DrawSample:
    """tokens: int64 [C, R, N], of calls, rows and places. places: of each, flat. chances: float64 [C R, N, C R], the
    probability that each place gave to the tokens of all rows at that place; earlier: [C R, N, N], to the tokens of its
    own row. beyond, refused: bool, flat, see `Laws.outside`."""

    tokens: Tensor
    places: Places
    chances: Tensor
    earlier: Tensor
    beyond: Tensor
    refused: Tensor


def sample_of(tokens: Tensor, vocab: int, laws: Callable[[slice], Laws], noise: Noise) -> DrawSample:
    """laws(rows) gives the distributions of some of the C R rows, [rows · N, V]."""
    calls, rows, new = tokens.shape
    rows_at_once = max(1, MOST_AT_ONCE // (new * vocab))
    flat = tokens.reshape(calls * rows, new)
    parts, chances, earlier, outside = [], [], [], []
    for start in range(0, len(flat), rows_at_once):
        some = slice(start, start + rows_at_once)
        law, own = laws(some), flat[some]
        parts.append(law.places(own.reshape(-1)))
        p = law.probabilities.view(len(own), new, -1)
        chances.append(p.gather(-1, flat.T[None].expand(len(own), -1, -1)))
        earlier.append(p.gather(-1, own[:, None].expand(-1, new, -1)))
        outside.append(law.outside(own.reshape(-1), noise.largest))
    beyond, refused = (torch.cat([one[n] for one in outside]) for n in range(2))
    return DrawSample(tokens, Places.joined(parts), torch.cat(chances), torch.cat(earlier), beyond, refused)


def deviations(sample: DrawSample, noise: Noise) -> list[Deviation]:
    """Of truncation, distribution and independence."""
    refused = float(sample.refused.sum())
    found = [Deviation("tokens beyond the truncation and the noise", refused, MOST_REFUSED)]
    edge = sample.beyond & ~sample.refused
    inside = sample.places.of(~sample.beyond)
    families = (
        ("near the truncation", [_bounded(edge.double(), noise.beyond, LEAST_BEYOND / max(1, len(edge)))[:1]]),
        ("log-likelihood", [_likelihood(inside, noise)]),
        ("against the distribution", list(_uniform(inside, noise))),
        ("dependence of places, rows and calls", list(_dependence(sample, noise))),
    )
    for name, tests in families:
        surprises = [value for test in tests for value in test]
        most = max(surprises, default=0.0)
        allowed = math.log(max(1, len(surprises)) * FAMILIES / FALSE_ALARMS)
        found.append(Deviation(f"chance of {name}", most, allowed, "nats"))
    return found


def _uniform(places: Places, noise: Noise) -> Iterator[tuple[float, ...]]:
    count = len(places.mass)
    if not count:
        return
    for order in ORDERS:
        for level in LEVELS:
            mean = 1 - level
            spread = math.sqrt(mean * level)
            slack = noise.typical * spread * (3 / math.sqrt(count) + noise.typical)
            slack += noise.beyond if order == "by_rank" else 0.0
            yield _bounded(places.above(order, level), mean, slack)
    last = places.mass <= places.last * (1 + 1e-9)
    yield _bounded(last.double(), float(places.last.mean()), noise.beyond)


def _likelihood(places: Places, noise: Noise) -> tuple[float, float]:
    """Of the sum of scores: what a temperature, or a truncation left out, moves most."""
    count = len(places.mass)
    if not count:
        return 0.0, 0.0
    slack = MARGIN * (count * noise.drift + 3 * math.sqrt(count) * noise.scatter)
    return _bernstein(float(places.score.sum()), slack, float(places.variance.sum()), float(places.bound.max()))


def _bounded(values: Tensor, mean: float, slack: float) -> tuple[float, float]:
    """Surprise that values in [0, 1] with this mean, or one within `slack` of it, are so large, and so small."""
    count, found = len(values), float(values.mean()) if len(values) else mean
    above = count * _divergence(found, min(1.0, mean + slack)) if found > mean + slack else 0.0
    below = count * _divergence(found, max(0.0, mean - slack)) if found < mean - slack else 0.0
    return above, below


def _divergence(a: float, b: float) -> float:
    """Kullback and Leibler's of two coins."""
    terms = ((a, b), (1 - a, 1 - b))
    return sum(x * math.log(x / max(y, 1e-12)) for x, y in terms if x > 0)


def _bernstein(off: float, slack: float, variance: float, bound: float) -> tuple[float, float]:
    def surprise(value: float) -> float:
        return value * value / (2 * (variance + bound * value / 3)) if value > 0 else 0.0

    return surprise(off - slack), surprise(-off - slack)


def _dependence(sample: DrawSample, noise: Noise) -> Iterator[tuple[float, ...]]:
    calls, rows, new = sample.tokens.shape
    kept = ~sample.beyond
    for order in ORDERS:
        middles = (sample.places.middles(order) * kept).view(calls, rows, new)
        for lag in range(1, new):
            yield _azuma(middles[:, :, lag:], middles[:, :, :-lag])
            yield from _askew(middles[:, :, lag:], middles[:, :, :-lag])
        for place in range(new):
            for before in range(place):
                yield _azuma(middles[:, :, place], middles[:, :, before])
        for lag in range(1, rows):
            yield _azuma(middles[:, lag:], middles[:, :-lag])
        for lag in range(1, calls):
            yield _azuma(middles[lag:], middles[:-lag])
    flat = sample.tokens.reshape(calls * rows, new)
    chances = sample.chances.transpose(0, 1)  # [N, C R, C R]
    yield _repeated(flat.T, chances, noise)
    of_a_row = chances.view(new, calls, rows, calls, rows).diagonal(dim1=2, dim2=4)  # [N, C, C, R]
    yield _repeated(sample.tokens.permute(2, 1, 0).flatten(0, 1), of_a_row.permute(0, 3, 1, 2).flatten(0, 1), noise)
    yield _repeated(flat, sample.earlier, noise)


def _askew(later: Tensor, before: Tensor) -> Iterator[tuple[float, ...]]:
    """Later places [C, R, n] against earlier ones of the next row or call, as numbers counted from a sum have them."""
    for dim in range(2):
        length = later.shape[dim] - 1
        if length:
            yield _azuma(later.narrow(dim, 0, length), before.narrow(dim, 1, length))
            yield _azuma(later.narrow(dim, 1, length), before.narrow(dim, 0, length))


def _azuma(later: Tensor, before: Tensor) -> tuple[float, float]:
    """Surprise of the sum of products of middles, each of mean 0 given the other, as large and as small as it is."""
    off, scale = float((later * before).sum()), float(before.square().sum())
    surprise = 2 * off * off / scale if scale > 0 else 0.0
    return (surprise, 0.0) if off > 0 else (0.0, surprise)


def _repeated(tokens: Tensor, chances: Tensor, noise: Noise) -> tuple[float, float]:
    """Surprise that places have the tokens of those before them so often: tokens [G, S], chances [G, S, S]."""
    same = (tokens[:, :, None] == tokens[:, None, :]).double()
    chances = chances.tril(-1)
    expected = chances.sum(-1)  # [G, S]
    before = (same.cumsum(1) - same).tril(-1)  # how often the token of the second was there before the first
    variance = float(((chances * before).sum(-1) - expected.square()).clamp_min(0.0).sum())
    off = float(same.tril(-1).sum() - expected.sum())
    slack = float(expected.sum()) * (noise.typical**2 + noise.beyond) + 3 * noise.typical * math.sqrt(variance)
    return _bernstein(off, slack, variance, float(before.max()) if before.numel() else 0.0)


def wrong_samples(laws: Laws, shape: tuple[int, int, int], generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    """Draws [C, R, N] of wrong samplers, by the fault's name; laws of [R · N, V] places, the same in every call."""
    calls, rows, new = shape
    fresh = torch.rand(shape, generator=generator, dtype=torch.float64)

    def drawn(uniforms: Tensor, by: Laws = laws) -> Tensor:
        return torch.stack([by.drawn(call.reshape(-1)).view(rows, new) for call in uniforms])

    yield "never anything but the likeliest token", drawn(fresh, _other(laws, replace(laws.params, top_k=1)))
    yield "one number for all places", drawn(fresh[:, :, :1].expand(shape).contiguous())
    if rows > 1:
        yield "one number for all rows", drawn(fresh[:, :1].expand(shape).contiguous())
    if calls > 1:
        yield "the same numbers in every call", drawn(fresh[:1].expand(shape).contiguous())
    for name, params in other_params(laws.params):
        yield name, drawn(fresh, _other(laws, params))
    p = laws.params
    if p.top_p < 1 and p.temperature != 1:
        early = truncated_before(laws)
        yield "top-p before the temperature", drawn(fresh, early)


def other_params(p: SamplingParams) -> Iterator[tuple[str, SamplingParams]]:
    yield "temperature 10 % low", replace(p, temperature=0.9 * p.temperature)
    yield "temperature 20 % high", replace(p, temperature=1.2 * p.temperature)
    if p.top_p < 1:
        yield "top-p ignored", replace(p, top_p=1.0)
    if p.min_p > 0:
        yield "min-p ignored", replace(p, min_p=0.0)
    if p.top_k is not None:
        yield "one token too many in top-k", replace(p, top_k=p.top_k + 1)
        if p.top_k > 1:
            yield "one token too few in top-k", replace(p, top_k=p.top_k - 1)


def _other(laws: Laws, params: SamplingParams) -> Laws:
    return Laws.of(laws.logits, replace(params, repetition_penalty=1.0), None)


def truncated_before(laws: Laws) -> Laws:
    """The same, but that tokens are cut off before the temperature."""
    kept = _other(laws, replace(laws.params, temperature=1.0)).probabilities > 0
    cut = laws.logits.masked_fill(~kept, -math.inf)
    return Laws.of(cut, replace(laws.params, top_p=1.0, min_p=0.0, top_k=None, repetition_penalty=1.0), None)


def blunt_probes(laws: Laws, shape: tuple[int, int, int], noise: Noise, seed: int) -> tuple[list[str], list[str]]:
    """Wrong samplers that were tried, and those that got through."""
    tried, through = [], []
    per_row = shape[2]

    @cache
    def of_places(first: int, count: int) -> Laws:
        index = torch.arange(first * per_row, (first + count) * per_row) % len(laws.logits)
        return Laws(laws.probabilities[index], laws.logits[index], laws.params)

    def of(rows: slice) -> Laws:
        """Every call has the same places."""
        there = range(shape[0] * shape[1])[rows]
        return of_places(there.start % shape[1], len(there))

    for name, tokens in wrong_samples(laws, shape, torch.Generator().manual_seed(seed)):
        tried.append(name)
        if all(one.within for one in deviations(sample_of(tokens, laws.probabilities.shape[1], of, noise), noise)):
            through.append(name)
    return tried, through
