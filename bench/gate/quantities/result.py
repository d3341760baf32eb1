"""What comes out: how much of its error budget, and by which configuration."""

from __future__ import annotations

import math

from attnlab.bench.gate.quantities import CONFIGURATION, Quantity, Sample


def share_of_budget(sample: Sample) -> float | None:
    """The largest over all sets of inputs: those of the arm's whole check, and the timed ones of this pair."""
    checks = [check for check in (sample.check, sample.measurement.check) if check is not None]
    shares = [deviation.share_of_budget for check in checks for one in check.sets for deviation in one.deviations]
    return max(shares) if shares and all(map(math.isfinite, shares)) else None


def reconfigured(sample: Sample) -> float:
    """1 where the configuration is not that of base's first process, 0 where it is."""
    return float(sample.measurement.configuration != sample.usual)


QUANTITIES = (
    Quantity("error", "error of budget", "share", share_of_budget, 0.50, 0.005),
    Quantity(CONFIGURATION, "configuration", "share", reconfigured, None, 0.10),
)
