"""Cases of operator `serve`: which server, what is asked of it, and how."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.contract.axes import axis, dtype_axis, size
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.generation import decoding as deciding
from attnlab.bench.llm.generation.decoding import Decoding
from attnlab.bench.llm.generation.latencies import Objectives
from attnlab.bench.llm.models.prompts import RANDOM, prompt_sets
from attnlab.bench.llm.models.sources import PACKAGED, RANDOM_SUFFIX, is_path
from attnlab.bench.ops._shared.typed import TypedCase
from attnlab.bench.ops.generate.case import MODEL_PATTERN, config_of, one_of, read_model, write_model
from attnlab.bench.ops.serve import lengths, loads
from attnlab.bench.ops.serve.lengths import Lengths
from attnlab.bench.ops.serve.loads import CONCURRENCY, CONVERSATIONS, LoadAxis
from attnlab.bench.ops.serve.servers import EMBEDDED
from attnlab.bench.serving.traces import BLOCK_TOKENS, TraceRow, read_rows
from attnlab.bench.units import NS_PER_MS

if TYPE_CHECKING:
    from attnlab.bench.llm.models.config import ModelConfig

MOST_REQUESTS = 100_000
"""All of a load are written before it begins, and each has a row in what is judged."""
SERVED = "served"
"""The model is whatever the server serves: its weights are not here, so no answer is held to a reference."""
STREAM, WHOLE = "stream", "whole"
COLD, WARM, AS_IT_IS = "cold", "warm", "asis"
TO_THE_END, OWN_END = "full", "own_end"
NAME = r"[A-Za-z][A-Za-z0-9_]*"


def _read_name(value: Any) -> str:
    import re

    if not re.fullmatch(NAME, str(value)):
        raise ImpossibleCase(f"got {value!r}; expected a name of letters, digits and _, such as [servers.NAME] gives")
    return str(value)


def _read_model(value: Any) -> str:
    return SERVED if str(value) == SERVED else read_model(value)


def _read_sampling(value: Any) -> Decoding:
    read = Decoding.read(value)
    if read.method not in deciding.PLAIN:
        raise ImpossibleCase(f"got {value!r}; expected greedy, or sample:t0.8:p0.95: how a server guesses is its own")
    return read


@dataclass(frozen=True)
class ServeCase(TypedCase):
    """One server, and one load of requests that is put to it."""

    kind = "serve"

    server: str = axis(
        prefix="at_",
        pattern=NAME,
        read=_read_name,
        help="a server by the name of its [servers.NAME] table; where left out, ours is started",
        default=EMBEDDED,
    )
    engine: str = axis(
        prefix="by_",
        pattern=NAME,
        read=_read_name,
        help="which implementation of generate runs behind the server that is started",
        default="paged",
    )
    model: str = axis(
        pattern=f"{SERVED}|{MODEL_PATTERN}",
        read=_read_model,
        write=write_model,
        help="a published model by name, a .gguf file or a folder; served: whatever the server has",
        default=PACKAGED,
    )
    prompts: str = axis(
        pattern="|".join(prompt_sets()),
        read=one_of(*prompt_sets()),
        help=", ".join(prompt_sets()),
        default="summarise",
        shown=True,
    )
    batch: int = size("B", help="sequences that the started server decodes together, at most", default=8)
    requests: int = size("R", help="requests in all", default=16)
    prompt_len: Lengths = axis(
        prefix="P",
        pattern=lengths.PATTERN,
        read=Lengths.read,
        write=Lengths.write,
        help=f"tokens of each prompt: {lengths.EXPECTED}",
        default=Lengths.read(128),
    )
    new_tokens: Lengths = axis(
        prefix="N",
        pattern=lengths.PATTERN,
        read=Lengths.read,
        write=Lengths.write,
        help=f"tokens of each answer: {lengths.EXPECTED}",
        default=Lengths.read(32),
    )
    sampling: Decoding = axis(
        pattern=r"greedy|sample(?::\w+)*",
        read=_read_sampling,
        write=Decoding.write,
        help="greedy, sample:t0.8:p0.95",
        default=Decoding.read("greedy"),
    )
    load: LoadAxis = axis(
        pattern=loads.PATTERN,
        read=LoadAxis.read,
        write=LoadAxis.write,
        help=loads.EXPECTED,
        default=LoadAxis.read("concurrency:4"),
    )
    answer: str = axis(
        pattern=f"{STREAM}|{WHOLE}",
        read=one_of(STREAM, WHOLE),
        help="stream: token by token; whole: in one piece",
        default=STREAM,
    )
    prefix: str = axis(
        pattern=f"{COLD}|{WARM}|{AS_IT_IS}",
        read=one_of(COLD, WARM, AS_IT_IS),
        help="state of the server's prefix cache: cold (prompts made unique), warm (primed before) or asis",
        default=COLD,
    )
    ending: str = axis(
        pattern=f"{TO_THE_END}|{OWN_END}",
        read=one_of(TO_THE_END, OWN_END),
        help="full: answers go on past an end token, to the length asked for; own_end: they may end before",
        default=TO_THE_END,
    )
    dtype: str = dtype_axis()
    ttft_ms: int = size("ttft", help="objective of goodput: milliseconds to the first token", default=1000)
    tpot_ms: int = size("tpot", help="objective of goodput: milliseconds for each token after it", default=100)

    def validate(self) -> None:
        if self.requests > MOST_REQUESTS:
            raise ImpossibleCase(f"got {self.requests} requests; expected at most {MOST_REQUESTS} in one load")
        if self.load.kind == loads.TRACE:
            self._validate_trace()
        elif lengths.TRACE in (self.prompt_len.kind, self.new_tokens.kind):
            raise ImpossibleCase(f"got lengths of a trace with load {self.load.write()}; expected load trace@PATH")
        if self.load.kind == CONVERSATIONS and self.requests % self.load.turns:
            raise ImpossibleCase(
                f"got {self.requests} requests in conversations of {self.load.turns} turns; expected a multiple"
            )
        if self.most_turns > 1 and self.prompts == RANDOM:
            raise ImpossibleCase("got random prompts in conversations; expected prompts of text")
        if self.is_embedded and self.model == SERVED:
            raise ImpossibleCase(f"got model {SERVED} without a server; expected a model for the one that is started")
        if not self.is_embedded and "engine" in self.chosen():
            raise ImpossibleCase(f"got engine {self.engine} of server {self.server}; expected it of ours alone")
        if self.model != SERVED and self.most_tokens > self.config.context_length:
            raise ImpossibleCase(
                f"got prompts and answers of up to {self.most_tokens} tokens; expected at most "
                f"{self.config.context_length}, the context of {self.model}"
            )

    def _validate_trace(self) -> None:
        rows = self.trace  # raises TraceError before anything runs
        for name, told in (("prompt_len", "prompt_tokens"), ("new_tokens", "answer_tokens")):
            of_trace = getattr(self, name).kind == lengths.TRACE
            if of_trace and any(getattr(row, told) is None for row in rows):
                raise ImpossibleCase(f"{self.load.path}: got requests without lengths; expected them, or {name}=N")

    def files(self) -> dict[str, Path]:
        """The trace, and a model that is given by its path."""
        found = {"model": Path(self.model).expanduser()} if is_path(self.model) else {}
        return found | ({"load": Path(self.load.path)} if self.load.kind == loads.TRACE else {})

    @property
    def is_embedded(self) -> bool:
        """Whether ours is started for it."""
        return self.server == EMBEDDED

    @property
    def knows_weights(self) -> bool:
        """Whether the weights that the server has are known here, so that answers can be held to a reference."""
        if self.model == SERVED:
            return False
        return self.is_embedded or self.model == PACKAGED or self.model.endswith(RANDOM_SUFFIX) or is_path(self.model)

    @property
    def has_tokenizer(self) -> bool:
        """Whether the model's own tokenizer is here."""
        return self.model == PACKAGED or (self.model != SERVED and is_path(self.model))

    @property
    def config(self) -> ModelConfig:
        return config_of(self.model)

    @cached_property
    def trace(self) -> tuple[TraceRow, ...]:
        """The requests of its trace; () where it has none. Raises TraceError."""
        return read_rows(Path(self.load.path), self.requests) if self.load.kind == loads.TRACE else ()

    @cached_property
    def follows(self) -> tuple[int | None, ...]:
        """Of each request the number of the one whose answer it follows, as a turn of a conversation."""
        if self.load.kind == CONVERSATIONS:
            return tuple(row - 1 if row % self.load.turns else None for row in range(self.requests))
        last: dict[str, int] = {}
        found: list[int | None] = []
        for number, row in enumerate(self.trace):
            found.append(last.get(row.conversation) if row.conversation is not None else None)
            last |= {row.conversation: number} if row.conversation is not None else {}
        return tuple(found) or (None,) * self.requests

    @cached_property
    def shared(self) -> tuple[tuple[tuple[str, int], ...], ...]:
        """What each prompt begins with that others may have, too: names of texts with their tokens, in order."""
        rows = self.trace
        shortest: dict[str, int] = {}
        for row in rows:
            if row.prefix is not None:
                tokens = row.prompt_tokens or self.prompt_len.most
                shortest[row.prefix] = min(tokens, shortest.get(row.prefix, tokens))
        found = []
        for row in rows:
            blocks = tuple((f"block {one}", BLOCK_TOKENS) for one in row.blocks or ())
            room = ((row.prompt_tokens or self.prompt_len.most) - 1) // BLOCK_TOKENS
            half = ((row.prefix, shortest[row.prefix] // 2),) if row.prefix is not None else ()
            found.append(blocks[: max(0, room - 1)] or half)
        return tuple(found) or ((),) * self.requests

    def think_s(self, number: int) -> float:
        """Between the answer before and that request, seconds."""
        return self.trace[number].think_s if self.trace else self.load.think_s

    @cached_property
    def _longest(self) -> tuple[int, int]:
        prompts = [row.prompt_tokens or 1 for row in self.trace]
        answers = [row.answer_tokens or 1 for row in self.trace]
        return (
            max(prompts) if self.prompt_len.kind == lengths.TRACE else self.prompt_len.most,
            max(answers) if self.new_tokens.kind == lengths.TRACE else self.new_tokens.most,
        )

    @cached_property
    def most_turns(self) -> int:
        """Of a conversation."""
        depth: list[int] = []
        for before in self.follows:
            depth.append(1 if before is None else depth[before] + 1)
        return max(depth)

    @property
    def most_prompt(self) -> int:
        """Tokens of the longest prompt that a turn can have by itself."""
        return self._longest[0]

    @property
    def most_new(self) -> int:
        """Tokens of the longest answer."""
        return self._longest[1]

    @property
    def most_tokens(self) -> int:
        """Of a request when it is done, with the turns before it."""
        return self.most_turns * (self.most_prompt + self.most_new)

    def lengths_of(self, seed: int) -> tuple[tuple[int, int], ...]:
        """Tokens of prompt and answer of each request."""
        drawn = []
        for number, wanted in enumerate((self.prompt_len, self.new_tokens)):
            if wanted.kind == lengths.TRACE:
                told = [(row.prompt_tokens, row.answer_tokens)[number] for row in self.trace]
                drawn.append(tuple(length or 1 for length in told))
            else:
                drawn.append(wanted.draw(self.requests, 2 * seed + number))
        return tuple(zip(*drawn, strict=True))

    def due_s(self, seed: int) -> tuple[float, ...]:
        """When each request of an open loop is due, seconds after the load begins; 0 of others."""
        return self.load.driven(self.requests).times_s(self.requests, seed)

    @property
    def at_once(self) -> int | None:
        """How many requests may be in flight; None of an open loop, where that hangs on the server."""
        if self.load.kind == CONCURRENCY:
            return self.load.at_once
        return self.requests // self.load.turns if self.load.kind == CONVERSATIONS else None

    @property
    def objectives(self) -> Objectives:
        return Objectives(self.ttft_ms * NS_PER_MS, self.tpot_ms * NS_PER_MS)
