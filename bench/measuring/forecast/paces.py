"""How long the harness's work takes a kind of device, as the runs under `results/` took it.

`benchmarks/forecast.py` sets them beside any stored run.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Seconds of the phases of a step, from what one call takes at least.

    slow_operations, slow_bytes: a call's time over the least that its operations, and its bytes, take by the ceilings,
    which add up; call_s: what any call takes beside. input_s, input_gb_s: to make a set of inputs, and a GB of it.
    setup_calls, setup_s: to prepare, with first_s more in a new process. set_calls, set_s: the calls and copies of each
    set of inputs of a check, and what comes with them; expect_gb_s: to work out what is expected of a GB of inputs,
    which the first implementation of a case waits for. warmup_s, sampling_s: until a time is stable, and known well
    enough, within the limits. timed_calls: to check what timed calls returned. memory_calls: to read their peak.
    """

    slow_operations: float
    slow_bytes: float
    call_s: float
    input_s: float
    input_gb_s: float
    setup_calls: float
    setup_s: float
    first_s: float
    set_calls: float
    set_s: float
    expect_gb_s: float
    warmup_s: float
    sampling_s: float
    timed_calls: float
    memory_calls: float


CPU = Pace(2.5, 20.0, 1e-4, 0.02, 15.0, 0.0, 0.01, 0.0, 2.0, 0.04, 280.0, 0.5, 2.0, 3.0, 2.0)
CUDA = Pace(1.8, 1.4, 2e-5, 0.2, 5.0, 0.0, 0.5, 2.5, 2.0, 0.24, 5.0, 0.1, 0.3, 3.0, 2.0)
MODEL_ON_CPU = Pace(1.0, 3.0, 1e-3, 0.0, 2.5, 0.7, 0.0, 0.0, 1.8, 0.1, 0.0, 2.0, 2.0, 1.2, 2.7)
MODEL_ON_CUDA = Pace(2.0, 2.0, 1e-3, 0.2, 0.0, 6.0, 0.0, 0.0, 10.0, 0.2, 0.0, 2.0, 2.0, 20.0, 1.0)
"""A model that answers requests makes few and long calls; what it says is read by another, which takes longer there."""

START_S = 2.5  # of processor time, for a process to import torch and the operators
FIRST_COMPILE_S, COMPILE_S = 6.0, 2.5  # torch.compile: the first of a process imports it; later ones may be cached
INTERPRETED_S = 5.0  # to check a kernel in Triton's interpreter
CEILINGS_S = 30.0  # to measure ceilings that are not known yet
STEP_S = 0.05  # between two steps
TURNING = 2.0  # of the implementations of a case, those so near its fastest that they take turns
BURSTS_A_TURN_S = 0.3


def pace_of(device: str, observed: bool) -> Pace:
    """The pace of a device of that kind; observed: of calls that say of themselves what they did, as a model's do."""
    if observed:
        return MODEL_ON_CPU if device == "cpu" else MODEL_ON_CUDA
    return CPU if device == "cpu" else CUDA
