"""A pipeline in GPipe's order, whose stages wait for what they take in."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench import PipelineShard, implements
from attnlab.impls.pipeline._scheduled import Scheduled
from attnlab.impls.pipeline._schedules import all_then_back
from attnlab.impls.pipeline._stage import Step


@implements("pipeline", name="gpipe_blocking")
class GPipeBlocking(Scheduled):
    """As `gpipe`, but that a stage begins to take a micro-batch in when it is that one's turn."""

    ahead = False

    def schedule(self, shard: PipelineShard) -> Sequence[Step]:
        return all_then_back(shard)
