"""`attnlab gate --pytest`: benchmarks of tests, each arm's collected from its own checkout."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from attnlab.bench.errors import SuiteError, UsageError
from attnlab.bench.gate.arm_process import ArmProcess
from attnlab.bench.gate.checkouts import Arm, placed
from attnlab.bench.gate.messages import PROTOCOL, Offers
from attnlab.bench.gate.setting import Setting
from attnlab.bench.pytesting.arms.order import BOOT, FIXTURE, PytestOrder
from attnlab.bench.pytesting.arms.process import PytestProcess


@dataclass(frozen=True)
class PytestSource:
    """tests: files, folders and shell patterns; those within the repository are each arm's own. asked: as given."""

    tests: tuple[str, ...]
    asked: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"tests {' '.join(self.asked or self.tests)}"

    @property
    def stem(self) -> str:
        return "tests"

    def placed(self, repo: Path, arms: Sequence[Arm]) -> PytestSource:
        """Raises UsageError where no arm has a file of that name or pattern.

        A file that lies beside one that was named, uses the fixture, and is on base alone is among them: a shell gives
        the files that head has, and a benchmark does not go by being deleted.
        """
        for test in self.tests:
            if "::" in test:
                raise UsageError(f"--pytest {test}: got the id of a test; expected files, folders or patterns of them")
            pattern = str(placed(Path(test)))
            if not any(_matches(arm.own_place(repo, pattern)) for arm in arms):
                raise UsageError(f"--pytest {test}: no such file in {' or in '.join(arm.label for arm in arms)}")
        named = [str(placed(Path(test))) for test in self.tests]
        return replace(self, tests=tuple(dict.fromkeys([*named, *_gone(named, repo, *arms)])), asked=self.tests)

    def opened(self, setting: Setting) -> AbstractContextManager[PytestProcesses]:
        return nullcontext(PytestProcesses(self, setting))


@dataclass(frozen=True)
class PytestProcesses:
    """Starts pytest in an arm."""

    source: PytestSource
    setting: Setting

    def start(self, arm: Arm) -> ArmProcess:
        setting = self.setting
        files = [found for test in self.source.tests for found in _matches(arm.own_place(setting.repo, test))]
        order = PytestOrder(
            protocol=PROTOCOL,
            files=tuple(dict.fromkeys(files)),
            device=setting.device,
            memory_limit_bytes=setting.memory_limit_bytes,
            folder=str(setting.folder_of(arm)),
            compiled_folder=str(setting.folder_of(arm, "compiled-")),
        )
        return PytestProcess(arm, setting, BOOT, order)

    def survey(self, base: Offers, head: Offers) -> None:
        """Raises SuiteError where no arm has a benchmark, nor a file that cannot be collected."""
        if not (base.found or head.found or base.broken or head.broken):
            notes = [f"; {note}" for note in dict.fromkeys((*base.notes, *head.notes))]
            raise SuiteError(
                f"{self.source.label}: no test of base or head uses the fixture {FIXTURE}{''.join(notes)}; of a folder "
                "pytest collects the files that its python_files fits, test_*.py where that is not set"
            )


def _matches(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True))


def _gone(named: Sequence[str], repo: Path, base: Arm, head: Arm) -> Iterator[str]:
    """Files of base that use the fixture, lie beside one that was named, and are not on head."""
    for folder in dict.fromkeys(Path(file).parent for file in named if file.endswith(".py")):
        for file in sorted(Path(base.own_place(repo, str(folder / "x"))).parent.glob("*.py")):
            there = str(folder / file.name)
            if not Path(head.own_place(repo, there)).exists() and FIXTURE in file.read_text(errors="replace"):
                yield there
