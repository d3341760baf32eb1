"""One stage of a pipeline: its layers, what it keeps for the way back, and what it hands to its neighbours."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn.functional import gelu, linear

from attnlab.bench import PipelineShard


class Step(NamedTuple):
    """What a stage does next: `micro_batch` forward, or back."""

    micro_batch: int
    back: bool = False


class Stage:
    """The layers of one rank, with room for what a call brings. busy_ns: how long the last call computed."""

    def __init__(self, shard: PipelineShard) -> None:
        self.shard, self.busy_ns = shard, 0
        self.coming, self.going = self._room(), self._room()
        self.up, self.down = ([w.detach().requires_grad_(shard.goes_back) for w in ws] for ws in (shard.up, shard.down))
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}  # of micro-batches that are to come back: in and out
        self.dup, self.ddown = (torch.empty_like(w, dtype=torch.float32) for w in (shard.up, shard.down))
        self.out = self.dx = shard.up.new_empty(0)
        self._receives: dict[Step, dist.Work] = {}
        self._sends: list[dist.Work] = []

    def _room(self) -> dict[Step, Tensor]:
        """[M, H] for each micro-batch, forward and back; each a tensor of its own, as autograd holds on to some."""
        s, ways = self.shard, (False, True) if self.shard.goes_back else (False,)
        steps = [Step(index, back) for back in ways for index in range(s.micro_batches)]
        return {step: s.up.new_empty(s.rows, s.up.shape[2]) for step in steps}

    @property
    def first(self) -> bool:
        return self.shard.rank == 0

    @property
    def last(self) -> bool:
        return self.shard.rank == self.shard.world_size - 1

    def run(self, shard: PipelineShard, schedule: Sequence[Step], ahead: bool) -> tuple[Tensor, ...]:
        """A call: the steps in their order. ahead: what a step is given is taken in while the one before computes."""
        self.begin(shard)
        for place, step in enumerate(schedule):
            self.expect(step)
            self.wait_for(step)
            if ahead and place + 1 < len(schedule):
                self.expect(schedule[place + 1])
            begun_ns = time.perf_counter_ns()
            self.back(step.micro_batch) if step.back else self.forward(step.micro_batch)
            self.busy_ns += time.perf_counter_ns() - begun_ns
            self.send(step)
        for work in self._sends:
            work.wait()
        return self.given()

    def begin(self, shard: PipelineShard) -> None:
        """A call begins, with nothing of the one before."""
        self.shard, self.busy_ns = shard, 0
        self._sends.clear()
        if self.last:
            self.out = self._whole()
        if shard.goes_back:
            self.dx = self._whole() if self.first else self.dx
            self.dup.zero_()
            self.ddown.zero_()

    def _whole(self) -> Tensor:
        """Room for all micro-batches [m, M, H]."""
        return self.shard.up.new_empty(self.shard.micro_batches, self.shard.rows, self.shard.up.shape[2])

    def given(self) -> tuple[Tensor, ...]:
        """What the stage gives of a call."""
        found = [self.out] if self.last else []
        if self.shard.goes_back:
            found += [self.dx] if self.first else []
            found += [total.to(self.shard.up.dtype) for total in (self.dup, self.ddown)]
        return tuple(found)

    def expect(self, step: Step) -> None:
        """Begin to take in what a step is given by another stage, unless that began already."""
        own = self.last if step.back else self.first
        if not own and step not in self._receives:
            source = self.shard.rank + (1 if step.back else -1)
            receive = dist.irecv(self.coming[step], source, tag=_tag(step))
            assert receive is not None, "of a rank of the group"
            self._receives[step] = receive

    def wait_for(self, step: Step) -> None:
        work = self._receives.pop(step, None)
        if work is not None:
            work.wait()

    def send(self, step: Step) -> None:
        """Begin to hand on what a step made."""
        own = self.first if step.back else self.last
        if not own:
            target = self.shard.rank + (-1 if step.back else 1)
            sent = dist.isend(self.going[step], target, tag=_tag(step))
            assert sent is not None, "of a rank of the group"
            self._sends.append(sent)

    def forward(self, index: int) -> None:
        given = self.coming[Step(index)] if self.shard.x is None else self.shard.x[index]
        x = given.detach().requires_grad_(self.shard.goes_back)
        with torch.set_grad_enabled(self.shard.goes_back):
            y = self.through(x)
        if self.shard.goes_back:
            self.kept[index] = x, y
        (self.out[index] if self.last else self.going[Step(index)]).copy_(y.detach())

    def through(self, x: Tensor) -> Tensor:
        """A micro-batch [M, H] through the stage's layers."""
        for up, down in zip(self.up, self.down, strict=True):
            x = x + linear(gelu(linear(x, up)), down)
        return x

    def back(self, index: int) -> None:
        x, y = self.kept.pop(index)
        dout = self.coming[Step(index, back=True)] if self.shard.dout is None else self.shard.dout[index]
        dx, *grads = torch.autograd.grad(y, [x, *self.up, *self.down], dout)
        for total, grad in zip((*self.dup, *self.ddown), grads, strict=True):
            total += grad
        (self.dx[index] if self.first else self.going[Step(index, back=True)]).copy_(dx)


def _tag(step: Step) -> int:
    return 2 * step.micro_batch + int(step.back)
