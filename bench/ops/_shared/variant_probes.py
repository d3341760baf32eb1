"""Wrong results of what models add to attention: each part forgotten, or misplaced, by the oracle itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from attnlab.bench.contract.error_budget import Probe
from attnlab.bench.llm.biases import Bias
from attnlab.bench.llm.masks import Mask
from attnlab.bench.ops._shared.variants import NONE

if TYPE_CHECKING:
    from attnlab.bench.ops._shared.attending import AttendingCase

Oracle = Callable[[Any, Any, Any], tuple[Tensor, ...]]


def has_choice(case: AttendingCase) -> bool:
    """Whether some query may see two keys or more; with one key the softmax is 1 whatever the scores."""
    return max(case.mask.most_keys(q, k) for q, k in case.sequences) >= 2


def heads_differ(case: Any) -> bool:
    """Whether heads in another order give another result."""
    return case.q_heads > 1 and (case.kv_heads > 1 or has_choice(case))


def weighs(case: AttendingCase) -> bool:
    """Whether scores matter: some query has a choice, or sees a key beside a sink."""
    return has_choice(case) or sinks_matter(case)


def sinks_matter(case: AttendingCase) -> bool:
    """Whether there are sinks, and some query sees a key."""
    return case.sinks != NONE and case.pairs > 0


def masks_more(case: AttendingCase) -> bool:
    """Whether the mask is none that all know, and forbids other pairs than a causal one."""
    causal = Mask("causal")
    return not case.mask.is_band and any(case.mask.pairs(q, k) != causal.pairs(q, k) for q, k in case.sequences)


@dataclass(frozen=True)
class WrongVariant:
    """What a kernel may do wrong: on which cases that shows, and the inputs on which the oracle does the same."""

    name: str
    applies: Callable[[Any], bool]
    wrong: Callable[[Any], Any]


WRONG_VARIANTS = (
    WrongVariant(
        "no soft cap",
        lambda case: case.softcap is not None and weighs(case),
        lambda inputs: replace(inputs, softcap=None),
    ),
    WrongVariant(
        "soft cap before the scale",
        lambda case: case.softcap is not None and weighs(case) and case.head_dim > 1,
        lambda inputs: replace(inputs, softcap=inputs.softcap * inputs.scale),
    ),
    WrongVariant("no sinks", sinks_matter, lambda inputs: replace(inputs, sinks=None)),
    WrongVariant(
        "sinks of the next head",
        lambda case: case.sinks == "learned" and case.q_heads > 1 and case.pairs > 0,
        lambda inputs: replace(inputs, sinks=inputs.sinks.roll(1, 0)),
    ),
    WrongVariant(
        "no bias",
        lambda case: bool(case.bias) and weighs(case),
        lambda inputs: replace(inputs, bias=Bias(), bias_table=None),
    ),
    WrongVariant(
        "bias of the next head",
        lambda case: bool(case.bias) and case.q_heads > 1 and weighs(case),
        lambda inputs: replace(inputs, bias_table=inputs.bias_table.roll(1, 0)),
    ),
    WrongVariant(
        "queries not normed",
        lambda case: case.qk_norm != NONE and weighs(case),
        lambda inputs: replace(inputs, q_norm=None),
    ),
    WrongVariant("a causal mask", masks_more, lambda inputs: replace(inputs, mask=Mask("causal"))),
)


def probes_of_variants(oracle: Oracle) -> tuple[Probe[Any, Any], ...]:
    """A probe for each of them, by an operator's oracle, which reads nothing of this from the case."""

    def probe(one: WrongVariant) -> Probe[Any, Any]:
        def outputs(case: Any, inputs: Any, sample: Any, expected: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return oracle(case, one.wrong(inputs), sample)

        return Probe(one.name, one.applies, outputs)

    return tuple(probe(one) for one in WRONG_VARIANTS)
