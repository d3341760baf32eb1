"""Repositories to gate, and arms that need no process."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.contract.contents import Content
from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.gate.allowances import Allowances
from attnlab.bench.gate.ask import Ask
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.messages import Offer, Offers, Opening, SuiteSettings, TimingMethod
from attnlab.bench.gate.pairs_file import PairsFile
from attnlab.bench.gate.session import Session
from attnlab.bench.gate.setting import Setting
from attnlab.bench.gate.suite_source import check_known
from attnlab.bench.gate.survey import Survey
from attnlab.bench.gate.thresholds import Thresholds
from attnlab.bench.llm.generation.events import CallLog, series_of
from attnlab.bench.measuring.judging.verdicts import TIMED, Findings, Question, Ruling
from attnlab.bench.measuring.settlement import Grounds, settle
from attnlab.bench.measuring.stopping import STOPPED_BY_ROUNDS
from attnlab.bench.measuring.timing import WarmUp
from attnlab.bench.measuring.worker_process import WorkerEnded
from attnlab.bench.stats.sequential import Looks
from attnlab.bench.stats.verdict import Rule
from attnlab.bench.store.machine import Ceilings, Device, Environment
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import (
    Burst,
    CheckRecord,
    Deviation,
    DeviceState,
    Launch,
    Measurement,
    Outcome,
    Series,
    SetDeviations,
    TimingRecord,
)

WALL = TimingMethod("wall", "warm")
ENVIRONMENT = Environment(
    device=Device("cpu", "a processor"),
    processor="a processor",
    cores=2,
    affinity=(0, 1),
    threads=2,
    memory_bytes=1 << 34,
    system="Linux",
    python="3.11",
    packages={"torch": "2.13"},
    governor=None,
    load_average=0.1,
    variables={},
    revision=None,
    dirty=None,
)
CEILINGS = Ceilings("a processor", 2, 1e10, {}, None, 0.0)


@dataclass
class Kernel:
    """How one benchmark behaves on one arm."""

    ns: float = 1e6
    outcome: Outcome = Outcome.PASSED
    reason: str | None = None
    untimed: str | None = None
    configuration: str | None = None
    methods: tuple[TimingMethod, ...] = (WALL,)
    inputs: tuple[str, ...] = ("x float32 [8]",)
    contents: tuple[str, ...] = ("redrawn 1a2b3c",)
    allowed: float = 1.0  # the error that its contract allows
    gone_in: tuple[int, ...] = ()  # pairs, counted from 1, in which it says that it is unavailable
    strays: tuple[str, ...] = ()
    by_pair: tuple[float, ...] = (1.0,)  # factors of its time, in turn
    dies_in: tuple[int, ...] = ()  # pairs, counted from 1, in which its process ends
    dies_timed_in: tuple[int, ...] = ()  # the same, once it was checked
    wrong_when_timed: bool = False
    parts: dict[str, float] = field(default_factory=dict)
    throttle: tuple[str, ...] | None = None
    rare: float = 1.0  # times as long as the others, one call in 20
    setup_ns: float | None = None
    first_call_ns: float | None = None
    peak_bytes: float | None = None
    error: float | None = None  # share of its budget
    bytes_moved: int | None = None
    log: Callable[[], CallLog] | None = None  # of each call of a generation
    axes: dict[str, str] = field(default_factory=dict)  # of its case, beside the usual ones
    notes: tuple[str, ...] = ()
    plans: Callable[[Plan | None], tuple[TimingMethod, ...]] | None = None
    after_burst: Callable[[], None] = lambda: None


@dataclass
class ArmScript:
    """What an arm has, and how it behaves."""

    kernels: dict[str, Kernel] = field(default_factory=lambda: {"quick": Kernel()})
    found: list[Offer] | None = None
    unknown: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    missing_plugins: tuple[str, ...] = ()
    error: str | None = None
    broken: str | None = None

    suite: tuple[str, ...] | None = None  # the kernels that its own suite names; all where None
    absent: bool = False
    settings: SuiteSettings = field(default_factory=SuiteSettings)
    torn: dict[str, str] = field(default_factory=dict)  # files of tests

    def offers(self, wanted: Sequence[Offer]) -> Offers:
        found = self.found if self.found is not None else [offer(name) for name in self.kernels]
        own = [o for o in found if self.suite is None or o.implementation in self.suite]
        asked = {w.key for w in wanted}
        besides = [replace(o, listed=False) for o in found if o not in own and o.key in asked]
        return Offers(
            "s.toml",
            (*own, *besides),
            self.unknown,
            self.strays,
            self.missing_plugins,
            self.error,
            self.absent,
            self.settings,
            self.torn,
        )


def offer(name: str, reason: str | None = None, source: str | None = "kernels.py") -> Offer:
    return Offer("toy", name, "N8", "kernels", source, "abc", reason)


def accepted() -> Findings:
    """Those of a timed call whose output is right."""
    findings, question = Findings(), Question(TIMED, NORMAL_DRAW, Content(0, 0), 1, ())
    findings.add(question, Ruling((SetDeviations(TIMED, ()),)))
    return findings


class FakeArm:
    """Stands in for the process of an arm: times by script, a slight and regular wiggle, no process."""

    def __init__(self, script: ArmScript, pair: int, number: int) -> None:
        self._script, self._pair, self.number = script, pair, number
        self._wiggle = itertools.cycle((1.0, 1.004, 0.997, 1.002, 0.999))
        self._skew = (1.0, 1.003, 0.998, 1.001, 0.9985, 1.0025, 0.997)[number % 7]
        self.closed = self.stands_still = False
        self.all: list[FakeArm] = []
        self.alone: list[bool] = []  # of each burst, whether the other arm stood still
        self.checked: bool | None = None
        self.plan: Plan | None = None
        self.followed: list[str | None] = []
        self.ceilings = lambda: CEILINGS
        self._bursts: list[Burst] = []

    def wait_until_ready(self) -> None:
        if self._script.broken:
            raise WorkerEnded(Outcome.FAILED, self._script.broken, "its traceback")

    def offers(self, wanted: Sequence[Offer] = ()) -> Offers:
        return self._script.offers(wanted)

    def begin_open(self, offer: Offer, check: bool, plan: Plan | None = None, following: str | None = None) -> None:
        self._kernel = self._script.kernels[offer.implementation]
        self.followed.append(following)
        self._offer, self.checked, self.plan, self._calls, self._bursts = offer, check, plan, 0, []

    def opening(self) -> Opening:
        if self._pair in self._kernel.dies_in:
            raise WorkerEnded(Outcome.FAILED, "the process was killed by SIGKILL in phase 'timing'", None)
        methods = self._kernel.plans(self.plan) if self._kernel.plans else self._kernel.methods
        outcome = Outcome.UNAVAILABLE if self._pair in self._kernel.gone_in else self._kernel.outcome
        timed = outcome is Outcome.PASSED and not self._kernel.untimed
        return Opening(
            self._measurement(outcome),
            methods if timed else (),
            (),
            self._kernel.strays,
            self._kernel.inputs,
            self._kernel.contents,
        )

    def warm(self, method: TimingMethod) -> WarmUp:
        self._method = method
        return WarmUp(10, 10 * self._kernel.ns, True, self._kernel.ns)

    @contextmanager
    def paused(self) -> Iterator[None]:
        assert not self.stands_still
        self.stands_still = True
        yield
        self.stands_still = False

    def burst(self, count: int) -> Burst:
        assert not self.stands_still
        self.alone.append(all(arm.stands_still for arm in self.all if not (arm is self or arm.closed)))
        self._kernel.after_burst()
        if self._pair in self._kernel.dies_timed_in:
            raise WorkerEnded(Outcome.FAILED, "the process was killed by SIGKILL in phase 'timing'", None)
        state = None if self._kernel.throttle is None else DeviceState(throttle=self._kernel.throttle)
        values = tuple(self._call_ns() for _ in range(count))
        log = series_of(self._kernel.log()) if self._kernel.log else ()
        self._bursts.append(Burst(0.0, (Series("latency", "ns", self._method.clock, "lower", values), *log), state))
        return self._bursts[-1]

    def _call_ns(self) -> float:
        self._calls += 1
        rare = self._kernel.rare if self._calls % 20 == 0 else 1.0
        turn = self._kernel.by_pair[self._pair % len(self._kernel.by_pair)]
        return self._kernel.ns * turn * rare * self._skew * next(self._wiggle)

    def close_case(self) -> Measurement:
        """Settled as an arm's is, with outputs that the judge accepted."""
        if self._kernel.wrong_when_timed:
            return self._measurement(Outcome.WRONG_VALUES)
        timing = TimingRecord(
            self._method.clock, self._method.cache, 2, 10, 1.0, True, 0, STOPPED_BY_ROUNDS, self._method.calls_a_sample
        )
        once = {"setup": self._kernel.setup_ns, "first_call": self._kernel.first_call_ns}
        beside = [Series(name, "ns", "wall", "lower", (value,)) for name, value in once.items() if value is not None]
        if self._kernel.peak_bytes is not None:
            beside.append(Series("peak_memory", "B", None, "lower", (self._kernel.peak_bytes,)))
        blank = self._measurement(self._kernel.outcome)
        launch = Launch(self.number, (*self._bursts, Burst(0.0, tuple(beside))))
        claim = replace(blank, timing=timing, launches=(launch,), flags=self._kernel.notes)
        settled = settle(claim, blank, Grounds(accepted(), (), True, self.number), self.ceilings())
        return replace(settled, check=self._check())

    def kernels(self) -> dict[str, float]:
        return self._kernel.parts

    def close(self) -> None:
        self.closed = True

    def _measurement(self, outcome: Outcome) -> Measurement:
        return Measurement(
            operator="toy",
            implementation=self._offer.implementation,
            case={"n": 8, "dtype": "float32", "ttft_ms": 100, "tpot_ms": 20} | self._kernel.axes,
            case_id="N8",
            outcome=outcome,
            reason=self._kernel.reason,
            untimed=self._kernel.untimed,
            check=self._check(),
            bytes_moved=self._kernel.bytes_moved,
            configuration=self._kernel.configuration,
        )

    def _check(self) -> CheckRecord | None:
        """Of the process that held the whole check, and of timed calls alone of the others."""
        if self._kernel.error is None:
            return None
        allowed = self._kernel.allowed
        off = Deviation("relative RMS error", allowed * self._kernel.error, allowed, output="out")
        small = Deviation("relative RMS error", 0.5 * allowed * self._kernel.error, allowed, output="out")
        sets = (SetDeviations("redrawn", (off,)),) if self.checked else ()
        return CheckRecord((*sets, SetDeviations("timed", (small,))), (), (), True, 1.0, True)


@dataclass(frozen=True)
class Scripted:
    """A source whose arms need no process."""

    start: Callable[[Arm], Any]
    label: str = "s.toml"
    stem: str = "s"
    plugins: tuple[str, ...] = ()
    known: list[Survey] = field(default_factory=list)

    def placed(self, repo: Path, arms: Sequence[Arm]) -> Scripted:
        return self

    def opened(self, setting: Setting) -> AbstractContextManager[Scripted]:
        return nullcontext(self)

    def survey(self, base: Offers, head: Offers) -> None:
        check_known(base, head)
        self.known.append(Survey.of(base, head))


@dataclass
class Gated:
    """A session with scripted arms, and all that it started."""

    session: Session
    started: list[FakeArm]
    told: list[str]

    def run(self) -> Any:
        self.session.run()
        return self.session.report("gate")

    def row(self, name: str = "quick") -> Any:
        return next(row for row in self.session.report("gate").rows if row.implementation == name)


@pytest.fixture
def gated(tmp_path: Path) -> Callable[..., Gated]:
    """Makes a session of two scripted arms."""

    def make(
        base: ArmScript | None = None,
        head: ArmScript | None = None,
        looks: Sequence[int] = (8,),
        target: float = 0.03,
        allow: Allowances | None = None,
        **more: Any,
    ) -> Gated:
        scripts = {"base": base or ArmScript(), "head": head or ArmScript()}
        arms = [Arm(name, tmp_path / name, f"{name}0123456789", "main") for name in scripts]
        started: list[FakeArm] = []

        def start(arm: Arm) -> Any:
            pair = sum(one.arm_name == arm.name for one in started)  # the first only says what there is
            made = FakeArm(scripts[arm.name], pair, len(started) + 1)
            made.arm_name = arm.name  # type: ignore[attr-defined]
            made.all = started
            made.ceilings = lambda: session.ask.ceilings
            started.append(made)
            return made

        ask = Ask(
            sources=(Scripted(start),),
            thresholds=Thresholds(target, Rule(Looks(tuple(looks))), allowances=allow or Allowances()),
            environment=ENVIRONMENT,
            ceilings=CEILINGS,
            command="attnlab gate --base main --suite s.toml",
            **more,
        )
        told: list[str] = []
        session = Session(tmp_path, arms[0], arms[1], ask, PairsFile(tmp_path), told.append)
        return Gated(session, started, told)

    return make


class Repository:
    """A git repository in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("config", "user.email", "somebody@example.org")
        self.git("config", "user.name", "Somebody")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(self.root), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.root / name.replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, message: str = "a commit", **files: str) -> str:
        self.write(**files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def state(self) -> tuple[str, ...]:
        """All of git's state that a gate must leave as it was."""
        return tuple(
            self.git(*command)
            for command in (
                ("status", "--porcelain", "--ignored"),
                ("worktree", "list"),
                ("branch", "--all", "--verbose"),
                ("stash", "list"),
                ("rev-parse", "HEAD"),
                ("symbolic-ref", "HEAD"),
            )
        )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repo")
