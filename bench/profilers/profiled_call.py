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


@dataclass
class ProfiledCall:
    """One call, set up and checked, on a device.

    name: what a person calls it, such as `attention/naive`. calls: the same call, on inputs of its own each, to be
    made in turn; each returns when the host may go on, which on a GPU is before the work is done. Empty where it
    cannot be timed here; why, is in `untimed`. call_ns: what the harness's clock says that one takes. origin: None of
    a function of a test. dtype: that of the case. source: `file:line` at which what is called begins. command: what
    makes the call in a process of its own, between the marks of CUDA's profiler where there is a GPU. interpreter: a
    fresh Python that finds modules where this process does; code for it to run is added as its last argument.
    compiled: it runs through torch.compile. targets: what to compile for, such as `sm_90`, where that was asked for.
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
    interpreter: tuple[str, ...] = ()
    compiled: bool = False
    targets: tuple[str, ...] = ()
    _made: int = 0

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def make(self, count: int) -> None:
        """Make so many calls, one after another, and wait until the device is done with them."""
        for _ in range(count):
            self.make_next()
        self.wait()

    def make_next(self) -> None:
        """Make one call; on a GPU its work may go on."""
        self._made += 1
        self.calls[self._made % len(self.calls)]()

    def count_within(self, seconds: float, most: int) -> int:
        """So many calls take about that long; one at least."""
        return max(1, min(most, int(seconds * 1e9 / max(self.call_ns or 1e9, 1.0))))

    def wait(self) -> None:
        """Until the device is done with what was asked of it."""
        if self.on_gpu:
            import torch

            torch.cuda.synchronize(self.device)
