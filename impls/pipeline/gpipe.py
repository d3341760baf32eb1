"""A pipeline in GPipe's order."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench import PipelineShard, implements
from attnlab.impls.pipeline._scheduled import Scheduled
from attnlab.impls.pipeline._schedules import all_then_back
from attnlab.impls.pipeline._stage import Step


@implements("pipeline", name="gpipe")
class GPipe(Scheduled):
    """All micro-batches forward, then all back (Huang et al., arXiv:1811.06965); the next one comes in meanwhile."""

    def schedule(self, shard: PipelineShard) -> Sequence[Step]:
        return all_then_back(shard)
