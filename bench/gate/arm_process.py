"""A process of one arm, at the gate's end, whatever kind of benchmark it has."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from attnlab.bench.gate import rerooting
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.environments import ArmEnvironment, own_packages
from attnlab.bench.gate.messages import Closing, Offer, Offers, Opening, TimingMethod
from attnlab.bench.gate.setting import Setting
from attnlab.bench.machine.clocks import now
from attnlab.bench.measuring.timing import WarmUp
from attnlab.bench.measuring.worker_process import Process, WorkerEnded
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import Burst, Launch, Measurement, Outcome


class ArmProcess(ABC):
    """A process of one arm, at the gate's end. Every method raises WorkerEnded where it dies or is too slow."""

    def __init__(self, arm: Arm, setting: Setting, boot: str, order: Any) -> None:
        self.arm, self._setting = arm, setting
        self._bursts: list[Burst] = []
        self._notes: tuple[str, ...] = ()
        environment = setting.environments.get(arm.name)
        try:
            self._process = begin_process(boot, arm, setting.repo, setting.harness, setting.device, environment)
        except OSError as error:
            raise WorkerEnded(Outcome.FAILED, f"no process could be started: {error}", None) from error
        try:
            self._process.send(encode(order))
        except WorkerEnded:
            self._process.close()
            raise

    @property
    def number(self) -> int:
        return self._process.number

    def wait_until_ready(self) -> None:
        self._process.wait_until_ready()

    def offers(self, wanted: Sequence[Offer] = ()) -> Offers:
        """What the arm has of its own and, besides, of what is wanted."""
        keys = [[offer.operator, offer.implementation, offer.case_id] for offer in wanted]
        return decode(Offers, self._ask("offers", ["offers", keys]))

    def begin_open(self, offer: Offer, check: bool, plan: Plan | None = None, following: str | None = None) -> None:
        """Have a benchmark made ready; following: the key of the one that comes after it in this process, if any."""
        self._offer, self._check, self._bursts = offer, check, []
        self._process.begin_case()
        named = offer.operator, offer.implementation, offer.case_id
        self._process.send(["open", *named, check, encode(plan), following])

    def opening(self) -> Opening:
        """What the arm says, with what is known of its check."""
        opened = decode(Opening, self._receive("opened"))
        self._notes = opened.notes
        measurement = self._settled(opened.measurement, final=False)
        if measurement.outcome is not Outcome.PASSED:
            return replace(opened, measurement=measurement, methods=(), contents=())
        return replace(opened, measurement=measurement, contents=self._contents())

    def warm(self, method: TimingMethod) -> WarmUp:
        return decode(WarmUp, self._ask("warm", ["warm", method.clock, encode(method.plan)]))

    def burst(self, count: int) -> Burst:
        self._bursts.append(decode(Burst, self._ask("burst", ["burst", count])))
        return self._bursts[-1]

    def paused(self) -> AbstractContextManager[None]:
        """Inside, the process stands still."""
        return self._process.paused()

    def close_case(self) -> Measurement:
        """What comes of the bursts, settled as in a run."""
        closing = decode(Closing, self._ask("closed", ["close"]))
        claim = closing.measurement
        if claim.outcome is Outcome.PASSED:
            bursts = (*self._bursts, Burst(now.time_s(), closing.beside))
            flags = (*self._notes, *closing.notes)
            claim = replace(claim, timing=closing.timing, launches=(Launch(self.number, bursts),), flags=flags)
        return self._settled(claim, final=True)

    def kernels(self) -> dict[str, float]:
        return {str(name): float(ns) for name, ns in self._ask("kernels", ["kernels"]).items()}

    @abstractmethod
    def _settled(self, claim: Measurement, final: bool) -> Measurement:
        """What comes of what the process claims; final: whether there must be times."""

    def _contents(self) -> tuple[str, ...]:
        """What the open benchmark's inputs hold, as hashes; () where that is not asked."""
        return ()

    def _ask(self, wanted: str, request: list[Any]) -> Any:
        self._process.send(request)
        return self._receive(wanted)

    def _receive(self, wanted: str) -> Any:
        return self._process.receive(wanted, self._setting.time_limit_s)

    def close(self) -> None:
        self._process.close()


def begin_process(
    boot: str, arm: Arm, repo: Path, harness: Path, device: str, environment: ArmEnvironment | None
) -> Process:
    """A process that finds an arm's modules, and in `environment` where it has its own. Raises OSError."""
    earlier = [str(root) for root in environment.checkouts if root != arm.root] if environment else []
    places = own_packages(repo, arm, harness) if environment else {}
    return Process(
        device,
        boot,
        (rerooting.__file__, json.dumps([str(repo), str(arm.root), str(harness), earlier, places])),
        _same_folder(repo, arm),
        environment.executable if environment else None,
        environment.variables(repo) if environment else None,
    )


def _same_folder(repo: Path, arm: Arm) -> Path:
    """The current folder as the arm has it, or the root of the arm's checkout."""
    here = Path.cwd().resolve()
    there = arm.root / here.relative_to(repo) if repo == here or repo in here.parents else here
    return there if there.is_dir() else arm.root
