"""What findings of a profile are made from, and how their evidence is written."""

from __future__ import annotations

from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.contract.roofline import SpeedOfLight, measured_light
from attnlab.bench.profilers.profiles import CaseProfile
from attnlab.bench.store.machine import Ceilings


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
    def on_gpu(self) -> bool:
        return self.case.figure("torch", "kernels") is not None


def python_lines(facts: Facts) -> str:
    samples = facts.case.record("samples")
    lines = samples.listings[0].rows[:2] if samples is not None and samples.listings else ()
    return "; ".join(f"{row[0]} in {row[1]} of samples" for row in lines) or "no samples were taken"


def shown_time(ns: float | None) -> str:
    return units.format_time(ns)


def shown_share(share: float) -> str:
    return units.format_share(share)


def shown_rate(amount: float, ns: float, scale: float, unit: str) -> str:
    """A rate in a unit that is `scale` a second, such as GB/s."""
    return units.format_value(units.per_second(amount, ns) / scale, unit)
