"""Broken pipelines: stages that are skipped, micro-batches out of order, activations and gradients of another time.

Ranks import this file by itself, so that it leans on none beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from attnlab.bench.ops.pipeline.case import PipelineShard
from attnlab.impls.pipeline._scheduled import Prepared, Scheduled
from attnlab.impls.pipeline._schedules import all_then_back
from attnlab.impls.pipeline._stage import Stage, Step


class Staged(Scheduled):
    """GPipe's order, by a stage that can be spoilt."""

    stage: type[Stage] = Stage

    def schedule(self, shard: PipelineShard) -> Sequence[Step]:
        return all_then_back(shard)

    def prepare_rank(self, case: Any, shard: PipelineShard) -> Prepared:
        return Prepared(self.stage(shard), self.schedule(shard))


def always(case: Any) -> bool:
    return True


def several(case: Any) -> bool:
    return bool(case.micro_batches > 1)


def back(case: Any) -> bool:
    return bool(case.goes_back)


class PassesOn(Stage):
    def through(self, x: Tensor) -> Tensor:
        right = super().through(x)
        return x + 0.0 * right if self.last else right


class StageSkipped(Staged):
    """The last stage passes on what it is given."""

    stage = PassesOn


class LeavesOutOne(Stage):
    def through(self, x: Tensor) -> Tensor:
        kept = self.up, self.down
        if not self.first:
            self.up, self.down = self.up[::-1], self.down[::-1]
        try:
            return super().through(x)
        finally:
            self.up, self.down = kept


class LayersInWrongOrder(Staged):
    stage = LeavesOutOne


class Reverses(Stage):
    def given(self) -> tuple[Tensor, ...]:
        if self.last:
            self.out = self.out.flip(0)
        return super().given()


class MicroBatchesInWrongOrder(Staged):
    stage = Reverses


class Drops(Stage):
    def given(self) -> tuple[Tensor, ...]:
        if self.last:
            self.out[-1] = 0.0
        return super().given()


class LastMicroBatchDropped(Staged):
    stage = Drops


class IsLate(Stage):
    """Takes what came one micro-batch before."""

    def forward(self, index: int) -> None:
        step, before = Step(index), Step(max(0, index - 1))
        right = self.coming[step]
        self.coming[step] = self.coming[before].clone()
        super().forward(index)
        self.coming[step] = right


class StaleActivations(Staged):
    stage = IsLate


class RemembersFirst(Stage):
    """Goes on with what came in the first call."""

    def wait_for(self, step: Step) -> None:
        super().wait_for(step)
        if not step.back and not self.first:
            old = self.__dict__.setdefault("old", {})
            self.coming[step].copy_(old.setdefault(step, self.coming[step].clone()))


class ActivationsOfTheFirstCall(Staged):
    stage = RemembersFirst


class KeepsTheLast(Stage):
    def back(self, index: int) -> None:
        self.dup.zero_()
        self.ddown.zero_()
        super().back(index)


class GradientsOfOneMicroBatch(Staged):
    stage = KeepsTheLast


class NeverZeroes(Stage):
    def begin(self, shard: PipelineShard) -> None:
        if not shard.goes_back:
            return super().begin(shard)
        kept = self.__dict__.get("kept_grads")
        super().begin(shard)
        if kept is not None:
            self.dup, self.ddown = (x.clone() for x in kept)
        return None

    def given(self) -> tuple[Tensor, ...]:
        self.__dict__["kept_grads"] = self.dup.clone(), self.ddown.clone()
        return super().given()


class GradientsOfCallsAddedUp(Staged):
    stage = NeverZeroes


class PassesGradientsOn(Stage):
    def back(self, index: int) -> None:
        super().back(index)
        if not self.first:
            self.going[Step(index, back=True)].zero_()


class GradientNotHandedBack(Staged):
    stage = PassesGradientsOn


DEFECTS: dict[type, Callable[[Any], bool]] = {
    StageSkipped: always,
    LayersInWrongOrder: lambda case: case.layers > case.world_size,
    MicroBatchesInWrongOrder: several,
    LastMicroBatchDropped: always,
    StaleActivations: several,
    ActivationsOfTheFirstCall: always,
    GradientsOfOneMicroBatch: lambda case: back(case) and several(case),
    GradientsOfCallsAddedUp: back,
    GradientNotHandedBack: back,
}
