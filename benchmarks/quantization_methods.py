"""What formats and methods lose of the output of SmolLM2's linear layers, on texts that no method was calibrated on.

    python benchmarks/quantization_methods.py [--layers 12] [--formats int4_g64 nf4] [--methods rtn gptq awq]
        [--tokens 7680] [--peer]

Methods are calibrated on the model's own activations on the shipped prompts, and judged on those on the captured texts,
1024 tokens of each. An error is the root mean square of what the output differs by over that of the output with the
original weight; activations are rounded too where the format does so. Query, key and value are taken together, and so
are gate and up. A calibrated method that loses no less than rtn is marked by an exclamation mark.

The packaged file stores weights as Q4_1: asymmetric groups of 32 hold them as they are, and their errors say nothing.

--peer: GPTQ of the package gptqmodel on the same layers and activations, with its own rounding, in symmetric and
asymmetric groups; where it is installed (a recent release needs no GPU).
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.llm.captured.texts import TEXTS, token_ids
from attnlab.bench.llm.models.load import load_model, load_tokenizer
from attnlab.bench.llm.models.sources import PACKAGED
from attnlab.bench.llm.models.weights import LayerWeights
from attnlab.bench.llm.quantization.activations import quantised
from attnlab.bench.llm.quantization.calibration import FIELDS, TOKENS_A_TEXT, LayerInputs, calibration_ids, layer_inputs
from attnlab.bench.llm.quantization.choosing import known_methods, quantisation_method, quantise
from attnlab.bench.llm.quantization.coding import Activations, known_weight_formats, weight_format
from attnlab.bench.llm.quantization.compensating import damping
from attnlab.bench.llm.quantization.losses import output_error

HELD_OUT_TEXTS = 2  # of each captured text
RTN = "rtn"
PEER_FORMATS = {"int4_g64": (64, True), "int4_g64_asym": (64, False), "int4_g32": (32, True)}
"""Our formats that gptqmodel has, too: the size of a group, and whether it is symmetric."""


@dataclass(frozen=True)
class Layer:
    """The weights of one input of a layer as [N, K], and what it is given, [T, K]."""

    name: str
    weight: Tensor
    calibration: Tensor
    held_out: Tensor

    def error(self, values: Tensor, column_scale: Tensor | None = None, rounding: Activations = "same") -> float:
        """Of the output with other values of the weight [N, K], in percent."""
        x = self.held_out if column_scale is None else self.held_out / column_scale
        rounded = quantised(x, rounding, torch.float32)
        return 100 * output_error(rounded @ values.mT, self.held_out @ self.weight.mT)


def layers_of(indices: Sequence[int], tokens: int) -> Iterator[Layer]:
    weights = load_model(PACKAGED)
    shown = calibration_ids(load_tokenizer(PACKAGED), tokens)
    held_out = torch.stack([part for text in TEXTS for part in token_ids(text).split(TOKENS_A_TEXT)[:HELD_OUT_TEXTS]])
    pairs = zip(layer_inputs(weights, shown), layer_inputs(weights, held_out), strict=True)
    for index, (calibration, others) in enumerate(pairs):
        if index in indices:
            yield from _kinds(index, weights.layers[index], calibration, others)
        if index == max(indices):
            return


def _kinds(index: int, layer: LayerWeights, calibration: LayerInputs, held_out: LayerInputs) -> Iterator[Layer]:
    for kind, fields in FIELDS.items():
        weight = torch.cat([getattr(layer, field) for field in fields])
        yield Layer(f"{kind} {index}", weight, calibration.of(kind), held_out.of(kind))


def error_of(layer: Layer, format: str, method: str) -> float | None:
    """None where the method does not choose for the format, or the layer cannot be stored in it."""
    of, by = weight_format(format), quantisation_method(method)
    if of.codec.refuses(*layer.weight.shape) or by.refuses(of):
        return None
    chosen = quantise(layer.weight, of, by, layer.calibration)
    return layer.error(chosen.weight.dequantised(), chosen.column_scale, of.activations)


def by_gptqmodel(layer: Layer, size: int, symmetric: bool, act_order: bool) -> Tensor:
    """The values that the package chooses, [N, K], damped as ours is."""
    package = importlib.import_module("gptqmodel.quantization")
    gptq = importlib.import_module("gptqmodel.quantization.gptq")
    n, k = layer.weight.shape
    module = torch.nn.Linear(k, n, bias=False)
    module.weight.data = layer.weight.clone()
    share = min(damping(len(layer.calibration), k), 0.99)
    config = package.QuantizeConfig(
        bits=4, group_size=size, sym=symmetric, desc_act=act_order, act_group_aware=False, damp_percent=share
    )
    task = gptq.GPTQ(module, config)
    task.quantizer.configure(perchannel=True)
    for text in layer.calibration.split(TOKENS_A_TEXT):
        task.add_batch(text[None], text[None] @ layer.weight.mT)
    values: Tensor = task.quantize()[0]
    return values.float()


def table(layers: Sequence[Layer], formats: Sequence[str], methods: Sequence[str]) -> None:
    print(f"| format | bits | method | {' | '.join(layer.name for layer in layers)} | CPU s |")
    print(f"|{'---|' * (len(layers) + 4)}")
    for format in formats:
        nearest: list[float | None] = []
        for method in methods:
            began = time.process_time()
            errors = [error_of(layer, format, method) for layer in layers]
            taken = time.process_time() - began
            if all(error is None for error in errors):
                continue
            nearest = errors if method == RTN else nearest
            n, k = layers[0].weight.shape
            bits = weight_format(format).bits_a_weight(n, k, torch.bfloat16)
            cells = [_cell(error, to_beat, method) for error, to_beat in zip(errors, nearest or errors, strict=True)]
            print(f"| {format} | {bits:.3f} | {method} | {' | '.join(cells)} | {taken:.0f} |", flush=True)


def _cell(error: float | None, nearest: float | None, method: str) -> str:
    if error is None:
        return "–"
    beaten = method == RTN or nearest is None or error < nearest
    return f"{error:.2f} %" + ("" if beaten else " !")


def peer_table(layers: Sequence[Layer]) -> None:
    print("\n| format | layer | gptq | gptqmodel | ratio | by act order | gptqmodel | ratio |")
    print(f"|{'---|' * 8}")
    for format, (size, symmetric) in PEER_FORMATS.items():
        for layer in layers:
            cells = []
            for method, act_order in (("gptq", False), ("gptq_act_order", True)):
                ours, theirs = (
                    error_of(layer, format, method),
                    layer.error(by_gptqmodel(layer, size, symmetric, act_order)),
                )
                assert ours is not None
                cells.append(f"{ours:.2f} % | {theirs:.2f} % | {ours / theirs:.3f}")
            print(f"| {format} | {layer.name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    methods = [RTN, *(name for name in known_methods() if name != RTN)]
    parser.add_argument("--layers", type=int, nargs="+", default=[12])
    parser.add_argument("--formats", nargs="+", default=list(known_weight_formats()))
    parser.add_argument("--methods", nargs="+", default=methods, help="rtn first, for the others to be judged by it")
    parser.add_argument("--tokens", type=int, default=7680)
    parser.add_argument("--peer", action="store_true")
    options = parser.parse_args()
    with torch.inference_mode():
        layers = list(layers_of(options.layers, options.tokens))
        if options.peer:
            peer_table(layers)
        else:
            table(layers, options.formats, options.methods)


if __name__ == "__main__":
    main()
