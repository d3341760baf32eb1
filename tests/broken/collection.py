"""How a broken implementation is declared, and on which cases it can be told apart at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from attnlab.bench.contract.registry import Implementation, Registry, implements
from attnlab.bench.ops.attention.case import AttentionCase, AttentionInputs
from attnlab.bench.ops.attention.contract import cumulative_lengths
from attnlab.bench.store.records import Outcome

from .honest import Attention

T = TypeVar("T", bound=type)
Applies = Callable[[Any], bool]

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Defect:
    """A broken implementation, the cases on which it differs, and what its rejection is called."""

    implementation: Implementation
    applies: Applies
    outcome: Callable[[Any], Outcome]

    @property
    def name(self) -> str:
        return self.implementation.name


class Collection:
    """Defects of one operator, in a registry that nothing else sees."""

    def __init__(self, operator: str) -> None:
        self.operator = operator
        self._registry = Registry()
        self._defects: list[Defect] = []

    def __iter__(self) -> Iterator[Defect]:
        return iter(self._defects)

    def __len__(self) -> int:
        return len(self._defects)

    def broken(
        self, applies: Applies, outcome: Outcome | Callable[[Any], Outcome] = Outcome.WRONG_VALUES
    ) -> Callable[[T], T]:
        """Class decorator; the class's name is the defect's."""

        def add(target: T) -> T:
            implements(self.operator, name=target.__name__, into=self._registry)(target)
            made = self._registry.all_implementations()[-1]
            self._defects.append(Defect(made, applies, outcome if callable(outcome) else lambda case: outcome))
            return target

        return add

    def broken_pairs(self, target: T) -> T:
        """`broken`, for a class that lets through other (query, key) pairs: it applies where any differs."""
        return self.broken(lambda case: not torch.equal(pairs(target(), case), pairs(Attention(), case)))(target)


def pairs(attention: Attention, case: AttentionCase) -> Tensor:
    """The (query, key) pairs [Sq, Sk] that an implementation permits on a case."""
    queries, keys = torch.empty(1, 1, case.q_len, 1), torch.empty(1, 1, case.kv_len, 1)
    packed = cumulative_lengths(case.packed, CPU)
    return attention.permitted(AttentionInputs(queries, keys, keys, case.mask, packed, case.scale))


def always(case: AttentionCase) -> bool:
    return True


def longest(case: AttentionCase) -> int:
    """The most keys that any query may see."""
    length = max(kv_len for _, kv_len in case.sequences)
    return min(length, case.mask.window or length)


def chooses(case: AttentionCase) -> bool:
    """Some query sees two keys or more, so that the scores matter."""
    return longest(case) >= 2


def forbids(case: AttentionCase) -> bool:
    """Some pair is forbidden."""
    return not bool(pairs(Attention(), case).all())


def shares_keys(case: AttentionCase) -> bool:
    """Grouped queries with more than one key-value head: division and modulo differ."""
    return 1 < case.kv_heads < case.q_heads


ATTENTION_DEFECTS = Collection("attention")
BACKWARD_DEFECTS = Collection("attention_backward")
