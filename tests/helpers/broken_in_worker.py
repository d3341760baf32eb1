"""A plugin that imports in the process that PARENT_OF_WORKERS names, and nowhere else."""

from __future__ import annotations

import os

if os.environ["PARENT_OF_WORKERS"] != str(os.getpid()):
    raise RuntimeError("no kernel without its driver")

from torch import Tensor
from toy_operator import ToyInputs

from attnlab.bench import implements


@implements("toy", name="parent_only")
def parent_only(inputs: ToyInputs) -> Tensor:
    return inputs.x * 2
