"""How many calls share a CUDA graph, and on which sets of inputs, so that each finds the L2 as it was asked for."""

from __future__ import annotations

import math

from attnlab.bench import units
from attnlab.bench.store.plan import Plan

GRAPHS = "cuda_graph"
GRAPH_NS = 400_000  # of a graph as long, what a span has beyond the calls is under a hundredth
MAX_CALLS = 256  # in one graph, however short a call is
OVERFLOW = 2  # bytes that a rotation touches, over the L2's size, for nothing of a call to be left at its next turn
FITS = 0.5  # of the L2, that a rotation may fill for all of it to stay
TINY_NS = 20_000  # calls as short get more sets of inputs, so that more of them share a graph
MAX_COPIES = 32  # sets of inputs; each is made, prepared and checked
SLOPE_COPIES = 8  # sets of inputs of a tiny call where no affordable number overflows the L2


def lay_out(cache: str, call_ns: float, copies: int, bytes_a_call: int, l2_bytes: int) -> Plan:
    """The layout for calls of about that time, each of which touches `bytes_a_call` of its own (0: not known).

    As many calls share a graph as take `GRAPH_NS`, at most `MAX_CALLS`. With a cold L2 a set of inputs comes a second
    time only where all of them pass twice the L2; else each comes once, after the flush, and is as cold as the first.
    """
    calls = max(1, min(MAX_CALLS, math.ceil(GRAPH_NS / max(call_ns, 1.0))))
    if cache == "hot":
        return _hot(calls, copies, bytes_a_call, l2_bytes)
    if calls == 1:
        return Plan(GRAPHS, cache, copies)
    if copies * bytes_a_call >= OVERFLOW * l2_bytes:
        return Plan(GRAPHS, cache, copies, _whole_rounds(calls, copies), copies)
    if copies == 1:
        note = (
            "with a cold L2 one set of inputs allows one call a graph: its time is that of one span less the null span"
        )
        return Plan(GRAPHS, cache, copies, note=note)
    return Plan(GRAPHS, cache, copies, copies, copies, sloped=copies * call_ns < GRAPH_NS)


def copies_for(cache: str, call_ns: float, bytes_a_call: int, l2_bytes: int) -> int:
    """How many sets of inputs calls of about that time should rotate through: 2, or more where they are tiny."""
    if cache == "hot" or not bytes_a_call or call_ns >= TINY_NS:
        return 2
    overflowing = math.ceil(OVERFLOW * l2_bytes / bytes_a_call)
    return max(2, overflowing) if overflowing <= MAX_COPIES else SLOPE_COPIES


def _hot(calls: int, copies: int, bytes_a_call: int, l2_bytes: int) -> Plan:
    too_large = f"its {units.format_bytes(bytes_a_call)} do not fit into the L2 of {units.format_bytes(l2_bytes)}"
    note = f"not hot: {too_large}, so that each call reads from memory" if bytes_a_call > l2_bytes else None
    if calls > 1 and 0 < copies * bytes_a_call <= FITS * l2_bytes:
        return Plan(GRAPHS, "hot", copies, _whole_rounds(calls, copies), copies, note=note)
    return Plan(GRAPHS, "hot", copies, calls, note=note)


def _whole_rounds(calls: int, copies: int) -> int:
    return math.ceil(calls / copies) * copies
