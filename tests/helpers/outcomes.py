"""A plugin with an implementation of `toy` for each way in which a test of a suite can end."""

from __future__ import annotations

from torch import Tensor
from toy_operator import ToyInputs

from attnlab.bench import Needs, implements


@implements("toy", name="wrong")
def wrong(inputs: ToyInputs) -> Tensor:
    return inputs.x * 3


@implements("toy", name="raises")
def raises(inputs: ToyInputs) -> Tensor:
    raise ValueError("a fault\nof two lines")


@implements("toy", name="elsewhere", needs=Needs(device="cuda"))
def elsewhere(inputs: ToyInputs) -> Tensor:
    return inputs.x * 2


@implements("toy", name="interpreted")
class Interpreted:
    def untimed(self, kind: str) -> str:
        return "an interpreter's time means nothing"

    def run(self, inputs: ToyInputs, state: object) -> Tensor:
        return inputs.x * 2
