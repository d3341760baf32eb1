"""What findings of a profile are made from, and how their evidence is written."""

from __future__ import annotations

from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.contract.roofline import SpeedOfLight, measured_light
from attnlab.bench.machine.throttling import waiting_of
from attnlab.bench.profilers.profiles import CaseProfile
from attnlab.bench.store.machine import Ceilings

RECONCILED = 2.0  # times as long: so far may a recorded call be from one by the harness's clock


@dataclass(frozen=True)
class Facts:
    """What is known of one profile; `share` is that of the least time by the measured ceilings."""

    case: CaseProfile
    ceilings: Ceilings
    light: SpeedOfLight | None

    @classmethod
    def of(cls, case: CaseProfile, ceilings: Ceilings) -> Facts:
        m = case.measurement
        light = None
        if m.operations is not None and m.bytes_moved is not None:
            light = measured_light(ceilings, m.operations, m.bytes_moved, str(m.case.get("dtype")), m.bytes_written)
        return cls(case, ceilings, light)

    @property
    def share(self) -> float | None:
        if self.light is None or not self.case.call_ns:
            return None
        return self.light.time_ns / self.case.call_ns

    @property
    def busy(self) -> str | None:
        """How other work kept the harness's own timed calls waiting, in words; None where it did not."""
        return busy(self.case)

    @property
    def disturbed(self) -> bool:
        """Whether other work kept waiting what the harness timed, or what a tool recorded."""
        return self.busy is not None or any(record.disturbed for record in self.case.records)

    @property
    def doubt(self) -> str | None:
        """Why times of the host that tools took do not say what bounds a call; None where they do."""
        for tool in ("torch", "samples") if self.on_gpu else ("torch",):
            record = self.case.record(tool)
            if record is not None and record.disturbed is not None:
                return f"while {tool} looked, {record.disturbed}"
        recorded, call_ns = self.case.figure("torch", "host time of a call"), self.case.call_ns
        if self.on_gpu or not recorded or not call_ns or call_ns / RECONCILED <= recorded <= call_ns * RECONCILED:
            return None
        times = f"a recorded call takes {shown_time(recorded)}, and {shown_time(call_ns)} by the harness's clock"
        if recorded > call_ns:
            return f"{times}: recording it costs more than it takes"
        return None if self.busy is not None else times  # the harness's own calls were kept waiting, and these were not

    @property
    def on_gpu(self) -> bool:
        return self.case.figure("torch", "kernels") is not None


def busy(case: CaseProfile) -> str | None:
    """How other work kept the harness's timed calls waiting, in words; None where it did not."""
    return waiting_of([burst for launch in case.measurement.launches for burst in launch.bursts])


def python_lines(facts: Facts) -> str:
    samples = facts.case.record("samples")
    if samples is None or not samples.listings:
        return "no samples were taken"
    rows = samples.listings[0].rows
    told = [row for row in rows if row[1] != shown_share(1.0)] or rows[-1:]  # what is in all only calls the others
    return "; ".join(f"{row[0]} in {row[1]} of samples" for row in told[:2]) or "no line of the implementation was seen"


def shown_time(ns: float | None) -> str:
    return units.format_time(ns)


def shown_share(share: float) -> str:
    return units.format_share(share)


def shown_rate(amount: float, ns: float, scale: float, unit: str) -> str:
    """A rate in a unit that is `scale` a second, such as GB/s."""
    return units.format_value(units.per_second(amount, ns) / scale, unit)
