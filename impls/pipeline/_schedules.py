"""The order in which a stage takes micro-batches."""

from __future__ import annotations

from attnlab.bench import PipelineShard
from attnlab.impls.pipeline._stage import Step


def all_then_back(shard: PipelineShard) -> list[Step]:
    """GPipe (Huang et al., arXiv:1811.06965): all micro-batches forward, then all back, the last one first."""
    ahead = [Step(index) for index in range(shard.micro_batches)]
    return ahead + [Step(step.micro_batch, back=True) for step in reversed(ahead)] if shard.goes_back else ahead


def one_forward_one_back(shard: PipelineShard) -> list[Step]:
    """1F1B (Narayanan et al., arXiv:1806.03377): a stage begins with as many micro-batches as there are stages behind
    it, then goes forward and back by turns, so that it never keeps more than p of them."""
    count = shard.micro_batches
    early = min(count, shard.world_size - 1 - shard.rank)
    steps = [Step(index) for index in range(early)]
    for index in range(count - early):
        steps += [Step(early + index), Step(index, back=True)]
    return steps + [Step(index, back=True) for index in range(count - early, count)]
