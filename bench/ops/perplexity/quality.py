"""What a case's weights and cache do to a model's predictions, whoever computes: the facts of a case.

Worked out in float32 by the plain decoder on the dequantised weights, against the model in float32 with nothing
quantised, over the same windows from the beginning of the text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import Fact
from attnlab.bench.llm.generation.stored import SAME, rounding
from attnlab.bench.llm.quality.divergence import Divergences, divergences, no_divergence
from attnlab.bench.llm.quality.scoring import Scored, hidden_states, reading_of, scores, scores_to_keep
from attnlab.bench.llm.quality.texts import windows_of
from attnlab.bench.ops.generate.contract import weights_of
from attnlab.bench.ops.generate.cost import pass_bytes

if TYPE_CHECKING:
    from attnlab.bench.llm.models.weights import ModelWeights
    from attnlab.bench.ops.perplexity.case import PerplexityCase

Ids = Callable[["PerplexityCase"], Tensor]


@dataclass(frozen=True, eq=False)
class Baseline:
    """The model with nothing quantised, in float32, over some windows: ids [n, W], and what its last layer gives.

    kept: what it predicts, None where that is too large to be held.
    """

    weights: ModelWeights
    ids: Tensor
    hidden: Tensor
    kept: tuple[Scored, ...] | None

    def scores(self, scored: int) -> Iterable[Scored]:
        """The last `scored` tokens of each window."""
        return scores(self.weights, self.hidden, self.ids, scored) if self.kept is None else self.kept


def windows_in(case: PerplexityCase, ids: Tensor) -> Tensor:
    """Those that figures are of, [n, W]."""
    return windows_of(ids, case.window, case.stride, case.windows)


@lru_cache(maxsize=2)
def _baseline(
    model: str, text: str, window: int, stride: int, windows: int, device: torch.device, ids: Ids
) -> Baseline:
    """Worked out once a process for all cases of one text."""
    from attnlab.bench.ops.perplexity.case import PerplexityCase

    case = PerplexityCase(model=model, text=text, window=window, stride=stride, windows=windows)
    read = windows_in(case, ids(case))
    weights = weights_of(model, torch.float32, device)
    hidden = hidden_states(weights, read)
    return Baseline(weights, read, hidden, scores_to_keep(weights, hidden, read, case.scored))


def quality_of(case: PerplexityCase, device: torch.device, ids: Ids) -> Divergences:
    """How far the case's predictions are from those of the model with nothing quantised, in float32."""
    base = _baseline(case.model, case.text, case.window, case.stride, case.windows, device, ids)
    of_base = base.scores(case.scored)
    if (case.weights, case.cache, case.dtype) == (SAME, SAME, "float32"):
        return no_divergence(torch.cat([some.right for some in of_base]).cpu().view(len(base.ids), -1))
    weights, rounded = weights_of(case.model, case.torch_dtype, device, case.weights), rounding(case.weights)
    hidden = hidden_states(weights, base.ids, rounded=rounded, reading=reading_of(case.format))
    return divergences(of_base, scores(weights, hidden, base.ids, case.scored, rounded), len(base.ids))


def facts(case: PerplexityCase, device: torch.device, ids: Ids) -> tuple[Fact, ...]:
    """Figures of quality, and what the weights and the cache take."""
    return (*figures(quality_of(case, device, ids)), *sizes(case))


def figures(found: Divergences) -> Iterator[Fact]:
    """An interval that cannot be had of a single block is left out."""
    difference, low, high = found.perplexity_difference
    yield Fact("ppl", "tokens", "lower", found.perplexity)
    yield Fact("ppl_difference", "tokens", "lower", difference)
    if math.isfinite(low):
        yield Fact("ppl_difference_low", "tokens", "lower", low)
        yield Fact("ppl_difference_high", "tokens", "lower", high)
    yield Fact("kl_mean", "nat", "lower", found.kl_mean)
    yield Fact("kl_p99", "nat", "lower", found.kl_quantile(0.99))
    yield Fact("kl_p999", "nat", "lower", found.kl_quantile(0.999))
    yield Fact("same_top", "share", "higher", found.same_top)
    yield Fact("rms_probability_change", "share", "lower", found.rms_probability_change)


def sizes(case: PerplexityCase) -> Iterator[Fact]:
    """Bytes of the weights that a pass reads, all told, and bits for each number of a cache."""
    read = pass_bytes(case.config, case.torch_dtype, case.weights)
    numbers = pass_bytes(case.config, torch.float32) / torch.float32.itemsize
    yield Fact("weight_bytes", "B", "lower", float(read))
    yield Fact("weight_bits", "bit", "lower", 8 * read / numbers)
    yield Fact("cache_bits", "bit", "lower", case.format.bits_a_value(case.config.head_dim, case.torch_dtype))
