"""Inputs of `serve`, and the one way for an endpoint to put them to a server: its client's log is then known here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from attnlab.bench.contract.operator_spec import constant, dynamic, guard
from attnlab.bench.ops.serve import salt as salting
from attnlab.bench.ops.serve.case import COLD, STREAM, TO_THE_END, WARM, ServeCase
from attnlab.bench.ops.serve.prompts import prompts_of
from attnlab.bench.ops.serve.salt import Salt
from attnlab.bench.ops.serve.tokenizers import tokenizer_for
from attnlab.bench.serving.asked import Asked, Message
from attnlab.bench.serving.load import Load

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnlab.bench.serving.endpoint import Endpoint
    from attnlab.bench.serving.log import ServedLog
    from attnlab.bench.serving.service import Service

    Drive = Callable[[Sequence[Asked], Load, bool], ServedLog]
    """Puts a load of requests to a server, as a stream or whole."""


class Desk:
    """Where the log of the last load lies that was driven, for those who hold a call's word against it."""

    outputs: ServeOutputs | None = None


@dataclass(frozen=True)
class ServeOutputs:
    """What a call gives: what `inputs.drive` returns, as it is.

    log: of the load, as the client kept it. whole: the same prompts one after another in one piece, where inputs ask.
    salts: the words that made each prompt unique. asked: the requests as they were sent. offset_ns: when the load
    began, since the call did. of: the inputs that were driven. by_client: whether our client kept the log, at sockets.
    """

    log: ServedLog
    whole: ServedLog | None
    salts: tuple[Salt, ...]
    asked: tuple[Asked, ...]
    offset_ns: float = 0.0
    of: ServeInputs | None = None
    by_client: bool = False


@dataclass(frozen=True)
class ServeInputs:
    """Inputs of serve.

    numbers: int64 [R], from which the text of each prompt follows (see `prompts`). case: what is asked. seed: of
    lengths, of arrivals and of what a server draws at random. asks: whether answers are asked for twice, as a check
    wants them.
    `run` returns what `drive` gives, or `drive_with` of something that is no HTTP server.
    """

    numbers: Tensor = dynamic("numbers of the prompts, int64 [R]")
    case: ServeCase = constant("what is asked of the server")
    seed: int = constant("of what is drawn at random")
    asks: bool = constant("whether answers are asked for as a stream and whole", default=False)

    desk: Desk = guard(default_factory=Desk, compare=False, repr=False)

    def drive(self, endpoint: Endpoint, service: Service) -> ServeOutputs:
        """Put the load to a server as the case says; what came of it, which a call returns as it is."""
        from attnlab.bench.serving.client import drive

        counts = self._counter()

        def put(asked: Sequence[Asked], load: Load, stream: bool) -> ServedLog:
            return drive(endpoint, service, asked, load, stream=stream, processes=service.processes, count=counts)

        return self._driven(put, by_client=True)

    def drive_with(self, put: Drive) -> ServeOutputs:
        """As `drive`, by whatever puts a load of requests and keeps a log as the client does."""
        return self._driven(put, by_client=False)

    def _driven(self, put: Drive, by_client: bool) -> ServeOutputs:
        case = self.case
        salts = self._salts()
        asked = asked_of(case, self.numbers.tolist(), salts, self.seed)
        if case.prefix == WARM:
            _primed(put, asked)
        log = put(asked, case.load.driven(case.requests), case.answer == STREAM)
        whole = put(asked, ONE_BY_ONE, False) if self.asks else None
        if log.interrupted:
            raise KeyboardInterrupt
        self.desk.outputs = ServeOutputs(log, whole, salts, asked, of=self, by_client=by_client)
        return self.desk.outputs

    def _salts(self) -> tuple[Salt, ...]:
        """Of each prompt; those of a conversation have one, and so have prompts that are to share a beginning."""
        case = self.case
        if case.prefix != COLD:
            return (salting.NONE,) * case.requests
        for_all = salting.drawn() if any(case.shared) else None
        found: list[Salt] = []
        for before in case.follows:
            found.append(for_all or (salting.drawn() if before is None else found[before]))
        return tuple(found)

    def _counter(self) -> Callable[[str], int] | None:
        """Counts the tokens of a text by the model's own tokenizer, where that is here."""
        tokenizer = tokenizer_for(self.case) if self.case.has_tokenizer else None
        return None if tokenizer is None else lambda text: len(tokenizer.encode(text, plain=True))


ONE_BY_ONE = Load("concurrency", concurrency=1)


def asked_of(case: ServeCase, numbers: Sequence[int], salts: Sequence[Salt], seed: int) -> tuple[Asked, ...]:
    """The requests of a load."""
    prompts = prompts_of(case, tokenizer_for(case), numbers, salts, seed)
    lengths, due_s = case.lengths_of(seed), case.due_s(seed)
    return tuple(
        Asked(
            number=number,
            due_s=due_s[number],
            messages=tuple(Message(one.role, one.content) for one in prompt.messages),
            prompt=prompt.text or "",
            prompt_ids=prompt.ids,
            max_tokens=lengths[number][1],
            sampling=None if case.sampling.greedy else case.sampling.params,
            after=prompt.after,
            think_s=case.think_s(number) if prompt.after is not None else 0.0,
            seed=None if case.sampling.greedy else seed + number,
            whole_length=case.ending == TO_THE_END,
            prompt_tokens=None if prompt.ids is None else len(prompt.ids),
        )
        for number, prompt in enumerate(prompts)
    )


def _primed(put: Drive, asked: Sequence[Asked]) -> None:
    """Have the server read every prompt that a conversation begins with, so that its cache knows it."""
    first = [one for one in asked if one.after is None]
    put([replace(one, number=n, due_s=0.0, max_tokens=1) for n, one in enumerate(first)], ONE_BY_ONE, False)
