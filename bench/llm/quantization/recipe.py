"""Which format each linear layer of a model is stored in, by which method: one line, or a file for a mixture."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab.bench.errors import ImpossibleCase, UnknownName
from attnlab.bench.llm.quantization.choosing import known_methods, quantisation_method
from attnlab.bench.llm.quantization.coding import known_weight_formats, weight_format
from attnlab.bench.text import one_line
from attnlab.bench.toml_file import read_toml

if TYPE_CHECKING:
    import torch

    from attnlab.bench.llm.models.config import ModelConfig

SAME, RTN = "same", "rtn"
PROJECTIONS = ("query", "key", "value", "output", "gate", "up", "down")
"""Fields of `LayerWeights` that are stored in a format."""
PLACE = re.compile(rf"(0|[1-9][0-9]*)(?:\.({'|'.join(PROJECTIONS)}))?")
GRAMMAR = "FORMAT[:METHOD][+FORMAT_OF_THE_HEAD], such as int4_g32:gptq+int8"
KEYS = ("format", "method", "head", "layers")


def pattern() -> str:
    """Of a recipe of one line, with colons."""
    formats = "|".join((SAME, *known_weight_formats()))
    return rf"(?:{formats})(?::(?:{'|'.join(known_methods())}))?(?:\+(?:{formats}))?"


@dataclass(frozen=True)
class Recipe:
    """The format of every projection, that of the head, and the method that chooses their codes.

    layers: formats of single layers, "7", or of one projection of a layer, "7.down", instead of `format`.
    """

    format: str
    method: str = RTN
    head: str = SAME
    layers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Recipe:
        """A recipe of one line, or @PATH of a file; raises ImpossibleCase, UnknownName."""
        if text.startswith("@"):
            return read_assignment(Path(text[1:]).expanduser())
        body, plus, head = text.partition("+")
        format, colon, method = body.partition(":")
        if not format or (plus and not head) or (colon and not method):
            raise ImpossibleCase(f"got {text!r}; expected {GRAMMAR}, or @PATH of a file that assigns formats")
        made = cls(_format(format), _method(method or RTN), _format(head or SAME))
        if made.format == SAME and made.method != RTN:
            raise ImpossibleCase(
                f"got {text!r}, of which {made.method} chooses nothing: the head's codes are always the nearest ones; "
                f"expected a format for the layers, or no method"
            )
        return made

    def __str__(self) -> str:
        method, head = "" if self.method == RTN else f":{self.method}", "" if self.head == SAME else f"+{self.head}"
        mixed = f", {len(self.layers)} apart" if self.layers else ""
        return f"{self.format}{method}{head}{mixed}"

    def format_of(self, layer: int, projection: str) -> str:
        """The name of the format of a projection of a layer, `same` where it stays in the dtype."""
        return self.layers.get(f"{layer}.{projection}", self.layers.get(str(layer), self.format))

    def formats(self, config: ModelConfig) -> dict[tuple[int, str], str]:
        """By layer and projection."""
        return {(layer, name): self.format_of(layer, name) for layer in range(config.layers) for name in PROJECTIONS}

    def refuses(self, config: ModelConfig) -> str | None:
        """Why a model of that shape cannot be stored so; None where it can."""
        from attnlab.bench.llm.models.weights import layer_shapes

        if config.experts:
            return f"{config.name} has experts, which are stored in the dtype alone"
        shapes = layer_shapes(config)
        for place in self.layers:
            if int(place.partition(".")[0]) >= config.layers:
                return f"layer {place} is assigned a format; {config.name} has layers 0 to {config.layers - 1}"
        for (layer, name), format in self.formats(config).items():
            n, k = shapes[name]
            reason = self._refusal(format, n, k, self.method)
            if reason is not None:
                return f"{name} of layer {layer}, {list(shapes[name])}: {reason}"
        reason = self._refusal(self.head, config.vocab_size, config.hidden_size, RTN)
        return None if reason is None else f"the head, [{config.vocab_size}, {config.hidden_size}]: {reason}"

    def _refusal(self, format: str, n: int, k: int, method: str) -> str | None:
        if format == SAME:
            return None
        made = weight_format(format)
        if made.activations == "fp8_tensor":
            return (
                f"{format} has one scale for what all tokens of a pass give, so that an answer would depend on its "
                f"batch; take {format}_row"
            )
        return made.codec.refuses(n, k) or quantisation_method(method).refuses(made)

    def pass_bytes(self, config: ModelConfig, dtype: torch.dtype) -> int:
        """Bytes of the weights that one pass must read: all layers and the head, with every scale; no embedding."""
        from attnlab.bench.llm.models.weights import layer_shapes

        shapes = layer_shapes(config)
        total = config.hidden_size * dtype.itemsize + _nbytes(self.head, config.vocab_size, config.hidden_size, dtype)
        for layer in range(config.layers):
            for name, shape in shapes.items():
                format = self.format_of(layer, name) if name in PROJECTIONS else SAME
                n, k = shape if len(shape) == 2 else (1, shape[0])
                total += _nbytes(format, n, k, dtype)
        return total


def _nbytes(format: str, n: int, k: int, dtype: torch.dtype) -> int:
    return n * k * dtype.itemsize if format == SAME else weight_format(format).nbytes(n, k, dtype)


def _format(name: str) -> str:
    return SAME if name == SAME else weight_format(name).name


def _method(name: str) -> str:
    return quantisation_method(name).name


def read_assignment(path: Path) -> Recipe:
    """A recipe from a TOML file: `format`, and at choice `method`, `head` and a table `layers`.

    Keys of the table are layers, "7", or projections of them, "7.down". Raises ImpossibleCase, UnknownName, and what
    `read_toml` does of a file that cannot be read.
    """
    _, table = read_toml(path, "name a file that assigns formats to layers", ImpossibleCase)
    unknown = sorted(set(table) - set(KEYS))
    layers = table.get("layers", {})
    if unknown or "format" not in table or not isinstance(layers, dict):
        missing = "no format" if "format" not in table else "layers that are no table"
        got = f"keys {', '.join(unknown)}" if unknown else missing
        raise ImpossibleCase(f"{path}: got {got}; expected format, and at choice method, head and a table layers")
    wrong = [place for place in layers if not PLACE.fullmatch(place)]
    if wrong or ("layers" in table and not layers):
        got = f"the layer {wrong[0]!r}" if wrong else "a table `layers` that names none"
        raise ImpossibleCase(
            f'{path}: got {got}; expected numbers of layers such as "7", or projections of them, "7.down"'
        )
    rest = {key: value for key, value in table.items() if key != "layers"}
    top = {key: _named(path, key, value, _method if key == "method" else _format) for key, value in rest.items()}
    places = {place: _named(path, place, name, _format) for place, name in layers.items()}
    return Recipe(top["format"], top.get("method", RTN), top.get("head", SAME), places)


def _named(path: Path, key: str, value: object, read: Callable[[str], str]) -> str:
    """The name that a key of the file has."""
    if isinstance(value, str):
        try:
            return read(value)
        except UnknownName as error:
            raise ImpossibleCase(f"{path}: got {key} = {value!r}: {error}") from error
    quoted = f'"{key}.{next(iter(value), "down")}"' if isinstance(value, dict) else ""
    hint = f"; a projection is written in quotes, {quoted}" if quoted else ""
    raise ImpossibleCase(f"{path}: got {one_line(repr(value))} for {key}; expected a name in quotes{hint}")
