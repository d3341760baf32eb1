"""What implementations of a pipeline share: a stage a rank, that goes through a schedule of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attnlab.bench import OfRanks, PipelineCase, PipelineShard
from attnlab.impls.pipeline._stage import Stage, Step


@dataclass(frozen=True)
class Prepared:
    """A stage, and its steps."""

    stage: Stage
    steps: Sequence[Step]


class Scheduled(OfRanks):
    """Goes through the steps of `schedule`. ahead: takes the input of a step in while the one before computes."""

    ahead = True

    def schedule(self, shard: PipelineShard) -> Sequence[Step]:
        raise NotImplementedError

    def prepare_rank(self, case: PipelineCase, shard: PipelineShard) -> Prepared:
        return Prepared(Stage(shard), self.schedule(shard))

    def run_rank(self, shard: PipelineShard, state: Prepared) -> tuple[Tensor, ...]:
        return state.stage.run(shard, state.steps, self.ahead)

    def told_rank(self, state: Prepared) -> dict[str, float]:
        """How long this rank computed in the last call."""
        return {"busy": float(state.stage.busy_ns)}

    def alone_rank(self, shard: PipelineShard, state: Prepared) -> dict[str, Callable[[], object]]:
        """All layers on rank 0, for all micro-batches, while the others wait."""
        if shard.rank:
            return {"one_rank": lambda: None}
        x = torch.randn(shard.micro_batches, shard.rows, shard.up.shape[2]).to(shard.up)
        up, down = (torch.cat([w] * shard.world_size) for w in (shard.up, shard.down))
        whole = replace(shard, x=x, up=up, down=down, dout=x if shard.goes_back else None, world_size=1)
        stage, steps = Stage(whole), self.schedule(whole)
        return {"one_rank": lambda: stage.run(whole, steps, self.ahead)}
