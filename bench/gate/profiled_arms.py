"""Workers that profile an implementation as one revision has it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.gate import rerooting
from attnlab.bench.gate.arm_process import begin_process
from attnlab.bench.gate.arm_worker import TURNING
from attnlab.bench.gate.building import built
from attnlab.bench.gate.checkouts import WORKTREE, Arm, checked_out
from attnlab.bench.gate.environments import ArmEnvironment, own_packages
from attnlab.bench.measuring.worker_process import Process

WORKER_BOOT = TURNING + "from attnlab.bench.measuring.worker import main; main(int(sys.argv[1]), int(sys.argv[2]))"
FRESH = (
    "import json, runpy, sys; sys.path[:] = json.loads(sys.argv[1]) or sys.path; "
    "runpy.run_path(sys.argv[2])['Rerooting'].of(*json.loads(sys.argv[3])).apply(); exec(sys.argv[4])"
)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class ProfiledArm:
    """One revision: how a worker of it is started on a device, and a fresh Python that finds its modules."""

    arm: Arm
    begin: Callable[[str], Process]
    interpreter: tuple[str, ...]

    @property
    def label(self) -> str:
        """Such as `base main (1a2b3c4d5e)` or `head worktree`."""
        return f"{self.arm.name} {WORKTREE}" if self.arm.asked == WORKTREE else self.arm.label

    def plugins(self, repo: Path, given: tuple[str, ...]) -> tuple[str, ...]:
        """Plugins as this revision has them; a module's name stays."""
        absolute = (str(Path(name).absolute()) if name.endswith(".py") or "/" in name else name for name in given)
        return tuple(self.arm.own_place(repo, name) for name in absolute)


@contextmanager
def profiled_arms(
    repo: Path, base: str, prepare: str | None, isolate: bool, tell: Tell
) -> Iterator[tuple[ProfiledArm, ProfiledArm]]:
    """Base and the working tree, as long as the context; each in an environment of its own where that is asked for.

    Raises UsageError on a revision that does not exist, and GateClosed where one cannot be built.
    """
    with checked_out(repo, base, WORKTREE) as arms, built(*arms, prepare, isolate, tell) as environments:
        before, after = (_profiled(arm, repo, environments.get(arm.name)) for arm in arms)
        yield before, after


def _profiled(arm: Arm, repo: Path, environment: ArmEnvironment | None) -> ProfiledArm:
    def begin(device: str) -> Process:
        return begin_process(WORKER_BOOT, arm, repo, repo, device, environment)

    earlier = [str(root) for root in environment.checkouts if root != arm.root] if environment else []
    places = own_packages(repo, arm, repo) if environment else {}
    turn = json.dumps([str(repo), str(arm.root), str(repo), earlier, places])
    path = json.dumps(None if environment else sys.path)
    executable = environment.executable if environment else sys.executable
    return ProfiledArm(arm, begin, (executable, "-P", "-c", FRESH, path, str(rerooting.__file__), turn))
