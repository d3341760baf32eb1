"""How a clock lays calls out: fixed once for all that is to be compared, since a layout planned anew may differ."""

from __future__ import annotations

from attnlab.bench.store.record import record


@record
class Plan:
    """The layout of one benchmark's calls by one clock; JSON values by `store.codec`.

    clock and cache name the method whose layout it is. copies: sets of inputs that calls rotate through.
    calls_a_graph: calls that one sample is the mean of. copies_a_graph: sets of inputs within one graph, 1 or all.
    sloped: whether the constant part of a span is found from the calls' own graphs. note: what has to be said of it.
    """

    clock: str
    cache: str
    copies: int
    calls_a_graph: int = 1
    copies_a_graph: int = 1
    sloped: bool = False
    note: str | None = None
