"""How a clock lays calls out: fixed once for all that is to be compared, since a layout planned anew may differ."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """The layout of one benchmark's calls by one clock; JSON values by `store.codec`.

    clock names whose layout it is. copies: sets of inputs that calls rotate through. calls_a_graph: calls that one
    sample is the mean of. flush: whether the L2 is emptied before each span. note: what has to be said of it.
    """

    clock: str
    copies: int
    calls_a_graph: int
    flush: bool
    note: str | None = None
