"""What runs agents on nodes, as those see it who hand out bundles: Ray, or what stands in for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Answer = tuple[str, Any]
"""A kind of `orders` and its value."""


@dataclass(frozen=True)
class Node:
    """A node that is alive. id: no other ever has it. host: its name. gpus, cpus: all of them, used or not."""

    id: str
    host: str
    cpus: int
    gpus: int

    @property
    def name(self) -> str:
        """What it is called where it is told of, and in the keys of its machines."""
        return self.id[:8]

    def __str__(self) -> str:
        return f"{self.host} ({self.name})"


class Job(Protocol):
    """An agent at work."""

    @property
    def node(self) -> Node: ...


J = TypeVar("J", bound=Job)


class Fleet(Protocol[J]):
    """Nodes and their agents."""

    def nodes(self) -> Sequence[Node]:
        """Those that are alive now."""
        ...

    def start(self, node: Node, order: str, gpus: int) -> J:
        """Start an agent on a node, with so many of its GPUs, or with all of its cores where that is none."""
        ...

    def wait(self, jobs: Sequence[J], wait_s: float) -> list[tuple[J, list[Answer]]]:
        """What agents say within so long, in order; the last of each is `done`, `unfit` or `lost`."""
        ...

    def stop(self, job: J) -> None:
        """End an agent; nothing comes of it any more."""
        ...
