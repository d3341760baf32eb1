"""What `attnlab list` tells of one thing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ListEntry:
    """One line of the list; reason says why it cannot be used here, or None."""

    kind: str
    name: str
    summary: str
    reason: str | None = None
    note: str | None = None
