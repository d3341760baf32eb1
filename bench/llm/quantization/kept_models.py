"""Quantised layers that were worked out before, in the user's cache: a method takes minutes for a real model.

A file is named by all that its codes hang on: weights, recipe, texts, the kind of device, torch and our code. The head
has no part in it: its codes are the nearest ones, and are found in no time.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from attnlab.bench import units
from attnlab.bench.errors import ModelWarning
from attnlab.bench.llm.kept_tensors import keep_tensors, passed_over, read_tensors
from attnlab.bench.llm.models.weights import LayerWeights, ModelWeights
from attnlab.bench.llm.quantization.coding import weight_format
from attnlab.bench.llm.quantization.model import formats_of_layer, quantise_model, with_layers
from attnlab.bench.llm.quantization.recipe import RTN, Recipe
from attnlab.bench.llm.quantization.weight import QuantizedWeight
from attnlab.bench.store.folders import cache_folder

LEAST_BYTES = 64 * units.MIB  # of weights; smaller models take seconds
MOST_KEPT_BYTES = 4 * units.GIB  # of all files; the oldest go
CODE = Path(__file__).parents[1]  # whose files have a say in the codes


def quantised_model(weights: ModelWeights, recipe: Recipe, ids: Tensor | None = None) -> ModelWeights:
    """`quantise_model`, or what it gave before of the same weights, recipe and texts by the same code.

    Kept are models of 64 MiB or more by a method other than rtn, of which no ModelWarning was given.
    """
    if recipe.method == RTN or weights.nbytes < LEAST_BYTES or recipe.refuses(weights.config) is not None:
        return quantise_model(weights, recipe, ids)
    path = _path(weights, recipe, ids)
    kept = read_tensors(path)
    if kept is not None:
        wrong = _misfit(weights, recipe, kept)
        if wrong is None:
            return _from_tensors(weights, recipe, {name: x.to(weights.device) for name, x in kept.items()})
        passed_over(path, wrong)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = quantise_model(weights, recipe, ids)
    for one in said:
        warnings.warn(one.message, one.category, stacklevel=2)
    if not any(issubclass(one.category, ModelWarning) for one in said):
        keep_tensors(path, dict(_to_tensors(weights, made)))
        _make_room(path.parent)
    return made


def _path(weights: ModelWeights, recipe: Recipe, ids: Tensor | None) -> Path:
    told = recipe.format, recipe.method, sorted(recipe.layers.items())
    digest = hashlib.sha256(_code().encode())
    digest.update(repr((weights.fingerprint, *told, weights.device.type)).encode())
    if ids is not None:
        digest.update(repr(ids.shape).encode() + ids.cpu().numpy().tobytes())
    return cache_folder() / "quantised" / f"{weights.config.name}-{digest.hexdigest()[:24]}.pt"


@cache
def _code() -> str:
    """Of our files about language models, and of torch."""
    digest = hashlib.sha256(torch.__version__.encode())
    for path in sorted(CODE.rglob("*.py")):
        digest.update(str(path.relative_to(CODE)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _to_tensors(weights: ModelWeights, made: ModelWeights) -> Iterator[tuple[str, Tensor]]:
    """Planes of what is in a format, and what else a method changed, such as norms that scales are folded into."""
    for index, (before, layer) in enumerate(zip(weights.layers, made.layers, strict=True)):
        for field, stored in layer.quantized.items():
            yield from ((f"{index}.{field}.{name}", plane) for name, plane in stored.planes.items())
        for field, x in layer.dense.items():
            if x is not getattr(before, field):
                yield f"{index}.{field}", x


def _stored(weights: ModelWeights, recipe: Recipe) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Name, format and shape of each weight that the recipe stores in a format."""
    for index, layer in enumerate(weights.layers):
        for field, format in formats_of_layer(recipe, index).items():
            n, k = getattr(layer, field).shape
            yield f"{index}.{field}", format, (n, k)


def _misfit(weights: ModelWeights, recipe: Recipe, kept: Mapping[str, Tensor]) -> str | None:
    """Why tensors are not those of that model by that recipe."""
    places = list(_stored(weights, recipe))
    planes = {
        f"{place}.{plane.name}": (plane.shape, plane.dtype)
        for place, format, shape in places
        for plane in weight_format(format).codec.planes(*shape, weights.dtype)
    }
    dense = {
        f"{n}.{field}": (tuple(x.shape), x.dtype)
        for n, layer in enumerate(weights.layers)
        for field, x in layer.dense.items()
    }
    for place, _, _ in places:
        dense.pop(place, None)
    lacking = planes.keys() - kept.keys()
    if lacking:
        return f"it lacks {min(lacking)}"
    for name, x in kept.items():
        expected = planes.get(name) or dense.get(name)
        if expected != (tuple(x.shape), x.dtype):
            return f"{name} is {list(x.shape)} of {x.dtype}"
    return None


def _from_tensors(weights: ModelWeights, recipe: Recipe, kept: Mapping[str, Tensor]) -> ModelWeights:
    found: dict[str, QuantizedWeight] = {}
    for place, format, shape in _stored(weights, recipe):
        planes = weight_format(format).codec.planes(*shape, weights.dtype)
        found[place] = QuantizedWeight(format, shape, {p.name: kept[f"{place}.{p.name}"] for p in planes})
    layers = tuple(_layer(layer, f"{index}.", kept, found) for index, layer in enumerate(weights.layers))
    return with_layers(weights, recipe, layers)


def _layer(
    layer: LayerWeights, prefix: str, kept: Mapping[str, Tensor], found: Mapping[str, QuantizedWeight]
) -> LayerWeights:
    changed = {field: kept[prefix + field] for field in layer.dense if prefix + field in kept}
    return layer.changed(changed).storing({f: found[prefix + f] for f in layer.dense if prefix + f in found})


def _make_room(folder: Path) -> None:
    """The oldest files go, until all together are small enough."""
    with suppress(OSError):
        files = sorted(((path.stat(), path) for path in folder.glob("*.pt")), key=lambda found: -found[0].st_mtime_ns)
        total = 0
        for status, path in files:
            total += status.st_size
            if total > MOST_KEPT_BYTES:
                path.unlink(missing_ok=True)
