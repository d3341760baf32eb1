"""Implementations that are written as what one rank does; their calls are made by a group of ranks."""

from __future__ import annotations

import atexit
import itertools
import sys
import weakref
from collections.abc import Callable
from typing import Any, Protocol

import torch

from attnlab.bench.contract.operator_spec import Ranks, tensors
from attnlab.bench.contract.ranks import RankedOutputs, TimesAlone
from attnlab.bench.contract.registry import registry
from attnlab.bench.errors import MeasurementError, PluginError
from attnlab.bench.ranks.group import Group, Place
from attnlab.bench.ranks.moving import moved
from attnlab.bench.ranks.orders import Call, Done, Forget, Inspect, Load, Prepare, TimeAlone
from attnlab.bench.ranks.shared import SharedMemory


class OfRanks:
    """The base of an implementation of an operator over several ranks.

    prepare_rank(case, shard)    what one rank sets up, untimed; its result is `state`
    run_rank(shard, state)       the timed call of one rank; returns its output tensor, or a tuple of them
    told_rank(state)             optional: what the rank says of the call that it made last, in nanoseconds by name:
                                 `busy`, how long it computed
    alone_rank(shard, state)     optional: parts of a call by name, functions without arguments that are timed by
                                 themselves between calls: `communication`, `computation`, and `one_rank`, the whole
                                 problem on rank 0; each rank gives the same names in the same order

    `shard` holds the rank's inputs, as the operator shares them out: the same tensors in all calls, with new values in
    those that are dynamic. In both, torch.distributed's default group is the ranks of the case: gloo on CPUs, with one
    thread a rank, and NCCL on GPUs, where the current device is the rank's. Each rank makes an object of the class, so
    that it has to lie at the top of a module and be made without arguments. `untimed`, `supports` and `configuration`
    are as of any implementation, and asked in the process that owns the ranks.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in ("prepare", "run"):
            if getattr(cls, name) is not getattr(OfRanks, name):
                raise PluginError(
                    f"class {cls.__qualname__} has a {name} of its own, where OfRanks starts and times "
                    f"the ranks; write {name}_rank, which is what one rank does"
                )

    def prepare_rank(self, case: Any, shard: Any) -> Any:
        """Nothing, where a rank needs none."""
        return None

    def run_rank(self, shard: Any, state: Any) -> Any:
        raise NotImplementedError(f"{type(self).__qualname__}.run_rank(shard, state): write what one rank does")

    def told_rank(self, state: Any) -> dict[str, float]:
        """Nothing, where a rank has nothing to say."""
        return {}

    def alone_rank(self, shard: Any, state: Any) -> dict[str, Callable[[], object]]:
        """Nothing, where no part is timed by itself."""
        return {}

    def prepare(self, case: Any, inputs: Any, chosen: Any = None) -> OverRanks:
        """Ranks that are set up on the shards of these inputs, which come to lie in memory that they share."""
        return OverRanks(type(self), case, inputs, chosen)

    def run(self, inputs: Any, state: OverRanks) -> RankedOutputs:
        """A call of all ranks."""
        return state.call(inputs)


_groups: dict[Place, Group] = {}
_users: weakref.WeakSet[HasGroup] = weakref.WeakSet()
_keys = itertools.count()


class HasGroup(Protocol):
    """Whoever has use for a group, for as long as it lives."""

    group: Group


def used_by(user: HasGroup) -> None:
    """A group is not ended for another while its user lives."""
    _users.add(user)


def end_groups() -> None:
    """End all ranks of this process."""
    while _groups:
        _groups.popitem()[1].end()


atexit.register(end_groups)


def inspect_ranks() -> None:
    """Raise RankFailed where code in a rank of this process changed the harness there, which times the calls."""
    for group in list(_groups.values()):
        if group.alive:
            group.ask("being inspected", [Inspect()] * group.place.world_size)


def group_for(place: Place) -> Group:
    """The ranks that are there already, or new ones; others that nobody uses are ended then."""
    if place not in _groups or not _groups[place].alive:
        used = {id(user.group) for user in _users}
        for other in [other for other, group in _groups.items() if id(group) not in used or other == place]:
            _groups.pop(other).end()
        _groups[place] = Group(place)
    return _groups[place]


class OverRanks:
    """An implementation that ranks have prepared on a case, and its calls on one set of inputs or more."""

    def __init__(self, implementation: type[OfRanks], case: Any, inputs: Any, chosen: Any = None) -> None:
        self._implementation, self._case, self._chosen = implementation, case, chosen
        ranks = registry.operators.get(case.kind).ranks
        if ranks is None:
            raise MeasurementError(f"operator {case.kind} is none over ranks; derive from OfRanks only for those")
        self.ranks: Ranks[Any, Any] = ranks
        self._device = next(iter(tensors(inputs).values())).device
        self.group = group_for(Place(ranks.world_size(case), self._device.type))
        self._sets = {id(inputs): self._prepared(inputs)}
        used_by(self)

    def call(self, inputs: Any) -> RankedOutputs:
        """Of all ranks, on these inputs; where they were not there at `prepare`, ranks are set up on them first."""
        if id(inputs) not in self._sets:
            self._sets[id(inputs)] = self._prepared(inputs)
        return self._sets[id(inputs)].call(poisoned())

    def _prepared(self, inputs: Any) -> InputsOfRanks:
        return InputsOfRanks(self, inputs, self._implementation, self._case, self._chosen)


class InputsOfRanks:
    """One set of inputs that lies in memory which ranks share, and the outputs of a call on it."""

    def __init__(self, owner: OverRanks, inputs: Any, implementation: type[OfRanks], case: Any, chosen: Any) -> None:
        self._inputs, self._case, self._ranks, self._group = inputs, case, owner.ranks, owner.group
        self._key, size = next(_keys), owner.group.place.world_size
        self._alone: tuple[str, ...] | None = None
        memory = SharedMemory()
        self._device = next(iter(tensors(inputs).values())).device
        self._mirror = mirror(inputs, memory)
        specs = [owner.ranks.outputs(case, rank) for rank in range(size)]
        self._outputs = [tuple(memory.empty(spec.shape, spec.dtype) for spec in some) for some in specs]
        named = implementation.__module__, implementation.__qualname__
        modules = modules_of(implementation, type(case), type(inputs), owner.ranks.shard)
        self._group.ask("importing", [Load(modules)] * size)
        orders = [Prepare(self._key, named, owner.ranks, case, self._mirror, outs, chosen) for outs in self._outputs]
        self._group.ask("preparing", orders, memory)
        memory.close()
        weakref.finalize(self, self._group.forget, Forget(self._key))

    def call(self, poisons: bool) -> RankedOutputs:
        """What ranks hold when it begins is what the inputs hold now."""
        if self._mirror is not self._inputs:
            theirs = tensors(self._mirror)
            for path, tensor in tensors(self._inputs, "dynamic").items():
                theirs[path].copy_(tensor)
        done = self._group.ask("in a call", [Call(self._key, poisons)] * len(self._outputs))
        whole = tuple(out.to(self._device) for out in self._ranks.join(self._case, self._outputs))
        return RankedOutputs(whole, tuple(one.elapsed_ns for one in done), tuple(one.told for one in done), self.alone)

    def alone(self, count: int) -> TimesAlone:
        """Parts of a call by themselves, so many times, as long as on the slowest rank; {} where there are none."""
        if self._alone is None:
            self._alone = tuple(self._time_alone(None)[0].value)
        return {
            name: tuple(max(one.elapsed_ns for one in self._time_alone(name)) for _ in range(count))
            for name in self._alone
        }

    def _time_alone(self, name: str | None) -> list[Done]:
        """Of all ranks, which are done before any begins the next."""
        what = "naming parts of a call" if name is None else f"in the {name} of a call alone"
        return self._group.ask(what, [TimeAlone(self._key, name)] * len(self._outputs))


def mirror(inputs: Any, memory: SharedMemory) -> Any:
    """The inputs themselves, moved into that memory, or of those of a device the same on the CPU."""
    held = tensors(inputs)
    mirrored = inputs if all(x.device.type == "cpu" for x in held.values()) else moved(inputs, torch.device("cpu"))
    memory.adopt(tensors(mirrored).values())
    return mirrored


def poisoned() -> bool:
    """Whether fresh memory is NaN in this process now, as in checks (see `measuring.correctness`)."""
    filling: Any = torch.utils.deterministic
    return torch.get_deterministic_debug_mode() != 0 and bool(filling.fill_uninitialized_memory)


def next_key() -> int:
    """What stands for something that ranks hold."""
    return next(_keys)


def modules_of(*things: Any) -> dict[str, str | None]:
    """The modules, each with its file, that ranks have to import for these; raises PluginError where they cannot."""
    found: dict[str, str | None] = {}
    for thing in things:
        name, written = thing.__module__, thing.__qualname__
        if name == "__main__" or "<locals>" in written:
            raise PluginError(
                f"{name}.{written} cannot be imported by the processes of ranks; put it at the top of a module"
            )
        found[name] = getattr(sys.modules.get(name), "__file__", None)
    return found
