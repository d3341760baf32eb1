"""Broken decoders of a model whose weights are stored in formats: other scales, codes or projections than its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.llm.quantization.weight import QuantizedWeight
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs
from attnlab.impls.generate._engine.adapter import EngineAdapter
from attnlab.impls.generate._engine.batching import Batching

from .collection import Collection

STORED_DEFECTS = Collection("generate")
Weights = dict[str, QuantizedWeight]
TOP_BITS = 0x88  # of two codes of four bits


def always(case: Any) -> bool:
    return True


class Decodes(EngineAdapter):
    """Our decoder, whose stored weights can be spoilt before it is made."""

    def prepare(self, case: GenerateCase, inputs: GenerateInputs) -> Batching:
        weights = inputs.weights
        layers = tuple(replace(layer, quantized=self.changed(layer.quantized)) for layer in weights.layers)
        head = None if weights.quantized_head is None else self.changed({"head": weights.quantized_head})["head"]
        return super().prepare(case, replace(inputs, weights=replace(weights, layers=layers, quantized_head=head)))

    def changed(self, stored: Weights) -> Weights:
        return {name: replace(weight, planes=self.planes(weight.planes)) for name, weight in stored.items()}

    def planes(self, planes: dict[str, Tensor]) -> dict[str, Tensor]:
        return planes


@STORED_DEFECTS.broken(always)
class ScalesOfTheNextRow(Decodes):
    def planes(self, planes: dict[str, Tensor]) -> dict[str, Tensor]:
        return planes | {"scale": planes["scale"].roll(1, 0)}


@STORED_DEFECTS.broken(always)
class GateForUp(Decodes):
    def changed(self, stored: Weights) -> Weights:
        return stored if "gate" not in stored else stored | {"gate": stored["up"], "up": stored["gate"]}


@STORED_DEFECTS.broken(always)
class TopBitLost(Decodes):
    def planes(self, planes: dict[str, Tensor]) -> dict[str, Tensor]:
        codes = planes["codes"]
        return planes | {"codes": codes & 0x7F if codes.dtype == torch.int8 else codes & ~TOP_BITS & 0xFF}


@STORED_DEFECTS.broken(lambda case: "int4" in case.weights)
class MinimumForgotten(Decodes):
    def planes(self, planes: dict[str, Tensor]) -> dict[str, Tensor]:
        return planes | {name: torch.zeros_like(plane) for name, plane in planes.items() if name == "minimum"}
