"""What every endpoint over HTTP has in common: which cases it serves, which server it asks, and whose model that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import Unavailable
from attnlab.bench.llm.models.prompts import RANDOM
from attnlab.bench.ops.serve import servers
from attnlab.bench.ops.serve.case import TO_THE_END, ServeCase
from attnlab.bench.ops.serve.embedded import embedded
from attnlab.bench.ops.serve.identity import identified
from attnlab.bench.ops.serve.inputs import ServeInputs, ServeOutputs

if TYPE_CHECKING:
    from attnlab.bench.serving.asked import Asked
    from attnlab.bench.serving.endpoint import Part, Whole
    from attnlab.bench.serving.service import Service


@dataclass(frozen=True)
class Speaks:
    """What one kind of server can be told.

    ours: whether our server is one of it. ids: prompts as token ids. on: to go on past an end token, so that answers
    have the length that was asked for. sampling: names of fields of `SamplingParams` that it takes. turns:
    conversations.
    """

    ours: bool = False
    ids: bool = False
    on: bool = False
    sampling: tuple[str, ...] = ("temperature", "top_p")
    turns: bool = True


class HttpEndpoint:
    """An implementation of `serve` that asks over HTTP; those derived say how a request is written and an answer read.

    path: below the server's address. identity_path: what tells which models it serves. speaks: what it can be told.
    """

    path: str = ""
    identity_path: str | None = "/v1/models"
    speaks: Speaks = Speaks()

    def body(self, asked: Asked, service: Service, stream: bool) -> dict[str, Any]:
        """The request as JSON."""
        raise NotImplementedError

    def read_event(self, data: str) -> Part:
        """What the data of one server-sent event brings; raises UnreadableAnswer."""
        raise NotImplementedError

    def read_whole(self, body: bytes) -> Whole:
        """An answer that was not streamed; raises UnreadableAnswer."""
        raise NotImplementedError

    def models_in(self, told: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of what is served, by what `identity_path` gives: OpenAI's list, and vLLM's `root` of each."""
        listed = told.get("data")
        found = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
        return tuple(str(one[key]) for one in found for key in ("id", "root") if one.get(key))

    def supports(self, case: ServeCase) -> str | None:
        """None, or why this kind of server cannot be asked so."""
        speaks = self.speaks
        if case.is_embedded and not speaks.ours:
            return "our server does not speak this; name one that does: server=NAME, with a [servers.NAME] table"
        if case.is_embedded and not case.has_tokenizer:
            return f"our server needs a tokenizer, and {case.model} has none: take a model with files"
        if case.prompts == RANDOM and not speaks.ids:
            return "it takes no token ids, and random prompts are no text: take other prompts"
        if case.ending == TO_THE_END and not speaks.on:
            return "it cannot be told to go on past an end token: take ending=own_end"
        if case.most_turns > 1 and not speaks.turns:
            return "it takes no turns of conversations"
        params, default = case.sampling.params, type(case.sampling.params)()
        strange = [name for name in vars(params) if getattr(params, name) != getattr(default, name)]
        unknown = [name for name in strange if name not in speaks.sampling]
        return f"it takes no {', '.join(unknown)}" if unknown else None

    def prepare(self, case: ServeCase, inputs: ServeInputs) -> Service:
        """The server, which is there and serves the model of the case; raises Unavailable where it is not so."""
        service = embedded(case) if case.is_embedded else servers.named(case.server)
        model = identified(self, service, case)
        return service if service.model is not None or model is None else replace(service, model=model)

    def run(self, inputs: ServeInputs, service: Service) -> ServeOutputs:
        """Put the load to the server."""
        return inputs.drive(self, service)

    def configuration(self, case: ServeCase) -> str | None:
        """What is asked: the address, never a key."""
        if case.is_embedded:
            return f"our server, {case.engine}, {case.batch} at once"
        try:
            return servers.named(case.server).url
        except Unavailable:
            return None
