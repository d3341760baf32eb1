"""From what a request asks to the answer that is on its way: checks, the prompt's ids, and the engine's turn."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from attnlab.bench.errors import AttnlabError
from attnlab.bench.llm.generation.live import LiveEngine, LiveEvent, LiveRequest, TokenMask
from attnlab.bench.llm.models.tokenizer import Tokenizer
from attnlab.bench.server.answering import Answering
from attnlab.bench.server.engine_thread import EngineThread
from attnlab.bench.server.grammar import Grammars
from attnlab.bench.server.metrics import ServerMetrics
from attnlab.bench.server.refusal import Refusal
from attnlab.bench.server.settings import ServerLimits
from attnlab.bench.server.shapes import ChatShape, CompletionShape, Shape
from attnlab.bench.server.stops import StopStrings
from attnlab.bench.server.wanted import Wanted

RETRY_AFTER_S = 1
LONG_TOKEN = 64  # characters
SHAPES: dict[str, tuple[type[Shape], str]] = {"chat": (ChatShape, "chatcmpl"), "completion": (CompletionShape, "cmpl")}


@dataclass(frozen=True, eq=False)
class ServedModel:
    """name: as requests call it. eos_ids: tokens that end an answer. facts: what `/v1/models` tells beside the name."""

    name: str
    tokenizer: Tokenizer
    vocab_size: int
    eos_ids: frozenset[int]
    facts: dict[str, str]


@dataclass(frozen=True, eq=False)
class Begun:
    """An answer on its way, and the shape that it is to have."""

    answering: Answering
    shape: Shape
    prompt_ids: list[int]


class Service:
    """The model that is served. All but `_prepare` runs on the event loop."""

    def __init__(
        self,
        model: ServedModel,
        engine: LiveEngine,
        limits: ServerLimits,
        begin: Callable[[], object] = lambda: None,
    ) -> None:
        """begin: called in the engine's thread before its first step."""
        self.model, self.limits = model, limits
        self.engine = EngineThread(engine, begin)
        self.metrics = ServerMetrics(self.engine)
        self.draining = False
        self._grammars = Grammars(model.tokenizer, model.eos_ids)
        self._preparing = 0
        self._preparer = ThreadPoolExecutor(1, "prompts")  # one after another: a tokenizer is no two threads' thing
        self._ids = itertools.count()

    def start(self) -> None:
        self.engine.start()
        self._preparer.submit(lambda: self._longest_token)  # so that the first request does not wait for it

    def stop(self) -> None:
        self.engine.stop()
        self._preparer.shutdown(cancel_futures=True)

    async def begin(self, wanted: Wanted) -> Begun:
        """Raises Refusal where the request is not served, now or ever."""
        arrived_ns = time.perf_counter_ns()
        self._check(wanted)
        self._preparing += 1
        try:
            loop = asyncio.get_running_loop()
            prompt_ids, mask = await loop.run_in_executor(self._preparer, self._prepare, wanted)
        finally:
            self._preparing -= 1
        limits = self.engine.limits
        max_tokens = wanted.max_tokens or max(1, limits.context_tokens - len(prompt_ids))
        reason = limits.refuses(len(prompt_ids), max_tokens)
        if reason is not None:
            param = "messages" if wanted.kind == "chat" else "prompt"
            raise Refusal(reason, param=param, code="context_length_exceeded")
        if self.draining or not self.engine.alive:
            raise _ending()
        id = next(self._ids)
        request = LiveRequest(
            id=id,
            prompt_ids=prompt_ids,
            max_tokens=max_tokens,
            params=wanted.params,
            seed=secrets.randbits(62) if wanted.seed is None else wanted.seed,
            stop_ids=frozenset() if wanted.ignore_eos else self.model.eos_ids,
            mask=mask,
            logprobs=wanted.logprobs,
        )
        answering = Answering(
            len(prompt_ids),
            float(time.perf_counter_ns() - arrived_ns),
            self.model.tokenizer.decode_stream(),
            StopStrings(wanted.stop),
            lambda: self.engine.cancel(id),
            _Watch(self.metrics, arrived_ns).seen,
        )
        self.engine.submit(request, answering.sink)
        made, prefix = SHAPES[wanted.kind]
        shape = made(f"{prefix}-{secrets.token_hex(12)}", self.model.name, self.model.tokenizer, wanted.token_ids)
        return Begun(answering, shape, prompt_ids)

    def _check(self, wanted: Wanted) -> None:
        if self.draining or not self.engine.alive:
            raise _ending()
        if wanted.model is not None and wanted.model != self.model.name:
            raise Refusal(
                f"the model {wanted.model[:80]!r} is not served; expected {self.model.name}",
                404,
                param="model",
                code="model_not_found",
            )
        room = self.engine.limits.sequences + self.limits.waiting
        if self.engine.open + self._preparing >= room:
            raise Refusal(
                f"{self.limits.waiting} requests wait already; expected fewer: try again later",
                429,
                code="too_many_requests",
                retry_after_s=RETRY_AFTER_S,
            )

    def _prepare(self, wanted: Wanted) -> tuple[list[int], TokenMask | None]:
        """The ids of the prompt, and the mask of what may follow; takes as long as the prompt is long."""
        try:
            prompt_ids = self._prompt_ids(wanted)
            return prompt_ids, None if wanted.schema is None else self._grammars.mask_of(wanted.schema)
        except Refusal:
            raise
        except AttnlabError as error:
            raise Refusal(str(error)) from None

    def _prompt_ids(self, wanted: Wanted) -> list[int]:
        tokenizer = self.model.tokenizer
        if wanted.kind == "chat":
            if tokenizer.chat is None:
                raise Refusal(f"{self.model.name} has no chat template; expected a prompt at /v1/completions")
            return self._encoded(tokenizer.chat.render(wanted.messages), "messages")
        if isinstance(wanted.prompt, str):
            return self._encoded(wanted.prompt, "prompt")
        beyond = next((token for token in wanted.prompt if token >= self.model.vocab_size), None)
        if beyond is not None:
            raise Refusal(f"got token id {beyond}; expected 0 to {self.model.vocab_size - 1}", param="prompt")
        return list(wanted.prompt)

    def _encoded(self, text: str, param: str) -> list[int]:
        """Raises Refusal where a text is so long that it need not be read: others wait while it is."""
        context = self.engine.limits.context_tokens
        if len(text) > self._longest_token * context:
            raise Refusal(
                f"got a prompt of {len(text)} characters; expected at most {context} tokens, the context that is "
                f"served, none of which has more than {self._longest_token} characters",
                param=param,
                code="context_length_exceeded",
            )
        return self.model.tokenizer.encode(text)

    @cached_property
    def _longest_token(self) -> int:
        """Characters of the longest token; room is left for what a tokenizer leaves out of a text."""
        tokenizer = self.model.tokenizer
        return max(LONG_TOKEN, *(len(tokenizer.token_bytes(index)) for index in range(tokenizer.vocab_size)))


class _Watch:
    """Times of one request, as its events come."""

    def __init__(self, metrics: ServerMetrics, arrived_ns: int) -> None:
        self._metrics, self._arrived_ns, self._last_ns = metrics, arrived_ns, 0

    def seen(self, event: LiveEvent) -> None:
        now_ns = time.perf_counter_ns()
        if event.beginning is not None:
            self._metrics.first_token.observe((now_ns - self._arrived_ns) / 1e9)
        elif event.token_ids:
            self._metrics.between.observe((now_ns - self._last_ns) / 1e9 / len(event.token_ids))
        self._last_ns = now_ns
        if event.finish_reason is not None:
            self._metrics.whole.observe((now_ns - self._arrived_ns) / 1e9)
            self._metrics.requests.labels(event.finish_reason).inc()


def _ending() -> Refusal:
    return Refusal("the server is ending; expected another one", 503, code="server_ending")
