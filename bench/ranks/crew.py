"""A crew: an object of one class on each of several ranks, whose methods are called on all of them together."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.ranks.group import Place
from attnlab.bench.ranks.of_ranks import group_for, modules_of, next_key, poisoned, used_by
from attnlab.bench.ranks.orders import Do, Forget, Load, Make
from attnlab.bench.ranks.shared import SharedMemory


class Crew:
    """For implementations that decide in their own process and compute on several ranks.

    kind: a class at the top of a module. arguments: what it is made with on each rank; tensors of theirs on the CPU
    come to lie in memory that the processes share. device: cpu or cuda. Each rank's process has the default group of
    torch.distributed, as under `OfRanks`. Raises RankFailed, which names the rank, where one dies, raises or is late.
    """

    def __init__(self, kind: type, arguments: Sequence[tuple[Any, ...]], device: str) -> None:
        self._size, self._key = len(arguments), next_key()
        self.group = group_for(Place(self._size, device))
        memory = SharedMemory()
        memory.adopt_of(list(arguments))
        self.group.ask("importing", [Load(modules_of(kind))] * self._size)
        named = kind.__module__, kind.__qualname__
        self.group.ask("preparing", [Make(self._key, named, tuple(given)) for given in arguments], memory)
        memory.close()
        weakref.finalize(self, self.group.forget, Forget(self._key))
        used_by(self)

    def room(self, method: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor on the CPU that all share, zeros at first, which is given to a method of each rank's object."""
        memory = SharedMemory()
        made = memory.empty(shape, dtype)
        self._ask(method, (made,), memory)
        memory.close()
        return made

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """What the method returns on each rank, in their order."""
        return self._ask(method, arguments)

    def _ask(self, method: str, arguments: tuple[Any, ...], memory: SharedMemory | None = None) -> list[Any]:
        order = Do(self._key, method, arguments, poisoned())
        return [one.value for one in self.group.ask(f"in {method}", [order] * self._size, memory)]
