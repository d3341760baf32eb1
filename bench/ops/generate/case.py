"""Cases and inputs of operator `generate`, and what an engine returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from attnlab.bench.contract.axes import axis, dtype_axis, like, size
from attnlab.bench.contract.operator_spec import constant, dynamic, guard
from attnlab.bench.errors import ImpossibleCase, UsageError
from attnlab.bench.llm.caches import format_of, layout_of
from attnlab.bench.llm.caches.cache import check_fit
from attnlab.bench.llm.generation import arrivals as arriving
from attnlab.bench.llm.generation import decoding as deciding
from attnlab.bench.llm.generation.arrivals import Arrivals
from attnlab.bench.llm.generation.decoding import Decoding
from attnlab.bench.llm.generation.events import CallLog
from attnlab.bench.llm.generation.evidence import Evidence
from attnlab.bench.llm.generation.latencies import Objectives
from attnlab.bench.llm.generation.recorder import Recorder
from attnlab.bench.llm.generation.stored import Q4_1, SAME
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.load import model_config
from attnlab.bench.llm.models.prompts import prompt_sets
from attnlab.bench.llm.models.reference import checked_ids
from attnlab.bench.llm.models.sources import PACKAGED, RANDOM_SUFFIX, canonical, is_path
from attnlab.bench.llm.models.tokenizer import Tokenizer
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.llm.quantization import recipe as recipes
from attnlab.bench.llm.quantization.recipe import Recipe
from attnlab.bench.machine.clocks import now
from attnlab.bench.ops._shared.caching import format_axis, layout_axis
from attnlab.bench.ops._shared.typed import TypedCase
from attnlab.bench.units import NS_PER_MS

if TYPE_CHECKING:
    from typing import Any

    from attnlab.bench.llm.caches import Format, Layout
    from attnlab.bench.llm.models.config import ModelConfig

BATCHINGS = ("static", "continuous")


MODEL_PATTERN = rf"(?:{'|'.join(PUBLISHED)})(?:{RANDOM_SUFFIX})?|@[A-Za-z0-9_%]+"


DRAFTED = ("draft_model", deciding.SYNTHETIC)  # methods for which a model may guess
SKIPPED = "skipped"  # the built-in draft: the model with some of its layers left out


def one_of(*names: str) -> Any:
    """Reads an axis that is one of these; raises ImpossibleCase."""

    def read(value: Any) -> str:
        if str(value) not in names:
            raise ImpossibleCase(f"got {value!r}; expected one of {', '.join(names)}")
        return str(value)

    return read


def read_model(value: Any) -> str:
    """A published model's name, or a path, which an id holds escaped behind `@`."""
    text = str(value)
    if text.startswith("@"):
        return arriving.unescaped(text[1:])
    return text if is_path(text) else canonical(text)


def write_model(value: str) -> str:
    """As an id holds it."""
    return f"@{arriving.escaped(value)}" if is_path(value) else value


def _read_draft(value: Any) -> str:
    return SKIPPED if str(value) == SKIPPED else read_model(value)


def _read_weights(value: Any) -> str:
    """`same`, `q4_1`, a recipe, or the path of an assignment, which an id holds escaped behind `@`."""
    text = str(value)
    if text.startswith("@"):
        path = arriving.unescaped(text[1:])
        if not is_path(path):
            raise ImpossibleCase(
                f"got {text}, and there is no file {path}; expected one that assigns formats to layers"
            )
        return path
    if text == Q4_1 or is_path(text):
        return text
    recipe = Recipe.read(text)
    return SAME if recipe == Recipe(SAME) else str(recipe)


def model_axis() -> Any:
    """Which model is run."""
    return axis(
        pattern=MODEL_PATTERN,
        read=read_model,
        write=write_model,
        help="a published model by name (random weights where none are installed), a .gguf file or a folder",
        default=PACKAGED,
    )


def weights_axis() -> Any:
    """How a model's weights are stored."""
    return axis(
        prefix="w_",
        pattern=rf"{Q4_1}|{recipes.pattern()}|@[A-Za-z0-9_%]+",
        read=_read_weights,
        write=write_model,
        default=SAME,
        help="same: in the dtype; FORMAT:METHOD+FORMAT_OF_THE_HEAD such as int4_g32:gptq+int8, or a file that assigns "
        "formats to layers; q4_1: as the packaged file holds them, activations rounded to 8 bits in products",
        opt_in=True,
    )


def _read_draft_weights(value: Any) -> str:
    if str(value) == Q4_1:
        raise ImpossibleCase(f"got draft_weights={Q4_1}; expected a recipe, such as int4_g32_asym, or {SAME}")
    return _read_weights(value)


def _count(value: Any) -> int:
    if not str(value).isdigit() or isinstance(value, bool):
        raise ImpossibleCase(f"got {value!r}; expected a whole number, 0 or more")
    return int(value)


@dataclass(frozen=True)
class GenerateCase(TypedCase):
    """One model, set of prompts, way of decoding and of keeping the cache, and how requests come."""

    kind = "generate"

    model: str = model_axis()
    prompts: str = axis(
        pattern="|".join(prompt_sets()),
        read=one_of(*prompt_sets()),
        help=", ".join(prompt_sets()),
        default="summarise",
        shown=True,
    )
    batch: int = size("B", help="sequences that are decoded together, at most", default=1)
    requests: int = size("R", help="requests in all", default=like("batch"))
    prompt_len: int = size("P", help="tokens of each prompt", default=256)
    new_tokens: int = size("N", help="tokens of each answer; an end-of-text token does not end it", default=64)
    decoding: Decoding = axis(
        pattern=deciding.PATTERN,
        read=Decoding.read,
        write=Decoding.write,
        help="greedy, sample:t0.8:p0.95, prompt_lookup:GUESSES, draft_model:GUESSES, beam:BEAMS, "
        "synthetic:GUESSES:aCHANCE",
        default=Decoding.read("greedy"),
    )
    layout: str = layout_axis()
    cache: str = format_axis()
    dtype: str = dtype_axis()
    batching: str = axis(
        pattern="|".join(BATCHINGS),
        read=one_of(*BATCHINGS),
        help="static: a batch is filled, then served to its end; continuous: requests join and leave between steps",
        default="static",
    )
    arrivals: Arrivals = axis(
        pattern=arriving.PATTERN,
        read=Arrivals.read,
        write=Arrivals.write,
        help="together, rate:R, poisson:R (requests per second), trace@PATH (a time in seconds a line)",
        default=Arrivals.read("together"),
    )
    pages: int = axis(
        prefix="pool",
        pattern=r"\d+",
        read=_count,
        default=0,
        help="pages of a paged cache that all requests share; 0: enough for the batch",
    )
    draft: str = axis(
        prefix="by_",
        pattern=MODEL_PATTERN,
        read=_read_draft,
        write=write_model,
        default=SKIPPED,
        help="the model that guesses for draft_model; where left out, the model itself with layers skipped",
    )
    ttft_ms: int = size("ttft", help="objective of goodput: milliseconds to the first token", default=1000)
    tpot_ms: int = size("tpot", help="objective of goodput: milliseconds for each token after it", default=100)
    weights: str = weights_axis()
    draft_weights: str = axis(
        prefix="dw_",
        pattern=rf"{recipes.pattern()}|@[A-Za-z0-9_%]+",
        read=_read_draft_weights,
        write=write_model,
        default=SAME,
        help="how the weights of the draft are stored, as weights says it: the model in int8 may draft for itself",
        opt_in=True,
    )

    tensor_parallel: int = size(
        "tp", help="ranks that share each layer: heads of attention, columns of the MLP", default=1, opt_in=True
    )

    def validate(self) -> None:
        self._validate_ranks()
        if self.placing.latent:
            raise ImpossibleCase(
                f"got layout {self.layout}; expected one with values of their own: {self.model} has no latent heads"
            )
        reason = check_fit(self.placing, self.format, self.config.head_dim)
        if reason is not None:
            raise ImpossibleCase(reason)
        if self.placing.wraps:
            raise ImpossibleCase(f"got layout {self.layout}; expected one that keeps every token: contiguous or paged")
        if self.total > self.config.context_length:
            raise ImpossibleCase(
                f"got prompt_len={self.prompt_len} and new_tokens={self.new_tokens}, {self.total} tokens in all; "
                f"expected at most {self.config.context_length}, the context of {self.model}"
            )
        try:
            self.config.settled(self.prompt_len, self.total)
        except UsageError as error:
            raise ImpossibleCase(f"{self.model}: {error}") from error
        self._validate_batching()
        if self.arrivals.kind == "trace":
            self.arrivals.times_s(self.requests, seed=0)  # raises TraceError before anything runs
        self._validate_draft()
        check_weights(self.weights, self.model)
        if self.decoding.speculative and self.format.group > 1:
            raise ImpossibleCase(
                f"got decoding {self.decoding.method} with cache {self.cache}, which encodes {self.format.group} "
                f"tokens together; expected a format from which guesses can be taken back"
            )

    def files(self) -> dict[str, Path]:
        """The trace of arrivals, models that are given by path, and an assignment of formats."""
        axes = ("model", "draft", "weights", "draft_weights")
        models = {axis: Path(name).expanduser() for axis in axes if is_path(name := getattr(self, axis))}
        return models | ({"arrivals": Path(self.arrivals.path)} if self.arrivals.kind == "trace" else {})

    def _validate_ranks(self) -> None:
        ranks, config = self.tensor_parallel, self.config
        whole = {
            "query heads": config.q_heads,
            "key-value heads": config.kv_heads,
            "columns between the layers of its MLP": config.intermediate_size,
        }
        uneven = [f"{count} {what}" for what, count in whole.items() if count % ranks]
        if uneven:
            both = math.gcd(*whole.values())
            served = ", ".join(str(n) for n in range(1, both + 1) if both % n == 0)
            raise ImpossibleCase(
                f"got tensor_parallel={ranks} of {self.model}, which has {' and '.join(uneven)}; expected one of "
                f"{served}"
            )

    def _validate_batching(self) -> None:
        continuous = self.batching == "continuous"
        if continuous and not self.placing.paged:
            raise ImpossibleCase(f"got continuous batching over layout {self.layout}; expected a paged one: paged:16")
        if continuous and self.decoding.method not in deciding.PLAIN:
            raise ImpossibleCase(
                f"got continuous batching with decoding {self.decoding.method}; expected greedy, sample"
            )
        if self.pages and not continuous:
            raise ImpossibleCase(f"got pages={self.pages} with static batching; expected continuous, or no pages")
        needed = self.placing.pages_for(self.total)
        if self.pages and self.pages < needed:
            raise ImpossibleCase(
                f"got pages={self.pages}, too few for one request; expected {needed} or more for "
                f"{self.total} tokens in {self.layout}"
            )
        if self.decoding.method == deciding.BEAM and self.batch > 1:
            raise ImpossibleCase(f"got batch={self.batch} with beams; expected 1: the beams are the batch")

    def _validate_draft(self) -> None:
        if self.draft == SKIPPED and self.draft_weights != SAME:
            raise ImpossibleCase(
                f"got draft_weights={self.draft_weights} without a draft; expected draft=MODEL, such as {self.model}"
            )
        if self.draft == SKIPPED:
            return
        if self.decoding.method not in DRAFTED:
            raise ImpossibleCase(
                f"got draft={self.draft} with decoding {self.decoding.method}; expected {' or '.join(DRAFTED)}"
            )
        if self.decoding.synthetic is not None and self.decoding.synthetic.cost:
            raise ImpossibleCase(
                f"got draft={self.draft} with decoding {self.decoding.write()}; expected the draft, which takes its "
                f"own time, or the cost :c{self.decoding.synthetic.cost:g}"
            )
        theirs, own = config_of(self.draft).vocab_size, self.config.vocab_size
        if theirs != own:
            raise ImpossibleCase(
                f"got draft={self.draft} with a vocabulary of {theirs} tokens for {self.model} with {own}; expected a "
                f"draft model of the same vocabulary"
            )
        recipe = recipe_of(self.draft_weights)
        reason = None if recipe is None else recipe.refuses(config_of(self.draft))
        if reason is not None:
            raise ImpossibleCase(f"got draft_weights={self.draft_weights}: {reason}")

    @property
    def total(self) -> int:
        """Tokens of a request when it is done."""
        return self.prompt_len + self.new_tokens

    @property
    def config(self) -> ModelConfig:
        return config_of(self.model)

    @property
    def recipe(self) -> Recipe | None:
        """How the weights are stored; None where they are in the dtype, or as the packaged file has them."""
        return recipe_of(self.weights)

    @property
    def placing(self) -> Layout:
        return layout_of(self.layout)

    @property
    def format(self) -> Format:
        return format_of(self.cache)

    @property
    def objectives(self) -> Objectives:
        return Objectives(self.ttft_ms * NS_PER_MS, self.tpot_ms * NS_PER_MS)


class Desk:
    """Where the recorder of the last call lies, for those who hold the call's log against it."""

    recorder: Recorder | None = None


@dataclass(frozen=True)
class GenerateInputs:
    """Inputs of generate.

    prompts: int64 [R, P], the ids of each request. weights: in the case's dtype, see `ModelWeights`. tokenizer:
    None for a model without one, and with random prompts, which are of no text. seed: of all that an implementation
    draws at random. arrivals_s: when each request comes, seconds after the call begins. asks: whether an engine
    that can is to tell the log-probabilities of its tokens, as a check asks and a timed call never does. foretold: of a
    case with synthetic guesses the answers that they are made of, known before the call; None of all others. `run`
    returns `GenerateOutputs`: for each request new_tokens ids, whether or not one of them ends a text, and the log,
    kept with the recorder that `begin` gives.
    """

    prompts: Tensor = dynamic("ids of the prompts, int64 [R, P]")
    weights: ModelWeights = constant("the model, in the case's dtype")
    tokenizer: Tokenizer | None = constant("the model's tokenizer")
    arrivals_s: tuple[float, ...] = constant("when each request comes, seconds")
    seed: int = constant("of what is drawn at random")
    asks: bool = constant("whether log-probabilities are asked for", default=False)
    foretold: Tensor | None = dynamic("the model's greedy answers, for synthetic guesses, int64 [R, N]", default=None)

    desk: Desk = guard(default_factory=Desk, compare=False, repr=False)

    def begin(self) -> Recorder:
        """The log of one call, begun now; the texts of the prompts are made before. Raises UsageError on wrong ids."""
        asked_ns = now.perf_counter_ns()
        checked_ids(self.weights.config, self.prompts)
        ids, texts, encode = self.prompts.tolist(), None, None
        if self.tokenizer is not None:
            texts = [self.tokenizer.decode(row, skip_special=False) for row in ids]
            encode = self.tokenizer.encode
        asked = Evidence(len(ids)) if self.asks else None
        foretold = None if self.foretold is None else self.foretold.tolist()
        self.desk.recorder = Recorder(
            self.arrivals_s, ids, texts, encode, asked_ns=asked_ns, evidence=asked, foretold=foretold
        )
        return self.desk.recorder


@dataclass(frozen=True)
class GenerateOutputs:
    """tokens: int64 [R, N] on any device, −1 from where a request that failed has none; log: when they came.

    logs: where inputs ask and the engine can, how likely its model found each token, float32 [R, N] in nats, before any
    penalty, temperature or truncation: what `recorder.evidence.tensor()` gives. None: it is judged on tokens alone.
    """

    tokens: Tensor
    log: CallLog
    logs: Tensor | None = None


@lru_cache(maxsize=16)
def _assigned_in(path: str) -> Recipe:
    return Recipe.read(f"@{path}")


def recipe_of(weights: str) -> Recipe | None:
    """What the axis `weights` says of how weights are stored; None where they are in the dtype, or as in the file."""
    if weights in (SAME, Q4_1):
        return None
    return _assigned_in(weights) if is_path(weights) else Recipe.read(weights)


def check_weights(weights: str, model: str) -> None:
    """Raises ImpossibleCase where the weights of a model cannot be stored so."""
    if weights == Q4_1 and model != PACKAGED:
        raise ImpossibleCase(f"got weights={Q4_1} of {model}; expected {PACKAGED}, whose file holds such")
    recipe = recipe_of(weights)
    reason = None if recipe is None else recipe.refuses(config_of(model))
    if reason is not None:
        raise ImpossibleCase(f"got weights={weights}: {reason}")


@lru_cache(maxsize=16)
def _config_in(path: str) -> ModelConfig:
    return model_config(path)


def config_of(model: str) -> ModelConfig:
    """The shape of a model: a published one is known without its files."""
    return _config_in(model) if is_path(model) else PUBLISHED[model.removesuffix(RANDOM_SUFFIX)]
