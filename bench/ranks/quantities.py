"""What is stored of an operator over ranks, by the names of its series."""

from __future__ import annotations

MESSAGE, BUS = "message", "bus_bytes"
"""Bytes of the larger buffer of a rank, and those that its link has to carry at least: as nccl-tests count them."""


def quantity_of(rank: int) -> str:
    """A rank's own times."""
    return f"latency_rank_{rank}"
