"""What is stored of an operator over ranks, by the names of its series."""

from __future__ import annotations

MESSAGE, BUS = "message", "bus_bytes"
"""Bytes of the larger buffer of a rank, and those that its link has to carry at least: as nccl-tests count them."""


BUSY = "busy"
"""How long a rank computed in a call, as it tells itself."""

COMMUNICATION, COMPUTATION, ONE_RANK = "communication", "computation", "one_rank"
"""Parts of a call that are timed alone: what ranks send each other, what they compute, and the whole on one rank."""


def quantity_of(rank: int, name: str = "latency") -> str:
    """A rank's own times, or what it tells under another name."""
    return f"{name}_rank_{rank}"
