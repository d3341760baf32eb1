"""The call that a test benchmarks, as it is timed: on which device, by which clocks, for how long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import UnknownName, UsageError
from attnlab.bench.machine import clocks
from attnlab.bench.pytesting import marker
from attnlab.bench.store.records import CALLABLE, Measurement, Outcome

if TYPE_CHECKING:
    import torch

    from attnlab.bench.machine.clocks.clock import Clock
    from attnlab.bench.measuring.timing import Effort


@dataclass(frozen=True)
class TimedCall:
    """device: its kind. dtype: of the first floating-point tensor where the marker names none.

    tensors: dtype and shape of each that the call takes or returns, such as `float32 [512, 512]`.
    """

    call: Callable[[], Any]
    given: marker.MarkerArguments
    device: str
    dtype: str | None
    tensors: tuple[str, ...]

    @classmethod
    def of(cls, call: Callable[[], Any], given: Mapping[str, Any], touched: object) -> TimedCall:
        """From the marker's checked arguments, and what the call takes and returned."""
        arguments = marker.MarkerArguments.of(given)
        tensors = list(tensors_in(touched))
        device = arguments.device or ("cuda" if any(tensor.is_cuda for tensor in tensors) else "cpu")
        dtype = arguments.dtype or next((_name(t.dtype) for t in tensors if t.dtype.is_floating_point), None)
        return cls(call, arguments, device, dtype, tuple(f"{_name(t.dtype)} {list(t.shape)}" for t in tensors))

    @property
    def torch_device(self) -> torch.device:
        """Imports torch."""
        import torch

        return torch.device(self.device)

    @property
    def clocks(self) -> tuple[Clock, ...]:
        """All of the device, or the one that was named. Raises UsageError where there is none of that name."""
        here = clocks.clocks_for("cpu" if self.device == "cpu" else self.torch_device, self.given.cache)
        if self.given.clock is None:
            return here
        named = tuple(clock for clock in here if clock.name == self.given.clock)
        if not named:
            raise UsageError(
                f"marker attnlab: {UnknownName('clock', self.given.clock, [clock.name for clock in here])}"
            )
        return named

    @property
    def effort(self) -> Effort:
        from attnlab.bench.measuring.suite import make_effort

        given = self.given
        limits = {"target": given.target, "sampling_limit_s": given.limit_s, "warmup_limit_s": given.limit_s}
        return make_effort({name: value for name, value in limits.items() if value is not None})

    def measurement(self, name: str, case_id: str = "") -> Measurement:
        """What is known of it before it is timed."""
        return Measurement(
            operator=CALLABLE,
            implementation=name,
            case={} if self.dtype is None else {"dtype": self.dtype},
            case_id=case_id,
            outcome=Outcome.PASSED,
            operations=self.given.operations,
            bytes_moved=self.given.bytes,
        )


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in a value, in lists, tuples and dictionaries too; none where nobody imported torch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors_in(part)


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
