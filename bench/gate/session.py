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
from attnlab.bench.contract.contents import new_secret
from attnlab.bench.gate.arm_process import ArmProcess
from attnlab.bench.gate.ask import Ask
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.collection import BenchmarkResults, as_ratio
from attnlab.bench.gate.environments import ArmEnvironment
from attnlab.bench.gate.kernel_move import explained, what_moved
from attnlab.bench.gate.matching import Matching, match
from attnlab.bench.gate.messages import Offer, Offers, comparison_key
from attnlab.bench.gate.pairs import LivePair, StrayModules
from attnlab.bench.gate.pairs_file import PairsFile
from attnlab.bench.gate.quantities import LATENCY, quantities
from attnlab.bench.gate.report import ArmRecord, GateReport
from attnlab.bench.gate.reserve import Reserve
from attnlab.bench.gate.rows import GateRow, GroupRow, KernelMove
from attnlab.bench.gate.setting import Setting
from attnlab.bench.gate.source import Processes
from attnlab.bench.gate.survey import besides, chosen
from attnlab.bench.measuring.temporary_folders import own_folder
from attnlab.bench.measuring.worker_process import WorkerEnded
from attnlab.bench.stats.decision import Decision, Decisions, PairRatio, Subject, decide
from attnlab.bench.stats.verdict import Verdict


class ArmBroken(Exception):
    """An arm cannot be measured at all: it does not import, or loads what is not its own."""


@dataclass
class Session:
    """Measures two arms. `tell` gets lines of progress; `pairs` keeps what was measured on disk.

    only: keys of the benchmarks to gate, None for all. environments: an arm's own, by name; none where both run in the
    gate's.
    """

    repo: Path
    base: Arm
    head: Arm
    ask: Ask
    pairs: PairsFile
    tell: Callable[[str], None] = lambda line: None
    only: frozenset[str] | None = None
    environments: Mapping[str, ArmEnvironment] = field(default_factory=dict)
    collected: dict[str, BenchmarkResults] = field(default_factory=dict)
    _matched: Matching = field(default_factory=lambda: Matching({}, (), ()))
    _number: int = 0
    _decisions: Decisions[str] = field(default_factory=lambda: Decisions[str]())
    _moved: dict[str, KernelMove | str] = field(default_factory=dict)
    _started: float = field(default_factory=time.time)
    _open: list[Processes] = field(default_factory=list)
    _of: dict[str, Processes] = field(default_factory=dict)

    def run(self) -> None:
        """Measure and decide. Raises ArmBroken, and UsageError on a suite that neither arm knows.

        What was measured before an exception is in `collected` and on disk.
        """
        with own_folder("gate") as folder, ExitStack() as stack:
            setting = self._setting(folder)
            self._open = [stack.enter_context(source.opened(setting)) for source in self.ask.sources]
            self._matched = Matching.of_all([self._match(processes) for processes in self._open])
            rule = self.ask.thresholds.rule
            reserve = Reserve(self._one_pair)
            self._first_pairs(reserve)
            subjects = self._subjects()
            if self.ask.against_itself:  # all pairs that a gate may take, since its error rates are asked for
                reserve.fill(list(subjects), rule.looks.last)
            self._decisions = decide(subjects, reserve.take, rule)
            if not self.ask.against_itself:
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
            suite=self.ask.label,
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
            lost=tuple(one for collected in self.collected.values() for one in collected.lost),
            pairs=self._number,
            unseen_targets=self.ask.thresholds.rule.unseen,
            notes=tuple(notes),
        )

    def _row(self, key: str, collected: BenchmarkResults) -> GateRow:
        row = explained(collected.row(self._decided(collected)), self._moved.get(key))
        return replace(row, uncovered=self._matched.uncovered.get(key))

    def log_ratios(self) -> dict[str, list[float]]:
        """Those of all pairs, by comparison."""
        return {
            comparison_key(key, name): [v.ratio.log_ratio for v in collected.values[name] if v.ratio is not None]
            for key, collected in self.collected.items()
            for name in collected.gated
        }

    def _decided(self, collected: BenchmarkResults) -> dict[str, Decision]:
        """The decisions on one benchmark, by quantity."""
        keys = {name: comparison_key(collected.offer.key, name) for name in collected.values}
        verdicts = self._decisions.verdicts
        return {name: verdicts[key] for name, key in keys.items() if key in verdicts}

    def _setting(self, folder: Path) -> Setting:
        return Setting(
            repo=self.repo,
            base=self.base,
            head=self.head,
            device=self.ask.environment.device.kind,
            ceilings=self.ask.ceilings,
            time_limit_s=self.ask.time_limit_s,
            folder=folder,
            secret=new_secret(),
            environments=self.environments,
        )

    def _match(self, of: Processes) -> Matching:
        """Ask both arms what they have of one source, and each of what the other has."""
        arms = (self.head,) if self.ask.against_itself else (self.base, self.head)
        with ExitStack() as stack:
            processes = []
            for arm in arms:
                self.tell(f"looking at {arm.label}")
                with self._telling_whose(arm):
                    processes.append(of.start(arm))
                stack.callback(processes[-1].close)
            for arm, process in zip(arms, processes, strict=True):
                with self._telling_whose(arm):
                    process.wait_until_ready()
            own = [self._offers(arm, process) for arm, process in zip(arms, processes, strict=True)]
            if len(arms) == 2:
                lacking = [besides(own[1], own[0]), besides(own[0], own[1])]
                own = [self._offers(*asked) for asked in zip(arms, processes, lacking, strict=True)]
        base, head = own[0], own[-1]
        of.survey(base, head)
        ours = [self.environments.get(arm.name) for arm in (self.base, self.head)]
        others_differ = ours[0] is not None and ours[1] is not None and bool(ours[0].differences(ours[1]))
        found = match(chosen(base, self.only), chosen(head, self.only), self.ask.thresholds, others_differ)
        self._of |= dict.fromkeys(found.pairings, of)
        return found

    def _offers(self, arm: Arm, process: ArmProcess, wanted: Sequence[Offer] = ()) -> Offers:
        with self._telling_whose(arm):
            offers = process.offers(wanted)
        if offers.strays:
            raise ArmBroken(str(StrayModules(arm, offers.strays)))
        return offers

    @contextmanager
    def _telling_whose(self, arm: Arm) -> Iterator[None]:
        try:
            yield
        except WorkerEnded as end:
            detail = f"\n{end.detail}" if end.detail else ""
            raise ArmBroken(f"{arm.label} cannot be measured: {end}{detail}") from end

    def _first_pairs(self, reserve: Reserve) -> None:
        """A pair of each benchmark, which shows what there is to compare of it; again where a process was lost."""
        for key, pairing in self._matched.pairings.items():
            self.collected[key] = BenchmarkResults(pairing.head, self.ask.thresholds.targets_of(key))
        while wanted := [key for key, one in self.collected.items() if one.open and not one.values]:
            reserve.measure(wanted)

    def _subjects(self) -> dict[str, Subject]:
        """The family: each gated quantity of each benchmark that can be compared."""
        kind = self.ask.environment.device.kind
        subjects = {}
        for key, collected in self.collected.items():
            for name in collected.gated if collected.open else ():
                group = collected.offer.group
                subjects[comparison_key(key, name)] = Subject(
                    collected.targets[name].share,
                    quantities()[name].floor_on(kind),
                    group if name == LATENCY else comparison_key(group, name),
                    benchmark=key,
                )
        return subjects

    def _one_pair(self, keys: Sequence[str]) -> Iterator[tuple[str, PairRatio]]:
        """Measure these benchmarks in one more live pair: what it says of each comparison."""
        wanted = [key for key in keys if self.collected[key].open]
        if wanted:
            self._number += 1
        for processes in self._open:
            own = [key for key in wanted if self._of[key] is processes]
            if own:
                yield from self._pair_of(processes, own)

    def _pair_of(self, processes: Processes, keys: Sequence[str]) -> Iterator[tuple[str, PairRatio]]:
        pair = LivePair(self.base, self.head, processes.start, self._number)
        try:
            for key, following in zip(keys, [*keys[1:], None], strict=True):
                collected = self.collected[key]
                taken = pair.measure(replace(collected.wanted(), following=following))
                self.pairs.append(self._number, collected.offer, taken)
                ratios = collected.add(self._number, taken)
                said = _percent(ratios[LATENCY]) if LATENCY in ratios else taken.why
                self.tell(f"pair {self._number}: {key}: {said}")
                yield from ((comparison_key(key, name), ratio) for name, ratio in ratios.items())
        except StrayModules as error:
            raise ArmBroken(str(error)) from error
        finally:
            pair.close()

    def _name_kernels(self) -> None:
        """For what got slower: the kernel, or on a CPU the operation, that takes the most more time on head."""
        decided = {key: self._decided(collected).get(LATENCY) for key, collected in self.collected.items()}
        slower = {k: d.first.ratio for k, d in decided.items() if d is not None and d.verdict is Verdict.SLOWER}
        if not slower or self.ask.against_itself:
            return
        for key, ratio in slower.items():
            pair = LivePair(self.base, self.head, self._of[key].start, 0)
            try:
                found = pair.kernels(self.collected[key].offer)
            finally:
                pair.close()
            base_ns = self.collected[key].base.median_ns
            if found is not None and base_ns is not None:
                self._moved[key] = what_moved(*found, change_ns=(ratio - 1) * base_ns)


def _record(arm: Arm, environments: Mapping[str, ArmEnvironment]) -> ArmRecord:
    own = environments.get(arm.name)
    python, packages = (own.python, own.packages) if own else (None, None)
    return ArmRecord(arm.asked, arm.revision, arm.dirty, arm.label, python, packages)


def _group(name: str, decided: Decision) -> GroupRow:
    confirmation = as_ratio(decided.confirmation) if decided.confirmation else None
    return GroupRow(name, decided.verdict, as_ratio(decided.first), confirmation)


def _percent(ratio: PairRatio) -> str:
    return units.signed_percent(math.expm1(ratio.log_ratio), decimals=2)
