"""What all processes of one gate are started with, whatever they measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.environments import ArmEnvironment
from attnlab.bench.machine.cgroup import free_memory_bytes
from attnlab.bench.store.machine import Ceilings

MEMORY_SHARE = 0.4  # of what is available now, for each of the two processes
HARNESS_FILE = Path("bench", "gate", "arm_worker.py")


@dataclass(frozen=True)
class Setting:
    """What the processes of one gate share.

    device: its kind. folder: the gate's own, removed at its end. environments: an arm's own, by name; none where both
    run in the gate's.
    """

    repo: Path
    base: Arm
    head: Arm
    device: str
    ceilings: Ceilings
    time_limit_s: float
    folder: Path
    secret: int
    environments: Mapping[str, ArmEnvironment] = field(default_factory=dict)

    @property
    def harness(self) -> Path:
        """The checkout whose harness measures both arms: head's, where the repository is this project itself."""
        own = (self.head.root / HARNESS_FILE).is_file() and (self.repo / HARNESS_FILE).is_file()
        return self.head.root if own else self.repo

    @property
    def memory_limit_bytes(self) -> int | None:
        """Of a process on a CPU."""
        return int(MEMORY_SHARE * free_memory_bytes()) if self.device == "cpu" else None

    def folder_of(self, arm: Arm, name: str = "") -> Path:
        """A folder of an arm's, which its processes share."""
        made = self.folder / f"{name}{arm.name}"
        made.mkdir(exist_ok=True)
        return made
