"""One gate from start to end: match, measure in live pairs, decide, say which kernel moved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from attnlab.bench import units
from attnlab.bench.cgroup import free_memory_bytes
from attnlab.bench.contents import new_secret
from attnlab.bench.environment import Environment
from attnlab.bench.errors import SuiteError
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.collection import Collected, PairsFile, as_ratio
from attnlab.bench.gate.environments import ArmEnvironment
from attnlab.bench.gate.matching import Matched, match
from attnlab.bench.gate.messages import PROTOCOL, ArmOrder, Offer, Offers, Settings
from attnlab.bench.gate.moved import what_moved
from attnlab.bench.gate.pairs import ArmProcess, LivePair, StartArm, StrayModules
from attnlab.bench.gate.records import ArmRecord, GateReport, GateRow, GroupRow, KernelMove
from attnlab.bench.gate.thresholds import Thresholds
from attnlab.bench.isolation import WorkerEnded
from attnlab.bench.leavings import own_folder
from attnlab.bench.roofline import Ceilings
from attnlab.bench.stats.decision import Decided, Decisions, PairRatio, Subject, Take, decide
from attnlab.bench.stats.verdict import Verdict
from attnlab.bench.store.codec import encode
from attnlab.bench.store.records import Measurement, Outcome

MEMORY_SHARE = 0.4  # of what is available now, for each of the two processes
FLOOR_NS = {"cpu": 100.0, "cuda": 500.0}  # changes of a call's time below this are the timer's own
HARNESS_FILE = Path("bench", "gate", "arm_worker.py")


class ArmBroken(Exception):
    """An arm cannot be measured at all: it does not import, or loads what is not its own."""


@dataclass(frozen=True)
class Ask:
    """What is to be gated, and how.

    suite: a name, or a file's absolute path; one within the repository is each arm's own. notes: of the report.
    """

    suite: str
    plugins: tuple[str, ...]
    thresholds: Thresholds
    environment: Environment
    ceilings: Ceilings
    command: str
    strict: bool = False
    time_limit_s: float = 300.0
    against_itself: bool = False
    notes: tuple[str, ...] = ()


@dataclass
class Session:
    """Measures two arms. `tell` gets lines of progress; `pairs` keeps what was measured on disk.

    start begins a process of an arm; a stand-in needs none. only: keys of the benchmarks to gate, None for all.
    environments: an arm's own, by name; none where both run in the gate's.
    """

    repo: Path
    base: Arm
    head: Arm
    ask: Ask
    pairs: PairsFile
    tell: Callable[[str], None] = lambda line: None
    start: StartArm | None = None
    only: frozenset[str] | None = None
    environments: Mapping[str, ArmEnvironment] = field(default_factory=dict)
    collected: dict[str, Collected] = field(default_factory=dict)
    _matched: Matched = field(default_factory=lambda: Matched({}, (), ()))
    _number: int = 0
    _decisions: Decisions[str] = field(default_factory=lambda: Decisions[str]())
    _moved: dict[str, KernelMove | str] = field(default_factory=dict)
    _started: float = field(default_factory=time.time)
    _shared: str = ""
    _secret: int = field(default_factory=new_secret)
    _known: Known | None = None

    def run(self) -> None:
        """Measure and decide. Raises ArmBroken, and UsageError on a suite that neither arm knows.

        What was measured before an exception is in `collected` and on disk.
        """
        with own_folder("gate") as folder:
            self._shared = str(folder)
            self._matched = self._match()
            subjects = self._subjects()
            rule = self.ask.thresholds.rule
            if self.ask.against_itself:  # all pairs that a gate may take, since its error rates are asked for
                reserve = self._take(list(subjects), rule.looks.last)
                self._decisions = decide(subjects, _from_reserve(reserve, self._take), rule)
            else:
                self._decisions = decide(subjects, self._take, rule)
                self._name_kernels()

    def report(self, run_id: str, interrupted: bool = False) -> GateReport:
        """What is known now."""
        thresholds = self.ask.thresholds
        rows = [self._row(key, collected) for key, collected in self.collected.items()]
        rows = [thresholds.allowances.applied(row) for row in (*rows, *self._matched.rows)]
        notes = [*self.ask.notes, *self._matched.notes, *thresholds.allowances.notes(rows)]
        notes += [f"threshold {p!r} fits no benchmark" for p in thresholds.unused([row.key for row in rows])]
        return GateReport(
            run_id=run_id,
            suite=self.ask.suite,
            started=datetime.fromtimestamp(self._started, UTC).isoformat(timespec="seconds"),
            command=self.ask.command,
            seconds=time.time() - self._started,
            base=_record(self.base, self.environments),
            head=_record(self.head, self.environments),
            environment=self.ask.environment,
            alpha=self.ask.thresholds.rule.alpha,
            looks=self.ask.thresholds.rule.looks.pairs,
            rows=tuple(rows),
            groups=tuple(_group(name, decided) for name, decided in self._decisions.groups.items()),
            strict=self.ask.strict,
            against_itself=self.ask.against_itself,
            interrupted=interrupted,
            pairs=self._number,
            notes=tuple(notes),
        )

    def _row(self, key: str, collected: Collected) -> GateRow:
        row = explained(collected.row(self._decisions.verdicts.get(key)), self._moved.get(key))
        return replace(row, uncovered=self._matched.uncovered.get(key))

    def _match(self) -> Matched:
        """Ask both arms what they have of their own suites, and each of the other's."""
        arms = (self.head,) if self.ask.against_itself else (self.base, self.head)
        with ExitStack() as stack:
            processes = []
            for arm in arms:
                self.tell(f"looking at {arm.label}")
                with self._telling_whose(arm):
                    processes.append(self._process(arm))
                stack.callback(processes[-1].close)
            for arm, process in zip(arms, processes, strict=True):
                with self._telling_whose(arm):
                    process.wait_until_ready()
            own = [self._offers(arm, process) for arm, process in zip(arms, processes, strict=True)]
            if len(arms) == 2:
                lacking = [_besides(own[1], own[0]), _besides(own[0], own[1])]
                own = [self._offers(*asked) for asked in zip(arms, processes, lacking, strict=True)]
        base, head = own[0], own[-1]
        self._check_known(base, head)
        self._known = Known.of(base, head)
        ours = [self.environments.get(arm.name) for arm in (self.base, self.head)]
        others_differ = ours[0] is not None and ours[1] is not None and bool(ours[0].differences(ours[1]))
        return match(_chosen(base, self.only), _chosen(head, self.only), self.ask.thresholds, others_differ)

    def _offers(self, arm: Arm, process: ArmProcess, wanted: Sequence[Offer] = ()) -> Offers:
        with self._telling_whose(arm):
            offers = process.offers(wanted)
        if offers.strays:
            raise ArmBroken(str(StrayModules(arm, offers.strays)))
        return offers

    def _check_known(self, base: Offers, head: Offers) -> None:
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
            raise SuiteError(f"{head.suite} names nothing that base or head has; see `attnlab list`")

    @contextmanager
    def _telling_whose(self, arm: Arm) -> Iterator[None]:
        try:
            yield
        except WorkerEnded as end:
            detail = f"\n{end.detail}" if end.detail else ""
            raise ArmBroken(f"{arm.label} cannot be measured: {end}{detail}") from end

    def _process(self, arm: Arm) -> ArmProcess:
        if self.start is not None:
            return self.start(arm)
        kind = self.ask.environment.device.kind
        shared = Path(self._shared, arm.name)  # of expectations: an arm's contract may be its own
        shared.mkdir(exist_ok=True)
        order = ArmOrder(
            protocol=PROTOCOL,
            suite=arm.own_place(self.repo, self.ask.suite),
            plugins=self.ask.plugins,
            device=kind,
            ceilings=dict(encode(self.ask.ceilings)),
            seed=0,
            secret=self._secret,
            memory_limit_bytes=int(MEMORY_SHARE * free_memory_bytes()) if kind == "cpu" else None,
            shared_folder=str(shared),
            modules=self._known.modules[arm.name] if self._known else None,
            settings=self._known.settings if self._known else None,
        )
        own = (self.head.root / HARNESS_FILE).is_file() and (self.repo / HARNESS_FILE).is_file()
        harness = self.head.root if own else self.repo
        environment = self.environments.get(arm.name)
        return ArmProcess(arm, self.repo, harness, order, self.ask.time_limit_s, environment)

    def _subjects(self) -> dict[str, Subject]:
        floor = FLOOR_NS[self.ask.environment.device.kind]
        subjects = {}
        for key, pairing in self._matched.pairings.items():
            offer = pairing.head
            target = self.ask.thresholds.target_of(key)
            self.collected[key] = Collected(offer, target)
            subjects[key] = Subject(target, floor, f"{offer.operator}/{offer.implementation}")
        return subjects

    def _take(self, keys: Sequence[str], count: int) -> Mapping[str, list[PairRatio]]:
        """Measure more live pairs."""
        found: dict[str, list[PairRatio]] = {key: [] for key in keys}
        for _ in range(count):
            wanted = [key for key in keys if self.collected[key].open]
            if not wanted:
                break
            self._number += 1
            for key, ratio in self._one_pair(wanted):
                found[key].append(ratio)
        return found

    def _one_pair(self, keys: Sequence[str]) -> Iterator[tuple[str, PairRatio]]:
        pair = LivePair(self.base, self.head, self._process, self._number)
        try:
            for key in keys:
                collected = self.collected[key]
                taken = pair.measure(collected.offer, _blank(collected.offer), check=collected.base.measurement is None)
                self.pairs.append(self._number, collected.offer, taken)
                ratio = collected.add(taken)
                if ratio is None:
                    self.tell(f"pair {self._number}: {key}: {taken.why}")
                else:
                    self.tell(f"pair {self._number}: {key}: {_percent(ratio)}")
                    yield key, ratio
        except StrayModules as error:
            raise ArmBroken(str(error)) from error
        finally:
            pair.close()

    def _name_kernels(self) -> None:
        """For what got slower: the kernel, or on a CPU the operation, that takes the most more time on head."""
        slower = {k: d.first.ratio for k, d in self._decisions.verdicts.items() if d.verdict is Verdict.SLOWER}
        if not slower or self.ask.against_itself:
            return
        pair = LivePair(self.base, self.head, self._process, 0)
        try:
            for key, ratio in slower.items():
                found = pair.kernels(self.collected[key].offer)
                base_ns = self.collected[key].base.median_ns
                if found is not None and base_ns is not None:
                    self._moved[key] = what_moved(*found, change_ns=(ratio - 1) * base_ns)
        finally:
            pair.close()


@dataclass(frozen=True)
class Known:
    """What is known once both arms were asked: the modules to import in each, and how both are measured."""

    modules: dict[str, tuple[str, ...]]
    settings: Settings

    @classmethod
    def of(cls, base: Offers, head: Offers) -> Known:
        """Both are measured with base's settings, lest head's suite hide a regression in noise."""
        modules = {
            name: tuple(dict.fromkeys(offer.module for offer in offers.found))
            for name, offers in (("base", base), ("head", head))
        }
        return cls(modules, head.settings if base.error is not None else base.settings)


def _besides(other: Offers, own: Offers) -> list[Offer]:
    """What the other arm's suite has and this arm's own has not."""
    known = {offer.key for offer in own.found}
    return [offer for offer in other.found if offer.key not in known]


def _chosen(offers: Offers, only: frozenset[str] | None) -> Offers:
    if only is None:
        return offers
    return replace(offers, found=tuple(offer for offer in offers.found if offer.key in only))


def explained(row: GateRow, found: KernelMove | str | None) -> GateRow:
    """A row with what its profile says."""
    return replace(row, unexplained=found) if isinstance(found, str) else replace(row, moved=found)


def _from_reserve(reserve: Mapping[str, list[PairRatio]], more: Take[str]) -> Take[str]:
    """Hands out pairs that were measured beforehand, then measures more."""
    left = {key: list(pairs) for key, pairs in reserve.items()}

    def take(keys: Sequence[str], count: int) -> Mapping[str, Sequence[PairRatio]]:
        found = {key: left[key][:count] for key in keys}
        for key in keys:
            del left[key][:count]
        short = [key for key in keys if not found[key]]
        return {**found, **(more(short, count) if short else {})}

    return take


def _blank(offer: Offer) -> Measurement:
    return Measurement(
        operator=offer.operator,
        implementation=offer.implementation,
        case={},
        case_id=offer.case_id,
        outcome=Outcome.UNAVAILABLE,
        fingerprint=offer.fingerprint,
    )


def _record(arm: Arm, environments: Mapping[str, ArmEnvironment]) -> ArmRecord:
    own = environments.get(arm.name)
    python, packages = (own.python, own.packages) if own else (None, None)
    return ArmRecord(arm.asked, arm.revision, arm.dirty, arm.label, python, packages)


def _group(name: str, decided: Decided) -> GroupRow:
    confirmation = as_ratio(decided.confirmation) if decided.confirmation else None
    return GroupRow(name, decided.verdict, as_ratio(decided.first), confirmation)


def _percent(ratio: PairRatio) -> str:
    return units.signed_percent(math.expm1(ratio.log_ratio), decimals=2)
