"""What formats and methods cost SmolLM2-135M as a whole: the facts of a suite's cases of `perplexity` in one table.

    python benchmarks/quality_table.py [SUITE] [--only TEXT] [--figures FILE]

They are worked out as a run does, by the plain decoder in float32, but nobody is timed or checked, which takes most of
a run. --only: cases whose id has that text in it. --figures: a file of lines of JSON, to which each case is added as
it is found; cases that are in it already are taken from there.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from attnlab.bench import units
from attnlab.bench.contract.registry import discover
from attnlab.bench.measuring.draft import choose_suite
from attnlab.bench.ops.perplexity.case import PerplexityCase
from attnlab.bench.ops.perplexity.contract import PERPLEXITY

SUITE = "quality-methods"
HEADINGS = ("text", "weights", "cache", "bits", "Δ perplexity (95 %)", "KL mean", "KL 99.9 %", "same top", "perplexity")
Figures = dict[str, float]


def cases_of(suite: str, only: str) -> list[PerplexityCase]:
    benches = choose_suite(suite, discover()).benches
    cases = [case for bench in benches if bench.operator == PERPLEXITY.name for case in bench.cases]
    return [case for case in cases if isinstance(case, PerplexityCase) and only in case.id]


def known(file: Path | None) -> dict[str, Figures]:
    if file is None or not file.exists():
        return {}
    return dict(json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())


def figures_of(case: PerplexityCase) -> Figures:
    return {fact.quantity: fact.value for fact in PERPLEXITY.facts(case, 0, torch.device("cpu"))}


def row(case: PerplexityCase, found: Figures) -> tuple[str, ...]:
    number = units.format_number
    low, high = found.get("ppl_difference_low"), found.get("ppl_difference_high")
    interval = "" if low is None or high is None else f" ({units.format_interval(low, high, '')})"
    return (
        case.text,
        case.weights,
        case.cache,
        number(found["weight_bits"]),
        f"{number(found['ppl_difference'])}{interval}",
        number(found["kl_mean"]),
        number(found["kl_p999"]),
        units.format_share(found["same_top"]),
        number(found["ppl"]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", nargs="?", default=SUITE)
    parser.add_argument("--only", default="")
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    taken = known(options.figures)
    print(f"| {' | '.join((*HEADINGS, 'CPU s'))} |\n|{'---|' * (len(HEADINGS) + 1)}")
    for case in cases_of(options.suite, options.only):
        began = time.process_time()
        found = taken.get(case.id) or figures_of(case)
        if case.id not in taken and options.figures is not None:
            with options.figures.open("a", encoding="utf-8") as file:
                file.write(json.dumps([case.id, found]) + "\n")
        print(f"| {' | '.join((*row(case, found), f'{time.process_time() - began:.0f}'))} |", flush=True)


if __name__ == "__main__":
    main()
