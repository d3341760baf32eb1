"""A plugin whose implementation of `toy` waits at size 16 for a file, so that a run can be killed there."""

from __future__ import annotations

import os
import time
from pathlib import Path

from torch import Tensor
from toy_operator import ToyInputs

from attnlab.bench import implements


@implements("toy", name="gated")
def gated(inputs: ToyInputs) -> Tensor:
    while inputs.x.numel() == 16 and not Path(os.environ["GATE"]).exists():
        time.sleep(0.02)
    return inputs.x * 2
