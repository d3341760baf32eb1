"""Broken decoders: faults of position, of the cache's length, of pages, of the prompt's mask, of rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlab.bench.llm.masks import Mask
from attnlab.bench.ops.decode_attention.inputs import DecodeInputs
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs
from attnlab.impls.generate._engine.adapter import EngineAdapter
from attnlab.impls.generate._engine.attention import CachedAttention
from attnlab.impls.generate._engine.batching import Batching, StaticBatching
from attnlab.impls.generate._engine.continuous_batching import ContinuousBatching
from attnlab.impls.generate._engine.kv_caches import KVCaches

from .collection import Collection

GENERATE_DEFECTS = Collection("generate")
LATE = 16  # a position


class Decodes(EngineAdapter):
    """Our decoder, told so that its parts can be spoilt."""

    def prepare(self, case: GenerateCase, inputs: GenerateInputs) -> Batching:
        batching = super().prepare(case, inputs)
        if isinstance(batching, StaticBatching):
            for runner in {id(r): r for r in (batching.full, batching.last)}.values():
                self.spoil(runner.engine)
        elif isinstance(batching, ContinuousBatching):
            self.spoil(batching.engine)
        return batching

    def spoil(self, engine: Any) -> None:
        """Nothing."""


def always(case: Any) -> bool:
    return True


def static(case: Any) -> bool:
    return bool(case.batching == "static")


def paged(case: Any) -> bool:
    return bool(static(case) and case.placing.paged)


class Displaced(Decodes):
    """Positions that are displaced."""

    def spoil(self, engine: Any) -> None:
        right = engine.decoder.hidden_states

        def hidden(ids: Tensor, positions: Tensor, *rest: Any, **more: Any) -> Tensor:
            most = engine.decoder.positions - 1
            return right(ids, self.displaced(ids, positions).clamp(0, most), *rest, **more)  # type: ignore[no-any-return]

        engine.decoder.hidden_states = hidden

    def displaced(self, ids: Tensor, positions: Tensor) -> Tensor:
        return positions


def is_step(ids: Tensor) -> bool:
    return ids.shape[1] <= 4


@GENERATE_DEFECTS.broken(static)
class StepsOneAhead(Displaced):
    def displaced(self, ids: Tensor, positions: Tensor) -> Tensor:
        return positions + is_step(ids)


@GENERATE_DEFECTS.broken(static)
class StepsOneBehind(Displaced):
    def displaced(self, ids: Tensor, positions: Tensor) -> Tensor:
        return positions - int(is_step(ids))


@GENERATE_DEFECTS.broken(static)
class PromptOneAhead(Displaced):
    def displaced(self, ids: Tensor, positions: Tensor) -> Tensor:
        return positions + (not is_step(ids))


@GENERATE_DEFECTS.broken(always)
class OneAheadFromAPlaceOn(Displaced):
    def displaced(self, ids: Tensor, positions: Tensor) -> Tensor:
        return positions + (positions >= LATE)


@GENERATE_DEFECTS.broken(always)
class NoFurtherThanAPlace(Displaced):
    """A table of rotations that is too short, and read at its end."""

    def displaced(self, ids: Tensor, positions: Tensor) -> Tensor:
        return positions.clamp_max(LATE)


class OfLength(Decodes):
    """Steps that see another number of keys than there are."""

    def spoil(self, engine: Any) -> None:
        attention, caches = engine.attention, engine.caches
        right = attention.decode

        def attend(plan: Any, starts: Tensor, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            before = (starts + q.shape[1]).clone()
            wrong = self.lengths(before, caches)
            caches.lengths.copy_(before)
            right(plan, starts, layer, q, k, v)  # stores
            caches.lengths.copy_(wrong)
            mask = attention.masks[layer]
            inputs = DecodeInputs(q.transpose(1, 2), caches.layers[layer], mask, attention.scale)
            out = attention.plan(q.shape[1], wrong.tolist()).attend[attention._kind(layer)](inputs)
            caches.lengths.copy_(before)
            return out.transpose(1, 2)  # type: ignore[no-any-return]

        attention.decode = attend

    def lengths(self, right: Tensor, caches: KVCaches) -> Tensor:
        return right


@GENERATE_DEFECTS.broken(static)
class NewestKeyUnseen(OfLength):
    def lengths(self, right: Tensor, caches: KVCaches) -> Tensor:
        return right - 1


@GENERATE_DEFECTS.broken(static)
class OneKeyTooMany(OfLength):
    """A slot that holds nothing yet."""

    def lengths(self, right: Tensor, caches: KVCaches) -> Tensor:
        return right + 1


@GENERATE_DEFECTS.broken(paged)
class LastPageUnseen(OfLength):
    """Unless it is full."""

    def lengths(self, right: Tensor, caches: KVCaches) -> Tensor:
        page = caches.layout.page_tokens
        assert page is not None
        return torch.where(right % page == 1, right - 1, right)


class AfterThePrompt(Decodes):
    """A cache that is not what the prompt left there."""

    def spoil(self, engine: Any) -> None:
        right = engine.prefill

        def prefill(ids: Tensor, kind: str = "prefill") -> Tensor:
            logits = right(ids, kind)
            self.change(engine)
            return logits  # type: ignore[no-any-return]

        engine.prefill = prefill

    def change(self, engine: Any) -> None:
        """Nothing."""


@GENERATE_DEFECTS.broken(lambda case: static(case) and not case.placing.paged and case.cache == "same")
class FirstKeyLost(AfterThePrompt):
    def change(self, engine: Any) -> None:
        for cache in engine.caches.layers:
            planes = [plane for _, side in cache.sides for plane in side.planes.values()]
            for plane in planes:
                (plane[:, 0] if plane.shape[1] > engine.decoder.config.kv_heads else plane[:, :, 0]).zero_()


@GENERATE_DEFECTS.broken(paged)
class PagesSwapped(AfterThePrompt):
    def change(self, engine: Any) -> None:
        engine.caches.table.copy_(engine.caches.table.flip(1))


@GENERATE_DEFECTS.broken(lambda case: paged(case) and case.batch > 1)
class CacheOfTheNextRow(AfterThePrompt):
    def change(self, engine: Any) -> None:
        engine.caches.table.copy_(engine.caches.table.roll(1, 0))


class OfPrompt(Decodes):
    """Prompts that are attended wrongly, and stored rightly."""

    def spoil(self, engine: Any) -> None:
        attention = engine.attention
        right = attention.prefill

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            right(layer, q, k, v)
            q, k, v = (x.transpose(1, 2) for x in (q, k, v))
            k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
            length = q.shape[2]
            place = torch.arange(length)
            seen, k, v = self.seen(place <= place[:, None], k, v)
            scores = (q @ k.mT * attention.scale).masked_fill(~seen, -torch.inf)
            return (scores.softmax(-1).nan_to_num(0.0) @ v).transpose(1, 2)

        attention.prefill = attend

    def seen(self, right: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return right, k, v


@GENERATE_DEFECTS.broken(static)
class LastOfThePromptBlind(OfPrompt):
    """To itself."""

    def seen(self, right: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        right = right.clone()
        right[-1, -1] = False
        return right, k, v


@GENERATE_DEFECTS.broken(static)
class PaddingSeen(OfPrompt):
    def seen(self, right: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        more = torch.ones(len(right), 1, dtype=torch.bool)
        k, v = (torch.cat([x, torch.zeros_like(x[:, :, :1])], 2) for x in (k, v))
        return torch.cat([right, more], 1), k, v


@GENERATE_DEFECTS.broken(static)
class LookingAhead(OfPrompt):
    """By one token."""

    def seen(self, right: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return right | right.roll(1, 1).triu(1).logical_and(torch.ones_like(right).tril(1)), k, v


@GENERATE_DEFECTS.broken(lambda case: case.batching == "continuous")
class LastKeyBeforeAChunkUnseen(Decodes):
    def spoil(self, engine: Any) -> None:
        right = CachedAttention._attend_causally

        def blind(self: CachedAttention, mask: Mask, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            before = k.shape[1] - q.shape[1]
            if before:
                k, v = (torch.cat([x[:, : before - 1], x[:, before:]], 1) for x in (k, v))
            return right(self, mask, q, k, v)

        over = engine.attention.over

        def blind_over(caches: KVCaches) -> CachedAttention:
            other: CachedAttention = over(caches)
            other._attend_causally = blind.__get__(other)  # type: ignore[method-assign]
            return other

        engine.attention.over = blind_over


@GENERATE_DEFECTS.broken(lambda case: static(case) and not case.placing.paged)
class StaleCache(Decodes):
    """The second prompt that an engine is given is not stored."""

    def spoil(self, engine: Any) -> None:
        attention, served = engine.attention, []
        right, reset = attention.prefill, engine.reset

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if len(served) > 1:
                return attention._attend_causally(layer, q, k, v)  # type: ignore[no-any-return]
            return right(layer, q, k, v)  # type: ignore[no-any-return]

        def reset_and_count() -> None:
            served.append(True)
            reset()

        attention.prefill, engine.reset = attend, reset_and_count
