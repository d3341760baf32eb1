"""From a name of an implementation and of a model to a service: checks first, then weights, engine and tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from attnlab.bench.contract.needs import missing
from attnlab.bench.errors import AttnlabError, ModelUnavailable, Unavailable, UsageError
from attnlab.bench.llm.caches import layout_of
from attnlab.bench.llm.models.chat import Message
from attnlab.bench.llm.models.load import load_tokenizer, model_config
from attnlab.bench.llm.models.sources import is_path, resolve
from attnlab.bench.machine.environment import choose_device, describe_device
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import weights_of
from attnlab.bench.server.service import ServedModel, Service
from attnlab.bench.server.settings import ServerLimits

if TYPE_CHECKING:
    from attnlab.bench.contract.registry import Implementation
    from attnlab.bench.llm.generation.live import LiveEngine
    from attnlab.bench.llm.models.tokenizer import Tokenizer

LAYOUTS = ("paged:16", "contiguous_bhsd")  # that are tried in this order where none is asked for
MOST_CONTEXT = 2048  # where none is asked for: the cache is allocated for it, for each sequence


@dataclass(frozen=True)
class Served:
    """What is to be served, by which implementation of `generate`.

    batch: sequences that are computed together. context: tokens of a prompt and its answer; None for the model's, at
    most `MOST_CONTEXT`. layout: of the cache; None for the first of `LAYOUTS` that the implementation takes. pages: of
    the cache's pool; 0 for enough for every sequence. name: by which requests call the
    model; None for its own. threads: of torch; None as it has them.
    """

    implementation: str
    model: str
    dtype: str = "bfloat16"
    batch: int = 8
    context: int | None = None
    layout: str | None = None
    cache: str = "same"
    pages: int = 0
    device: str = "auto"
    name: str | None = None
    threads: int | None = None

    def case(self, layout: str) -> GenerateCase:
        """The case of `generate` whose engine has this much room; raises UsageError where there is none."""
        batching = "continuous" if layout_of(layout).paged else "static"
        config = model_config(self.model)
        context = self.context or min(config.context_length, MOST_CONTEXT)
        if context < 2:
            raise UsageError(f"got a context of {context} tokens; expected 2 or more: of a prompt and its answer")
        return GenerateCase.build(
            {
                "model": self.model,
                "prompts": "random",
                "dtype": self.dtype,
                "batch": self.batch,
                "prompt_len": context - 1,
                "new_tokens": 1,
                "layout": layout,
                "cache": self.cache,
                "batching": batching,
                "pages": self.pages,
            }
        )


def set_up(served: Served, implementations: Iterable[Implementation], limits: ServerLimits) -> Service:
    """Raises UsageError or Unavailable, with the reason, before any weight is read where that can be known."""
    import torch

    made = chosen(served.implementation, implementations)
    device = choose_device(served.device)
    reason = missing(made, describe_device(device))
    if reason is not None:
        raise Unavailable(f"{made.key} cannot serve here: {reason}")
    case = case_for(made, served)
    tokenizer = tokenizer_of(served.model)
    threads = served.threads or torch.get_num_threads()
    # A thread that computes in parallel has a team of its own. With a second team there are more threads than cores, so
    # that OpenMP puts them to sleep at the end of each stretch; then a step took 33 ms on two cores, and not 22.
    torch.set_num_threads(1)
    weights = weights_of(case.model, case.torch_dtype, torch.device(device))
    assert made.live is not None
    engine: LiveEngine = made.live(case, weights.settled(1, case.total))
    engine.set_up()
    facts = {"implementation": made.name, "case": case.id, "weights": weights.fingerprint}
    config = weights.config
    eos_ids = frozenset(tokenizer.eos_ids) or frozenset(config.eos_ids)
    name = served.name or resolve(served.model).name
    return Service(
        ServedModel(name, tokenizer, config.vocab_size, eos_ids, facts),
        engine,
        limits,
        partial(torch.set_num_threads, threads),
    )


def case_for(made: Implementation, served: Served) -> GenerateCase:
    """The case that an implementation takes; raises Unavailable where it takes none, UsageError for what is none."""
    reasons = []
    for layout in LAYOUTS if served.layout is None else (served.layout,):
        case = served.case(layout)
        reason = made.supports(case)
        if reason is None:
            return case
        reasons.append(reason)
    raise Unavailable(f"{made.key} cannot serve {served.model}: {'; '.join(reasons)}")


def chosen(name: str, implementations: Iterable[Implementation]) -> Implementation:
    """The implementation of that name; raises UsageError for one without a live engine, with those that have one."""
    known = {made.name: made for made in implementations}
    live = sorted(name for name, made in known.items() if made.live is not None)
    if name not in known or known[name].live is None:
        what = "has no live engine" if name in known else "is no implementation of generate"
        raise UsageError(f"{name} {what}, which a server needs; expected one of {', '.join(live)}")
    return known[name]


def tokenizer_of(model: str) -> Tokenizer:
    """The model's tokenizer; raises ModelUnavailable for one without files, whose tokens are of no text."""
    if not is_path(model) and resolve(model).path is None:
        raise ModelUnavailable(
            f"{model} has random weights and no tokenizer, so that its answers are of no text; expected a model with "
            "files: smollm2_135m, a .gguf file or a Hugging Face folder"
        )
    tokenizer = load_tokenizer(model)
    tokenizer.decode_stream().push(0)  # which looks through the whole vocabulary once: no request should
    if tokenizer.chat is not None:
        with suppress(AttnlabError):  # a template may take no such chat
            tokenizer.chat.render([Message("user", "")])
    return tokenizer
