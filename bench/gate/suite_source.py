"""Benchmarks of a suite: its implementations on its cases, as each arm has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from attnlab.bench.errors import SuiteError, UsageError
from attnlab.bench.gate.arm_process import ArmProcess, begin_process
from attnlab.bench.gate.arm_worker import JUDGE_BOOT
from attnlab.bench.gate.checkouts import Arm, placed
from attnlab.bench.gate.messages import PROTOCOL, ArmOrder, Offers
from attnlab.bench.gate.setting import Setting
from attnlab.bench.gate.suite_process import SuiteProcess
from attnlab.bench.gate.survey import Survey
from attnlab.bench.measuring.judging.client import Judge, search_folders
from attnlab.bench.measuring.judging.process import JudgeOrder
from attnlab.bench.store.codec import encode


@dataclass(frozen=True)
class SuiteSource:
    """suite: a name, or a file's path; one within the repository is each arm's own. asked: as it was given."""

    suite: str
    plugins: tuple[str, ...] = ()
    asked: str = ""

    @property
    def label(self) -> str:
        return self.asked or self.suite

    @property
    def stem(self) -> str:
        return Path(self.suite).stem

    def placed(self, repo: Path, arms: Sequence[Arm]) -> SuiteSource:
        suite = self.suite
        if suite.endswith(".toml"):
            suite = str(placed(Path(suite)))
            if not any(Path(arm.own_place(repo, suite)).is_file() for arm in arms):
                raise UsageError(f"{self.suite}: no such suite file in {' or in '.join(arm.label for arm in arms)}")
        return replace(self, suite=suite, asked=self.suite, plugins=tuple(map(_absolute, self.plugins)))

    @contextmanager
    def opened(self, setting: Setting) -> Iterator[SuiteProcesses]:
        with ExitStack() as end:
            yield SuiteProcesses(self, setting, end)


@dataclass
class SuiteProcesses:
    """Starts what measures a suite, and what judges it: a judge an arm, from the first pair on, kept over all pairs."""

    source: SuiteSource
    setting: Setting
    end: ExitStack
    _known: Survey | None = None
    _judges: dict[str, Judge] = field(default_factory=dict)

    def start(self, arm: Arm) -> ArmProcess:
        setting, known = self.setting, self._known
        order = ArmOrder(
            protocol=PROTOCOL,
            suite=arm.own_place(setting.repo, self.source.suite),
            plugins=self.source.plugins,
            device=setting.device,
            ceilings=dict(encode(setting.ceilings)),
            seed=0,
            secret=setting.secret,
            memory_limit_bytes=setting.memory_limit_bytes,
            shared_folder=str(setting.folder_of(arm)),
            compiled_folder=str(setting.folder_of(arm, "compiled-")),
            modules=known.modules[arm.name] if known else None,
            settings=known.settings if known else None,
        )
        judge = self._judge(arm)
        if known:
            judge.start()
        return SuiteProcess(arm, setting, order, judge, known.contracts[arm.name] if known else {})

    def survey(self, base: Offers, head: Offers) -> None:
        check_known(base, head)
        self._known = Survey.of(base, head)

    def _judge(self, arm: Arm) -> Judge:
        """The arm's judge, which has the arm's contracts."""
        if arm.name not in self._judges:
            setting = self.setting
            plugins = [arm.own_place(setting.repo, plugin) for plugin in self.source.plugins]
            environment = setting.environments.get(arm.name)
            begin = partial(begin_process, JUDGE_BOOT, arm, setting.repo, setting.harness, setting.device, environment)
            judge = self._judges[arm.name] = Judge(JudgeOrder(setting.device, search_folders(plugins)), begin)
            self.end.callback(judge.close)
        return self._judges[arm.name]


def check_known(base: Offers, head: Offers) -> None:
    """Raise SuiteError where no side has a suite, head's cannot be read, or names what nobody has."""
    if head.error is not None and (base.error is not None or not head.absent):
        raise SuiteError(head.error)
    lost = [plugin for plugin in head.missing_plugins if plugin in base.missing_plugins]
    if lost:
        raise SuiteError(f"neither base nor head has the plugin {', '.join(lost)}; see --plugin")
    of_base = {name for o in base.found for name in (o.operator, f"{o.operator}/{o.implementation}")}
    unknown = [name for name in head.unknown if name not in of_base]
    if unknown:
        raise SuiteError(f"{head.suite}: names {', '.join(unknown)}, which neither base nor head has")
    if not head.found and not base.found:
        raise SuiteError(f"{head.suite} names nothing that base or head has; see `attnlab list all`")


def _absolute(plugin: str) -> str:
    return str(placed(Path(plugin).expanduser())) if plugin.endswith(".py") or "/" in plugin else plugin
