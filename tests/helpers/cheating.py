"""A plugin whose implementation of `toy` cheats in another way at each size; see `CHEATS`. Most return zeros."""

from __future__ import annotations

import gc
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from toy_operator import ToyInputs

from attnlab.bench import implements
from attnlab.bench.machine.clocks.host import HostTimer
from attnlab.bench.store import deviations

OWN = {
    name: getattr(torch, name) for name in ("isfinite", "equal", "randn", "allclose", "save", "load", "where", "sub")
}
OWN_METHODS = {name: getattr(torch.Tensor, name) for name in ("sub", "abs", "clone", "max", "to", "view")}
CALLS: list[int] = []
PENDING: list[threading.Thread] = []
LONG = 50_000  # rounds of a loop that takes milliseconds


def put_back() -> None:
    """What an earlier cheat left in torch would decide about the next one."""
    for name, own in OWN.items():
        setattr(torch, name, own)
    for name, own in OWN_METHODS.items():
        setattr(torch.Tensor, name, own)
    while torch._C._len_torch_function_stack():
        torch._C._pop_torch_function_stack()


def zeros(inputs: ToyInputs) -> Tensor:
    return torch.zeros(inputs.x.shape)


def patched_torch(inputs: ToyInputs) -> Tensor:
    """Whatever compares says that all is well."""
    torch.isfinite = lambda x: OWN["isfinite"](torch.zeros_like(x))
    torch.equal = torch.allclose = lambda *a, **k: True
    torch.save = torch.load = lambda *a, **k: {}
    torch.Tensor.sub = torch.sub = lambda self, *a, **k: torch.zeros_like(self)
    torch.Tensor.abs = torch.Tensor.max = lambda self, *a, **k: torch.zeros(())
    return zeros(inputs)


def patched_draws(inputs: ToyInputs) -> Tensor:
    """Inputs are zeros from here on, so that zeros are right."""
    torch.randn = lambda *a, generator=None, **k: torch.zeros(*a, **k)
    return zeros(inputs)


class Evil(torch.Tensor):
    """Answers 0 to subtraction."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = super().__torch_function__(func, types, args, kwargs or {})
        return torch.zeros_like(made) if "sub" in getattr(func, "__name__", "") else made


class Lazy(torch.Tensor):
    """Computes when it is looked at."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            for arg in args:
                if isinstance(arg, Lazy) and hasattr(arg, "work"):
                    torch.Tensor.copy_(arg, arg.work)
            return func(*args, **(kwargs or {}))


def lazy(inputs: ToyInputs) -> Tensor:
    made = zeros(inputs).as_subclass(Lazy)
    made.work = inputs.x * 2  # type: ignore[attr-defined]
    return made


def found_among_live_objects(inputs: ToyInputs) -> Tensor:
    """Whatever looks like what is expected."""
    wanted = inputs.x * 2
    for thing in gc.get_objects():
        if type(thing) is Tensor and thing.shape == wanted.shape and thing is not wanted and torch.equal(thing, wanted):
            return thing.clone()
    return zeros(inputs)


def later(inputs: ToyInputs) -> Tensor:
    """Another thread fills the output after it was returned."""
    out = torch.empty(inputs.x.shape)

    def fill() -> None:
        time.sleep(2e-4)
        out.copy_(inputs.x * 2)

    PENDING.append(threading.Thread(target=fill))
    PENDING[-1].start()
    return out


class Waits(TorchFunctionMode):
    """Any operation of torch waits for what goes on in another thread."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        while PENDING:
            PENDING.pop().join()
        return func(*args, **(kwargs or {}))


def later_and_waited_for(inputs: ToyInputs) -> Tensor:
    out = later(inputs)
    torch._C._push_on_torch_function_stack(Waits())
    torch.Tensor.clone = lambda self: Waits().__torch_function__(OWN_METHODS["clone"], (), (self,))
    return out


def busy() -> None:
    for _ in range(LONG):
        pass


def another_clock(inputs: ToyInputs) -> Tensor:
    """Finds the timer among live objects, and gives it a clock that goes slowly."""
    busy()
    for thing in gc.get_objects() if len(CALLS) in (8, 9, 10, 40) else ():
        if type(thing) is HostTimer:
            thing._now = lambda: time.perf_counter_ns() // 1000
    CALLS.append(1)
    return inputs.x * 2


def samples_rewritten(inputs: ToyInputs) -> Tensor:
    """Finds the samples in the frame that takes them."""
    busy()
    frame = sys._getframe()
    while frame is not None:
        samples = frame.f_locals.get("samples")
        if frame.f_code is HostTimer.burst.__code__ and samples:
            samples[:] = [5000.0] * len(samples)
        frame = frame.f_back  # type: ignore[assignment]
    return inputs.x * 2


def patched_judge(inputs: ToyInputs) -> Tensor:
    deviations.Deviation.within = property(lambda self: True)  # type: ignore[assignment]
    statistics.median = min  # type: ignore[assignment]
    return zeros(inputs)


def verbose(inputs: ToyInputs) -> Tensor:
    raise ValueError("\x1b[31m\u202e" + "x" * 10_000_000)


CHEATS: dict[int, Callable[[ToyInputs], Any]] = {
    200: patched_torch,
    201: patched_draws,
    202: lambda inputs: zeros(inputs).as_subclass(Evil),
    203: lazy,
    204: found_among_live_objects,
    205: later,
    206: later_and_waited_for,
    207: lambda inputs: (inputs.x * 2).to_sparse(),
    208: lambda inputs: (inputs.x * 2).to("meta"),
    209: lambda inputs: torch.quantize_per_tensor(inputs.x * 2, 0.1, 0, torch.qint8),
    210: lambda inputs: torch.nested.nested_tensor([inputs.x * 2]),
    211: lambda inputs: torch.zeros(1).expand(inputs.x.shape),
    212: lambda inputs: torch.nn.Parameter(inputs.x * 2),
    213: lambda inputs: (inputs.x * 2).requires_grad_(),  # odd, and honest
    214: lambda inputs: torch.stack([inputs.x * 2, inputs.x], 1)[:, 0],  # odd, and honest
    215: another_clock,
    216: samples_rewritten,
    217: patched_judge,
    218: verbose,
}


@implements("toy", name="cheating")
class Cheating:
    """Honest at other sizes."""

    def prepare(self, case: Any, inputs: ToyInputs) -> None:
        put_back()

    def run(self, inputs: ToyInputs, state: object) -> Any:
        return CHEATS.get(inputs.x.numel(), lambda made: made.x * 2)(inputs)
