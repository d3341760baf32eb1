"""What one arm gave over several pairs: modes within its processes, and from one to the next."""

from __future__ import annotations

import numpy as np
import pytest

from attnlab.bench.gate.arm_results import ArmResults
from attnlab.bench.store.records import Burst, Launch, Series

LEVELS = tuple(np.random.default_rng(1).permutation([1.0] * 20 + [1.4] * 12))


def arm(noise: float, levels: tuple[float, ...] = LEVELS) -> ArmResults:
    """A process at each level, whose calls scatter by so much."""
    rng = np.random.default_rng(0)
    taken = [tuple(1e6 * level * np.exp(noise * rng.standard_normal(201))) for level in levels]
    launches = [Launch(n, (Burst(0.0, (Series("latency", "ns", "wall", "lower", x),)),)) for n, x in enumerate(taken)]
    return ArmResults(launches=launches)


@pytest.mark.parametrize(("noise", "of"), [(0.01, ""), (0.3, " of its processes")])
def test_modes_of_an_arm(noise: float, of: str) -> None:
    """Where calls scatter more than the modes are apart, only the medians of processes show them."""
    told = arm(noise).modes
    assert told is not None
    assert told.startswith(f"two modes{of}: 6")


@pytest.mark.parametrize("levels", [(1.0,) * 16, tuple(np.linspace(1.0, 1.4, 16)), ()])
def test_one_mode_is_nothing_to_tell(levels: tuple[float, ...]) -> None:
    assert arm(0.03, levels).modes is None
