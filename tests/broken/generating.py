"""Broken decoders: faults of position, of the cache's length, of pages, of the prompt's mask, of rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlab.bench.llm.masks import Mask
from attnlab.bench.ops.decode_attention.inputs import DecodeInputs
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs
from attnlab.impls._lm.continuous import Continuous
from attnlab.impls._lm.memory import Memory
from attnlab.impls._lm.serving import Ours, Server, Static

from .collection import Collection

GENERATE_DEFECTS = Collection("generate")
LATE = 16  # a position


class Decodes(Ours):
    """Our decoder, told so that its parts can be spoilt."""

    def prepare(self, case: GenerateCase, inputs: GenerateInputs) -> Server:
        server = super().prepare(case, inputs)
        if isinstance(server, Static):
            for desk in {id(d): d for d in (server.whole, server.last)}.values():
                self.spoil(desk.engine)
        elif isinstance(server, Continuous):
            self.spoil(server.engine)
        return server

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
        right = engine.decoder.hidden

        def hidden(ids: Tensor, positions: Tensor, *rest: Any, **more: Any) -> Tensor:
            most = engine.decoder.positions - 1
            return right(ids, self.displaced(ids, positions).clamp(0, most), *rest, **more)  # type: ignore[no-any-return]

        engine.decoder.hidden = hidden

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
        memory = engine.memory
        right = memory.attend

        def attend(plan: Any, starts: Tensor, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            before = (starts + q.shape[1]).clone()
            wrong = self.lengths(before, memory)
            memory.lengths.copy_(before)
            right(plan, starts, layer, q, k, v)  # stores
            memory.lengths.copy_(wrong)
            inputs = DecodeInputs(q.transpose(1, 2), memory.caches[layer], memory.masks[layer], memory.scale)
            out = memory.plan(q.shape[1], wrong.tolist()).attend[memory.masks[layer]](inputs)
            memory.lengths.copy_(before)
            return out.transpose(1, 2)  # type: ignore[no-any-return]

        memory.attend = attend

    def lengths(self, right: Tensor, memory: Memory) -> Tensor:
        return right


@GENERATE_DEFECTS.broken(static)
class NewestKeyUnseen(OfLength):
    def lengths(self, right: Tensor, memory: Memory) -> Tensor:
        return right - 1


@GENERATE_DEFECTS.broken(static)
class OneKeyTooMany(OfLength):
    """A slot that holds nothing yet."""

    def lengths(self, right: Tensor, memory: Memory) -> Tensor:
        return right + 1


@GENERATE_DEFECTS.broken(paged)
class LastPageUnseen(OfLength):
    """Unless it is full."""

    def lengths(self, right: Tensor, memory: Memory) -> Tensor:
        page = memory.layout.page_tokens
        assert page is not None
        return torch.where(right % page == 1, right - 1, right)


class AfterThePrompt(Decodes):
    """A cache that is not what the prompt left there."""

    def spoil(self, engine: Any) -> None:
        right = engine.prompt

        def prompt(ids: Tensor, kind: str = "prefill") -> Tensor:
            logits = right(ids, kind)
            self.change(engine.memory, ids.shape[1])
            return logits  # type: ignore[no-any-return]

        engine.prompt = prompt

    def change(self, memory: Memory, tokens: int) -> None:
        """Nothing."""


@GENERATE_DEFECTS.broken(lambda case: static(case) and not case.placing.paged and case.cache == "same")
class FirstKeyLost(AfterThePrompt):
    def change(self, memory: Memory, tokens: int) -> None:
        for cache in memory.caches:
            planes = [plane for _, side in cache.sides for plane in side.planes.values()]
            for plane in planes:
                (plane[:, 0] if plane.shape[1] > memory.config.kv_heads else plane[:, :, 0]).zero_()


@GENERATE_DEFECTS.broken(paged)
class PagesSwapped(AfterThePrompt):
    def change(self, memory: Memory, tokens: int) -> None:
        assert memory.table is not None
        memory.table.copy_(memory.table.flip(1))


@GENERATE_DEFECTS.broken(lambda case: paged(case) and case.batch > 1)
class CacheOfTheNextRow(AfterThePrompt):
    def change(self, memory: Memory, tokens: int) -> None:
        assert memory.table is not None
        memory.table.copy_(memory.table.roll(1, 0))


class OfPrompt(Decodes):
    """Prompts that are attended wrongly, and stored rightly."""

    def spoil(self, engine: Any) -> None:
        memory = engine.memory
        right = memory.attend_prompt

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            right(layer, q, k, v)
            q, k, v = (x.transpose(1, 2) for x in (q, k, v))
            k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
            length = q.shape[2]
            place = torch.arange(length)
            seen, k, v = self.seen(place <= place[:, None], k, v)
            scores = (q @ k.mT * memory.scale).masked_fill(~seen, -torch.inf)
            return (scores.softmax(-1).nan_to_num(0.0) @ v).transpose(1, 2)

        memory.attend_prompt = attend

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
        right = Memory._attention

        def attention(self: Memory, mask: Mask, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            before = k.shape[1] - q.shape[1]
            if before:
                k, v = (torch.cat([x[:, : before - 1], x[:, before:]], 1) for x in (k, v))
            return right(self, mask, q, k, v)

        engine.memory._attention = attention.__get__(engine.memory)
        view = engine.memory.view

        def seen(*arguments: Any) -> Memory:
            made: Memory = view(*arguments)
            made._attention = attention.__get__(made)  # type: ignore[method-assign]
            return made

        engine.memory.view = seen


@GENERATE_DEFECTS.broken(lambda case: static(case) and not case.placing.paged)
class StaleCache(Decodes):
    """The second prompt that a desk is given is not stored."""

    def spoil(self, engine: Any) -> None:
        memory, served = engine.memory, []
        right, begin = memory.attend_prompt, engine.begin

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if len(served) > 1:
                return memory._attention(memory.masks[layer], q, k, v)  # type: ignore[no-any-return]
            return right(layer, q, k, v)  # type: ignore[no-any-return]

        def begun() -> None:
            served.append(True)
            begin()

        memory.attend_prompt, engine.begin = attend, begun
