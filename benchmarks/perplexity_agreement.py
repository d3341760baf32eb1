"""How far implementations of `perplexity` agree on the same tokens, and with the plain decoder in float64.

    python benchmarks/perplexity_agreement.py [--case ID ...] [--impl NAMES]

Each implementation scores the same windows of a text: our plain decoder, our decoder of `generate`, transformers, and,
on the packaged file as it is (`w_q4_1`), llama.cpp, where they are installed. Windows of 512 tokens whose second half
is scored are what llama-perplexity reads. Of each the perplexity is printed, how far it is from the reference's, and
how far single tokens are. The exit code is 1 where a perplexity in float32 is more than 0.1 % off. Minutes on a CPU.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench import PerplexityCase, discover, units
from attnlab.bench.contract.needs import missing
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.errors import Unavailable
from attnlab.bench.llm.quality.texts import windows_of
from attnlab.bench.ops.perplexity.check import logs_of
from attnlab.bench.ops.perplexity.contract import PERPLEXITY, ids_of, make_inputs
from attnlab.bench.store.machine import Device

CLOSE = 0.001
CASES = (
    "prose-W512-S256-n2-B2-fp32",
    "code-W256-n4-B4-fp32",
    "prose-W512-S256-n2-B2-bf16",
    "prose-W512-S256-n2-B2-fp32-w_q4_1",
    "prose-W256-n4-B4-fp32-w_int4_g32",
)
REFERENCE = "reference"


@dataclass(frozen=True)
class Agreement:
    """The perplexity that one implementation has, and how far it and the logarithms are from the reference's.

    off: a share. token: in nats, of the token that is furthest off. reason: why there is none.
    """

    case: str
    implementation: str
    perplexity: float = math.nan
    off: float = math.nan
    token: float = math.nan
    reason: str | None = None

    @property
    def row(self) -> tuple[str, ...]:
        if self.reason is not None:
            return self.case, self.implementation, self.reason
        figures = (f"{self.perplexity:.4f}", f"{100 * self.off:+.5f} %", f"{self.token:.1e} nat")
        return self.case, self.implementation, *figures


def agreements(case_id: str, names: Sequence[str]) -> Iterator[Agreement]:
    """The reference's figures, then those of each implementation, on the first windows of the case's text."""
    case = PERPLEXITY.case_type.parse(case_id)
    inputs = make_inputs(case, "drawn", 0, torch.device("cpu"))
    inputs.ids.copy_(windows_of(ids_of(case), case.window, case.stride, case.batch))
    expected = logs_of(case, inputs, torch.float64 if case.dtype == "float32" else torch.float32)
    yield _compared(case, REFERENCE, expected, expected)
    for name in names:
        implementation = discover().implementations(PERPLEXITY.name).get(name)
        yield _measured(case, implementation, inputs, expected)


def _measured(case: PerplexityCase, implementation: Implementation, inputs: object, expected: Tensor) -> Agreement:
    reason = missing(implementation, Device("cpu", "")) or implementation.supports(case)
    if reason is not None:
        return Agreement(case.id, implementation.name, reason=reason)
    try:
        logs = implementation.run(inputs, implementation.prepare(case, inputs))
    except Unavailable as error:
        return Agreement(case.id, implementation.name, reason=str(error))
    return _compared(case, implementation.name, logs, expected)


def _compared(case: PerplexityCase, name: str, logs: Tensor, expected: Tensor) -> Agreement:
    own, right = (math.exp(-float(x.double().mean())) for x in (logs, expected))
    return Agreement(case.id, name, own, own / right - 1, float((logs.double() - expected).abs().max()))


def agree(found: Sequence[Agreement]) -> bool:
    """Whether all that were measured in float32 are within the limit."""
    judged = [one for one in found if one.reason is None and "fp32" in one.case]
    return bool(judged) and all(abs(one.off) <= CLOSE for one in judged)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--case", action="append", default=[], metavar="ID", help="a case; may be repeated")
    parser.add_argument("--impl", default="naive,sdpa,transformers,llama_cpp", metavar="NAMES")
    options = parser.parse_args(arguments)
    found = []
    for case_id in options.case or CASES:
        for one in agreements(case_id, options.impl.split(",")):
            print("  ".join(one.row), flush=True)
            found.append(one)
    told = "agree" if agree(found) else "do NOT agree"
    print(f"In float32 all {told} within {units.format_share(CLOSE)}.")
    return 0 if agree(found) else 1


if __name__ == "__main__":
    sys.exit(main())
