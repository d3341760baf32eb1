"""What the process of one arm that measures tests is started with; imports no pytest."""

from __future__ import annotations

from dataclasses import dataclass

from attnlab.bench.gate.arm_worker import TURNING

BOOT = TURNING + "from attnlab.bench.pytesting.arms.worker import main; main(int(sys.argv[1]), int(sys.argv[2]), turn)"
FIXTURE = "attnlab_bench"


@dataclass(frozen=True)
class PytestOrder:
    """files: the arm's own. folder: for what pytest writes. compiled_folder: as in `ArmOrder`."""

    protocol: int
    files: tuple[str, ...]
    device: str
    memory_limit_bytes: int | None
    folder: str
    compiled_folder: str
