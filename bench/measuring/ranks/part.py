"""What one rank has of a case: its implementation's state, its shard, and where its outputs go."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import TensorSpec, tensors
from attnlab.bench.contract.unfinished import unfinished_result
from attnlab.bench.measuring.judging.plain import check_plain, put
from attnlab.bench.measuring.judging.refusals import Rejected
from attnlab.bench.measuring.ranks import callbacks
from attnlab.bench.measuring.settings import Apart
from attnlab.bench.ranks.moving import moved
from attnlab.bench.ranks.orders import Done, Prepare
from attnlab.bench.ranks.windows import Windows
from attnlab.bench.store.records import Outcome


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
    apart: Apart
    parts: dict[str, Callable[[], object]] = field(default_factory=dict)

    @classmethod
    def prepared(
        cls, implementation: Any, order: Prepare, rank: int, device: torch.device, apart: Apart | None = None
    ) -> Part:
        """The shard lies in memory of this rank alone: what others hold comes to it by a collective or not at all."""
        shard = moved(order.ranks.shard(order.case, order.inputs, rank), device, copy=True)
        chosen = () if order.chosen is None else (order.chosen,)
        apart = Apart() if apart is None else apart
        with apart.foreign():
            state = implementation.prepare_rank(order.case, shard, *chosen)
        return cls(implementation, order, rank, shard, state, apart)

    def call(self, windows: Windows, poisoned: bool) -> Done:
        """Take in what the whole inputs hold now, make one call in a window, and hand its outputs over."""
        order, filling = self.order, poisoned_memory() if poisoned else contextlib.nullcontext()
        specs = order.ranks.outputs(order.case, self.rank)
        fresh = order.ranks.shard(order.case, order.inputs, self.rank)
        take_in(self.shard, fresh)
        with self.apart.foreign():
            callbacks.forget()
            with filling:
                returned, elapsed_ns = windows.timed(lambda: self.implementation.run_rank(self.shard, self.state))
            callbacks.refuse()
            for out, place in zip(outputs_of(returned, specs), order.outputs, strict=True):
                put(out, place)  # at once: work that goes on has no time to come to its end
        if poisoned:
            refuse_changed(self.shard, fresh)
        with self.apart.foreign():
            return Done(elapsed_ns, told=self.implementation.told_rank(self.state))

    def alone(self, windows: Windows, name: str | None) -> Done:
        """What a part of a call takes by itself, in a window as calls have them; of no part, the names of all."""
        with self.apart.foreign():
            if name is None:
                self.parts.update(self.implementation.alone_rank(self.shard, self.state))
                return Done(value=tuple(self.parts))
            return Done(windows.timed(self.parts[name])[1])


def outputs_of(returned: Any, specs: Sequence[TensorSpec]) -> Sequence[Tensor]:
    """What a call returned, as it is: nothing is computed when it is looked at. Raises Rejected."""
    unfinished = unfinished_result(returned)
    if unfinished is not None:
        raise Rejected(Outcome.FAILED, unfinished)
    got = tuple(returned) if type(returned) in (tuple, list) else (returned,)
    if len(got) != len(specs) or not all(isinstance(out, Tensor) for out in got):
        kinds, names = ", ".join(type(out).__name__ for out in got), ", ".join(spec.name for spec in specs)
        raise Rejected(Outcome.WRONG_SHAPE, f"returned ({kinds}); expected {len(specs)} tensors: {names}")
    for out, spec in zip(got, specs, strict=True):
        check_plain(out, spec, None)
    return got


def take_in(shard: Any, fresh: Any) -> None:
    """Put into a shard what is dynamic of the same shard now; what lies where that does holds it already.

    What was put lies in this rank's caches then, as what a rank has made itself does.
    """
    for tensor, now in _apart(shard, fresh, "dynamic").values():
        put(now, tensor)


def refuse_changed(shard: Any, fresh: Any) -> None:
    """Raise Rejected where a tensor of the shard is not what it was."""
    for path, (tensor, was) in _apart(shard, fresh, "static", "dynamic").items():
        if not torch.equal(*(x.cpu().contiguous().view(torch.uint8) for x in (tensor, was))):
            reason = f"changed its input {path}, which must come back as it was"
            raise Rejected(Outcome.WRONG_VALUES, reason)


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
