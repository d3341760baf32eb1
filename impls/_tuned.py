"""What implementations on our Triton kernels share that are given a configuration: set-up, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from attnlab.bench import Configuration, Space
from attnlab.impls import _triton
from attnlab.impls._configs import Chooser

Tiling = Any
"""A frozen dataclass of a kernel's launcher, whose fields a configuration replaces; its str tells it."""


class TunedKernel:
    """Takes a configuration in set-up and compiles for it there; `run(inputs, state)` is the implementation's own.

    kernel: the key, such as `rmsnorm/triton`. built_in(case): the tiling that the launcher takes by itself. where: the
    field of the inputs whose device counts.
    """

    def __init__(self, kernel: str, space: Space, built_in: Callable[[Any], Tiling], where: str) -> None:
        self._space, self._built_in, self._where = space, built_in, where
        self._chooser = Chooser(kernel, space, "triton")

    def prepare(self, case: Any, inputs: Any, chosen: Configuration | None = None) -> Any:
        tensor = getattr(inputs, self._where)
        _triton.require_device(tensor)
        state = self.state(case, self._tiling(case, self._chooser.take(case, tensor.device, chosen)))
        if tensor.is_cuda:
            self.run(inputs, state)  # compiles
        return state

    def state(self, case: Any, tiling: Tiling) -> Any:
        """What `run` is handed; the tiling alone where it needs no more."""
        return tiling

    def run(self, inputs: Any, state: Any = None) -> Any:
        raise NotImplementedError

    def untimed(self, device_kind: str) -> str | None:
        return _triton.untimed(device_kind)

    def configuration(self, case: Any) -> str | None:
        told = self._chooser.told(case, lambda taken: str(self._tiling(case, taken)))
        return told or str(self._built_in(case))

    def _tiling(self, case: Any, taken: Configuration) -> Tiling:
        return replace(self._built_in(case), **taken)
