"""A model with a format for each layer under a budget of bytes: found on one text, compared on another."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.caches import format_of
from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.weights import ModelWeights, layer_shapes
from attnlab.bench.llm.quality.assignment import Assignment, assign
from attnlab.bench.llm.quality.divergence import Divergences, divergences
from attnlab.bench.llm.quality.scoring import hidden_states, scores
from attnlab.bench.llm.quality.sensitivity import LayerCost, Tell, Trace, cache_costs, weight_costs
from attnlab.bench.llm.quantization.coding import weight_format
from attnlab.bench.llm.quantization.kept_models import quantised_model
from attnlab.bench.llm.quantization.recipe import PROJECTIONS, SAME, Recipe

PLAIN = torch.bfloat16
"""The dtype whose bytes a layer takes that stays as it is."""
MIXED = "mixed"


@dataclass(frozen=True)
class MixturePlan:
    """What is asked for: formats to choose among, the budget in bits for each weight of the layers, method and head.

    caches: formats whose cost by layer is worked out too, and that are assigned to nothing.
    """

    formats: tuple[str, ...]
    budget_bits: float
    method: str
    head: str = SAME
    caches: tuple[str, ...] = ()


@dataclass(frozen=True)
class HeldOut:
    """A model, `mixed` or in one format throughout, on a text that nothing was chosen by; bits: of a layer's weight."""

    name: str
    bits: float
    found: Divergences


@dataclass(frozen=True)
class Mixture:
    """What was found: costs of weights and of caches by layer, the assignment, and how models do on held-out text."""

    plan: MixturePlan
    weights: tuple[LayerCost, ...]
    caches: tuple[LayerCost, ...]
    assignment: Assignment
    held_out: tuple[HeldOut, ...]

    @property
    def mixed(self) -> HeldOut:
        return next(one for one in self.held_out if one.name == MIXED)

    @property
    def evenly(self) -> float | None:
        """The mean KL at the mixture's bytes on the line between the uniform models on both sides of it.

        That is what handing formats out to layers blindly comes to, where costs add up. None where one side is missing.
        """
        uniform = sorted((one.bits, one.found.kl_mean) for one in self.held_out if one.name != MIXED)
        at = self.mixed.bits
        below = [point for point in uniform if point[0] <= at]
        above = [point for point in uniform if point[0] >= at]
        if not below or not above:
            return None
        (x0, y0), (x1, y1) = below[-1], above[0]
        return y0 if x0 == x1 else y0 + (y1 - y0) * (at - x0) / (x1 - x0)


def layer_bytes(config: ModelConfig, format: str) -> int:
    """Of the projections of one layer in a format, all told."""
    shapes = layer_shapes(config)
    of = (shapes[name] for name in PROJECTIONS)
    if format == SAME:
        return sum(n * k * PLAIN.itemsize for n, k in of)
    return sum(weight_format(format).nbytes(n, k, PLAIN) for n, k in of)


def layer_weights(config: ModelConfig) -> int:
    """Numbers in the projections of one layer."""
    shapes = layer_shapes(config)
    return sum(shapes[name][0] * shapes[name][1] for name in PROJECTIONS)


def bits_of(config: ModelConfig, nbytes: float, layers: int) -> float:
    return 8 * nbytes / (layers * layer_weights(config))


def check_plan(plan: MixturePlan, config: ModelConfig) -> None:
    """Raises UsageError where a format does not fit the model, or the budget holds not even the smallest of them."""
    if not plan.formats:
        raise UsageError("got no format; expected one or more, such as int4_g32,int8")
    for format in plan.formats:
        reason = Recipe(format, plan.method, plan.head).refuses(config)
        if reason is not None:
            raise UsageError(f"{config.name} in {format} by {plan.method}: {reason}")
    for name in plan.caches:
        codecs = (format_of(name).keys, format_of(name).values)
        refused = next((reason for codec in codecs if (reason := codec.refuses(config.head_dim)) is not None), None)
        if refused is not None:
            raise UsageError(f"{config.name} with its cache in {name}: {refused}")
    smallest = min(plan.formats, key=lambda name: layer_bytes(config, name))
    least = bits_of(config, layer_bytes(config, smallest), 1)
    if not plan.budget_bits >= least:
        raise UsageError(
            f"got a budget of {plan.budget_bits:g} bits a weight; expected {least:.4g} or more, which {smallest}, the "
            f"smallest of the formats given, takes with its scales"
        )


def mix(
    model: ModelWeights,
    plan: MixturePlan,
    ids: Tensor,
    held_out: Tensor,
    tell: Tell,
    calibration: Tensor | None = None,
) -> Mixture:
    """model: in float32; ids, held_out: windows [n, W] of the text to choose by, and of another.

    calibration: the texts [B, S] that a method is calibrated on, where it is. Raises UsageError where the plan cannot
    be kept, see `check_plan`.
    """
    config = model.config
    check_plan(plan, config)
    made = [(n, quantised_model(model, Recipe(n, plan.method, plan.head), calibration)) for n in plan.formats]
    trace = Trace.of(model, ids, ids.shape[1] - 1)
    weights = tuple(weight_costs(trace, made, lambda layer, name: layer_bytes(config, name), tell))
    caches = tuple(cache_costs(trace, [format_of(name) for name in plan.caches], lambda name: 0, tell))
    budget = plan.budget_bits * config.layers * layer_weights(config) / 8
    found = assign(weights, budget)
    by_name = dict(made)
    layers = tuple(by_name[name].layers[index] for index, name in enumerate(found.formats))
    mixed = dataclasses.replace(made[0][1], layers=layers)
    candidates = [(MIXED, mixed, found.nbytes), *((n, m, config.layers * layer_bytes(config, n)) for n, m in made)]
    return Mixture(plan, weights, caches, found, tuple(_held_out(model, candidates, held_out, tell)))


def _held_out(
    model: ModelWeights, candidates: Sequence[tuple[str, ModelWeights, int]], ids: Tensor, tell: Tell
) -> Iterator[HeldOut]:
    scored, base = ids.shape[1] - 1, hidden_states(model, ids)
    for name, candidate, nbytes in candidates:
        theirs = scores(candidate, hidden_states(candidate, ids), ids, scored)
        found = divergences(scores(model, base, ids, scored), theirs, len(ids))
        tell(f"{name} on held-out text: KL {found.kl_mean:.2e} nat")
        yield HeldOut(name, bits_of(model.config, nbytes, model.config.layers), found)


def recipe_of_mixture(mixture: Mixture) -> Recipe:
    """The most frequent format for all layers, and the others by their number."""
    formats, plan = mixture.assignment.formats, mixture.plan
    ((most, _),) = Counter(formats).most_common(1)
    return Recipe(most, plan.method, plan.head, {str(n): name for n, name in enumerate(formats) if name != most})


def write_assignment(recipe: Recipe, path: Path, comment: str) -> None:
    """A file that `weights=@PATH` reads, with a comment of one line. Raises UsageError where it cannot be written."""
    lines = [f"# {comment}", f'format = "{recipe.format}"', f'method = "{recipe.method}"', f'head = "{recipe.head}"']
    if recipe.layers:
        lines += ["", "[layers]", *(f'"{place}" = "{name}"' for place, name in recipe.layers.items())]
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written: {error.strerror}; name a file in a folder that is there"
        ) from error
