"""A process that cheats is found out by those who measure it: whatever it does, it decides about no figure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from attnlab.bench import discover
from attnlab.bench.machine.environment import describe_environment
from attnlab.bench.measuring.runner import Limits, Runner
from attnlab.bench.measuring.steps import Step
from attnlab.bench.measuring.timing import Effort
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Measurement, Outcome

LITTLE = Effort(target=0.9, sampling_limit_s=0.02, warmup_limit_s=0.02)
CEILINGS = Ceilings("here", 1, 1e12, {}, None, 0.0)
PASSED, VALUES, SHAPE, FAILED = Outcome.PASSED, Outcome.WRONG_VALUES, Outcome.WRONG_SHAPE, Outcome.FAILED

FOUND = {
    200: (VALUES, "out on drawn inputs: largest error"),
    201: (VALUES, "inputs"),
    202: (SHAPE, "out is a Evil; expected a dense torch.Tensor [202] of float32"),
    203: (SHAPE, "out is a Lazy"),
    204: (VALUES, "largest error"),
    205: (VALUES, ""),
    206: (VALUES, ""),
    207: (SHAPE, "out has layout torch.sparse_coo"),
    208: (SHAPE, "out is on no device (meta)"),
    209: (SHAPE, "out is quantised"),
    210: (SHAPE, "out is nested"),
    211: (SHAPE, "out shows the same memory several times"),
    212: (SHAPE, "out is a Parameter"),
    213: (PASSED, ""),
    214: (PASSED, ""),
    215: (FAILED, "as seen from outside"),
    216: (FAILED, "as seen from outside"),
    217: (VALUES, "out on drawn inputs: largest error"),
    218: (FAILED, "ValueError:"),
    8: (PASSED, ""),
}


class Silent:
    """Neither shown nor stored."""

    def begin(self, step: Step) -> None: ...

    def phase(self, step: Step, phase: str) -> None: ...

    def end(self, step: Step, measurement: Measurement) -> None: ...

    def append(self, measurement: Measurement) -> None: ...


@pytest.fixture(scope="module")
def measured(helpers: Path, plugins_forgotten_by_module: None) -> Iterator[dict[int, Measurement]]:
    """Every cheat in one run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        names = (str(helpers / "cheating.py"),)
        registry = discover(names)
        kind = registry.operators.get("toy").case_type
        steps = [Step("toy", "cheating", kind.parse(f"N{n}")) for n in FOUND]
        runner = Runner(registry, describe_environment("cpu"), CEILINGS, LITTLE, Limits(60.0), names)
        yield {m.case["n"]: m for m in runner.run(steps, Silent(), Silent())}


@pytest.mark.parametrize("size", FOUND)
def test_a_cheat_is_found_out(measured: dict[int, Measurement], size: int) -> None:
    outcome, says = FOUND[size]
    found = measured[size]
    assert (found.outcome, says in (found.reason or "")) == (outcome, True), found.reason
    assert (found.median_ns is not None) == (outcome is PASSED)
    assert len(found.reason or "") <= 600
    assert (found.reason or "").isprintable()


def test_figures_are_the_judges(measured: dict[int, Measurement]) -> None:
    check = measured[8].check
    assert check is not None
    assert [found.inputs for found in check.sets][:3] == ["drawn", "redrawn", "needles"]
    assert all(one.value == 0.0 for found in check.sets for one in found.deviations)
    assert check.deterministic is True
    zeros = measured[200].check
    assert zeros is not None
    assert all(math.isfinite(one.value) for found in zeros.sets for one in found.deviations)
