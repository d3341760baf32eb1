"""Where benchmarks come from. A gate's session does not know what kind of benchmark a source has."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from attnlab.bench.gate.arm_process import ArmProcess
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.messages import Offers
from attnlab.bench.gate.setting import Setting


class Processes(Protocol):
    """Starts processes of both arms, which offer benchmarks of one source and measure them."""

    def start(self, arm: Arm) -> ArmProcess:
        """A process of an arm, which need not be ready yet. Raises WorkerEnded."""
        ...

    def survey(self, base: Offers, head: Offers) -> None:
        """Both arms were asked what they have; raises SuiteError where nothing can come of that."""
        ...


class Source(Protocol):
    """Benchmarks of one kind, as they were asked for.

    label: for reports. stem: for the name of a gate's folder. plugins: modules and files with implementations.
    """

    @property
    def label(self) -> str: ...

    @property
    def stem(self) -> str: ...

    @property
    def plugins(self) -> tuple[str, ...]: ...

    def placed(self, repo: Path, arms: Sequence[Arm]) -> Source:
        """The same with absolute paths. Raises UsageError where no arm has what was asked for."""
        ...

    def opened(self, setting: Setting) -> AbstractContextManager[Processes]:
        """Its processes, as long as the gate lasts."""
        ...
