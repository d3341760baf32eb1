"""What one rank has of a case: its implementation's state, its shard, and where its outputs go."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import TensorSpec, tensors
from attnlab.bench.ranks.orders import Done, Prepare
from attnlab.bench.ranks.windows import Windows
from attnlab.bench.store.records import Outcome


class WrongOutput(Exception):
    """A rank returned what the contract does not have."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


@dataclass(frozen=True)
class Part:
    """An implementation on one rank of a case. shard: on this rank's device, and the same tensors for all calls.

    parts: of a call, that can be timed alone, when they have been asked for.
    """

    implementation: Any
    order: Prepare
    rank: int
    shard: Any
    state: Any
    parts: dict[str, Callable[[], object]] = field(default_factory=dict)

    @classmethod
    def prepared(cls, implementation: Any, order: Prepare, rank: int, device: torch.device) -> Part:
        shard = moved(order.ranks.shard(order.case, order.inputs, rank), device)
        chosen = () if order.chosen is None else (order.chosen,)
        return cls(implementation, order, rank, shard, implementation.prepare_rank(order.case, shard, *chosen))

    def call(self, windows: Windows, poisoned: bool) -> Done:
        """Take in what the whole inputs hold now, make one call in a window, and hand its outputs over."""
        order, filling = self.order, poisoned_memory() if poisoned else contextlib.nullcontext()
        fresh = order.ranks.shard(order.case, order.inputs, self.rank)
        take_in(self.shard, fresh)
        with filling:
            returned, elapsed_ns = windows.timed(lambda: self.implementation.run_rank(self.shard, self.state))
        if poisoned:
            refuse_changed(self.shard, fresh)
        for out, place in zip(self._outputs(returned), order.outputs, strict=True):
            place.copy_(out)
        return Done(elapsed_ns, told=self.implementation.told_rank(self.state))

    def alone(self, windows: Windows, name: str | None) -> Done:
        """What a part of a call takes by itself, in a window as calls have them; of no part, the names of all."""
        if name is None:
            self.parts.update(self.implementation.alone_rank(self.shard, self.state))
            return Done(value=tuple(self.parts))
        return Done(windows.timed(self.parts[name])[1])

    def _outputs(self, returned: Any) -> Sequence[Tensor]:
        specs = self.order.ranks.outputs(self.order.case, self.rank)
        got = tuple(returned) if isinstance(returned, (tuple, list)) else (returned,)
        if len(got) != len(specs) or not all(isinstance(out, Tensor) for out in got):
            kinds, names = ", ".join(type(out).__name__ for out in got), ", ".join(spec.name for spec in specs)
            raise WrongOutput(Outcome.WRONG_SHAPE, f"returned ({kinds}); expected {len(specs)} tensors: {names}")
        for out, spec in zip(got, specs, strict=True):
            _refuse_unlike(out, spec)
        return got


def _refuse_unlike(out: Tensor, spec: TensorSpec) -> None:
    if tuple(out.shape) != spec.shape:
        reason = f"output {spec.name} has shape {tuple(out.shape)}; expected {spec.shape}"
        raise WrongOutput(Outcome.WRONG_SHAPE, reason)
    if out.dtype != spec.dtype:
        raise WrongOutput(Outcome.WRONG_DTYPE, f"output {spec.name} has dtype {out.dtype}; expected {spec.dtype}")


def moved(value: Any, device: torch.device) -> Any:
    """A value whose tensors are on that device; itself where they are."""
    if isinstance(value, Tensor):
        return value.to(device)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: moved(getattr(value, f.name), device) for f in fields(value) if f.init}
        return value if all(part is getattr(value, name) for name, part in parts.items()) else replace(value, **parts)
    if isinstance(value, dict):
        return {key: moved(part, device) for key, part in value.items()}
    return value


def take_in(shard: Any, fresh: Any) -> None:
    """Put into a shard what is dynamic of the same shard now.

    A view of the whole inputs holds it already, in the caches of the process that wrote it: it is read once, so that it
    lies in this rank's, as what a rank has made itself does.
    """
    apart = _apart(shard, fresh, "dynamic")
    for path, tensor in tensors(shard, "dynamic").items():
        if path in apart:
            tensor.copy_(apart[path][1])
        else:
            tensor.clone()


def refuse_changed(shard: Any, fresh: Any) -> None:
    """Raise WrongOutput where a tensor of the shard is not what it was; of views the whole's owner tells."""
    for path, (tensor, was) in _apart(shard, fresh, "static", "dynamic").items():
        if not torch.equal(*(x.cpu().contiguous().view(torch.uint8) for x in (tensor, was))):
            reason = f"changed its input {path}, which must come back as it was"
            raise WrongOutput(Outcome.WRONG_VALUES, reason)


def _apart(shard: Any, fresh: Any, *roles: str) -> dict[str, tuple[Tensor, Tensor]]:
    """The tensors of those roles that do not lie where those of the other shard do, each with the other's."""
    others = tensors(fresh, *roles)
    pairs = {path: (tensor, others[path]) for path, tensor in tensors(shard, *roles).items() if tensor.numel()}
    return {path: pair for path, pair in pairs.items() if pair[0].data_ptr() != pair[1].data_ptr()}


@contextlib.contextmanager
def poisoned_memory() -> Iterator[None]:
    """Fresh memory is NaN inside, so that an element never written shows."""
    filling: Any = torch.utils.deterministic
    torch.set_deterministic_debug_mode("warn")
    filling.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode("default")
        filling.fill_uninitialized_memory = False
