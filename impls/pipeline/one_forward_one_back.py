"""A pipeline in 1F1B order."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench import PipelineCase, PipelineShard, implements
from attnlab.impls.pipeline._scheduled import Scheduled
from attnlab.impls.pipeline._schedules import one_forward_one_back
from attnlab.impls.pipeline._stage import Step


@implements("pipeline", name="one_forward_one_back")
class OneForwardOneBack(Scheduled):
    """Forward and back by turns, 1F1B (Narayanan et al., arXiv:1806.03377): a stage keeps at most p micro-batches."""

    def supports(self, case: PipelineCase) -> str | None:
        return None if case.goes_back else f"passes={case.passes} is not served: forward_backward only"

    def schedule(self, shard: PipelineShard) -> Sequence[Step]:
        return one_forward_one_back(shard)
