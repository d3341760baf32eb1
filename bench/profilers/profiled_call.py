"""What a profiler is given: a call that is ready to be made, and from where it can be made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Origin:
    """An implementation on a case, for a profiler that makes the call again in a process of its own.

    module: that which registers the implementation, as `registry.discover_one` takes it.
    """

    operator: str
    implementation: str
    module: str
    case_id: str
    plugins: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class ProfiledCall:
    """One call, set up and checked, on a device.

    name: what a person calls it, such as `attention/naive`. calls: the same call, on inputs of its own each, to be
    made in turn; each returns when the host may go on, which on a GPU is before the work is done. Empty where it
    cannot be timed here; why, is in `untimed`. call_ns: what the harness's clock says that one takes. origin: None of
    a function of a test. dtype: that of the case. source: `file:line` at which what is called begins. command: what
    makes the calls in a process of its own, between the marks of CUDA's profiler where there is a GPU.
    """

    name: str
    device: torch.device
    calls: tuple[Callable[[], object], ...] = ()
    untimed: str | None = None
    call_ns: float | None = None
    origin: Origin | None = None
    dtype: str | None = None
    source: str | None = None
    command: tuple[str, ...] = ()

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def make(self, count: int) -> None:
        """Make so many calls, one after another, and wait until the device is done with them."""
        for number in range(count):
            self.calls[number % len(self.calls)]()
        self.wait()

    def wait(self) -> None:
        """Until the device is done with what was asked of it."""
        if self.on_gpu:
            import torch

            torch.cuda.synchronize(self.device)
