"""Whether draws are independent: how often two of them agree, against how often they should.

Two draws agree with probability Σ p q. Pairs that share no draw are independent, and for their number of agreements
Chernoff's bound in the form of Kullback and Leibler holds, P <= exp(-n KL(share, mean probability)), whatever their
probabilities are each. Of all draws from equal rows, the i-th repeats an earlier one with probability of at most
i · max p, to which the same bound applies. So nothing here is a limit's: it holds for any number of draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor


def surprise(tokens: Tensor, sure: Tensor, probabilities: Tensor) -> float:
    """The largest of all: tokens int64 [B, N], those that count, and what each row follows, [B, V].

    Pairs are of draws 1, 2, 3, 4, 8, … and N/2 apart in a row, and of rows so far apart in a column.
    """
    found = [0.0]
    own = probabilities.double().square().sum(-1)
    for one, other in _pairs(tokens.shape[1]):
        counted = sure[:, one] & sure[:, other]
        agree = ((tokens[:, one] == tokens[:, other]) & counted).sum()
        found.append(improbability(float(agree), counted.sum(-1).double(), own))
    for one, other in _pairs(len(tokens)):
        both = (probabilities[one].double() * probabilities[other].double()).sum(-1)
        counted = sure[one] & sure[other]
        agree = ((tokens[one] == tokens[other]) & counted).sum()
        found.append(improbability(float(agree), counted.sum(-1).double(), both))
    found.append(_repeats(tokens, sure, probabilities))
    return max(found)


def improbability(agree: float, pairs: Tensor, chance: Tensor) -> float:
    """n KL(agree / n, mean chance), of `pairs` [B] pairs with a `chance` [B] each to agree."""
    total = float(pairs.sum())
    if not total:
        return 0.0
    mean = float((pairs * chance).sum()) / total
    return total * _divergence(agree / total, min(1.0, mean * (1 + ROUNDING) + ROUNDING))


ROUNDING = 1e-6  # of probabilities in float32


def _divergence(share: float, mean: float) -> float:
    """Kullback and Leibler's, of two coins."""
    terms = ((share, mean), (1 - share, 1 - mean))
    return sum(a * math.log(a / b) if b > 0 else math.inf for a, b in terms if a > 1e-15)


def _pairs(length: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Indices of pairs that share none, by how far they are apart."""
    place = torch.arange(length)
    apart = {3, length // 2, *(1 << power for power in range(length.bit_length()))}
    for distance in sorted(d for d in apart if 0 < d < length):
        first = place[(place // distance % 2 == 0) & (place + distance < length)]
        yield first, first + distance


def _repeats(tokens: Tensor, sure: Tensor, probabilities: Tensor) -> float:
    """Of all draws of rows that are like the first one: more than there should be that are of a token drawn before."""
    alike = (probabilities == probabilities[:1]).all(-1)
    drawn = tokens[alike][sure[alike]]
    count = len(drawn)
    if count < 2:
        return 0.0
    repeats = count - len(drawn.unique())
    most = float((torch.arange(count).double() * float(probabilities[0].max())).clamp_max(1.0).mean())
    share = repeats / count
    return count * _divergence(share, most) if share > most else 0.0
