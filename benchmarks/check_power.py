"""How often the check of attention alarms on honest code, and how often it finds each broken one.

    python benchmarks/check_power.py --cases 1000 --seed 0

Draws small cases at random: every dtype, mask, grouping and source of inputs, head sizes and lengths from 1
on, packed sequences, rows without keys. On each, all honest implementations of `tests/broken` and a draw of
its broken ones go through `bench.correctness.Checker` as in a run. Prints two tables in Markdown: false
alarms with the 95 % Clopper-Pearson bound and the largest share of the budget that honest code used, and
for each defect the rejected of those tried, by dtype, with the cases on which it got through. On such small
cases some defects do not stand out of the rounding; the tests use cases on which all of them do.

Where a constant of `bench/contract/error_budget.py` or a needle is to be changed, run this before and after.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from scipy import stats

from attnlab.bench.contract.axes import DTYPES
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.measuring.judging.court import Court
from attnlab.bench.ops.attention.case import AttentionCase
from attnlab.bench.ops.attention.contract import ATTENTION
from attnlab.bench.ops.attention_backward import ATTENTION_BACKWARD, AttentionBackwardCase
from attnlab.bench.store.records import Outcome

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from broken.attention import ATTENTION_DEFECTS
from broken.backward import BACKWARD_DEFECTS
from broken.checking import Checked, check, implementation_of
from broken.gradients import HONEST_GRADIENTS
from broken.honest import HONEST

OPERATORS = {
    "attention": (ATTENTION, AttentionCase, HONEST, ATTENTION_DEFECTS),
    "attention_backward": (ATTENTION_BACKWARD, AttentionBackwardCase, HONEST_GRADIENTS, BACKWARD_DEFECTS),
}
LENGTHS = (1, 1, 2, 3, 4, 5, 8, 13, 16, 17, 33, 64, 65, 100, 129)
HEAD_DIMS = (1, 2, 4, 8, 16, 24, 32, 40, 64, 64, 80, 96, 128)
DEFECTS_A_CASE = 8


@dataclass
class Counts:
    """Of one implementation or operator in one dtype."""

    tried: int = 0
    rejected: int = 0
    largest_share: float = 0.0
    odd_cases: list[str] = field(default_factory=list)

    def add(self, checked: Checked, case_id: str, expected: Outcome) -> None:
        self.tried += 1
        self.rejected += checked.outcome is not Outcome.PASSED
        shares = [d.share_of_budget for found in checked.record.sets for d in found.deviations]
        self.largest_share = max(self.largest_share, *shares, 0.0)
        if checked.outcome is not expected:
            self.odd_cases.append(case_id)

    @property
    def bound(self) -> float:
        """The upper end of the 95 % Clopper-Pearson interval of the share rejected."""
        if self.rejected == self.tried:
            return 1.0
        return float(stats.beta.ppf(0.975, self.rejected + 1, self.tried - self.rejected))


def random_cases(kind: type[AttentionCase], rng: random.Random) -> Iterator[AttentionCase]:
    while True:
        kv_heads = rng.choice((1, 1, 2, 2, 3, 4))
        axes: dict[str, Any] = {
            "dtype": rng.choice(list(DTYPES)),
            "kv_heads": kv_heads,
            "q_heads": kv_heads * rng.choice((1, 1, 2, 3)),
            "head_dim": rng.choice(HEAD_DIMS),
            "mask": rng.choice(("full", "causal", "causal", f"window:{rng.choice((1, 2, 5, 16, 40))}")),
            "inputs": rng.choice(("normal", "normal", "outliers", "smollm2", "smollm2:1:prose")),
        }
        if axes["inputs"].startswith("smollm2"):
            axes |= {"q_heads": 9, "kv_heads": 3, "head_dim": 64}
        elif rng.random() < 0.3:
            axes["v_head_dim"] = rng.choice(HEAD_DIMS)
        if rng.random() < 0.25:
            axes["packed"] = [rng.choice(LENGTHS) for _ in range(rng.choice((1, 2, 3)))]
        else:
            length = rng.choice(LENGTHS)
            axes |= {"q_len": length, "kv_len": rng.choice((length, rng.choice(LENGTHS), 3 * length))}
            axes["batch"] = rng.choice((1, 1, 2))
        try:
            yield kind.build(axes)
        except ImpossibleCase:
            continue


def try_out(name: str, count: int, seed: int) -> tuple[dict[str, Counts], dict[str, dict[str, Counts]]]:
    """Honest implementations by dtype, and each broken one by dtype, over `count` cases."""
    operator, kind, honest, defects = OPERATORS[name]
    rng = random.Random(seed)
    good: dict[str, Counts] = defaultdict(Counts)
    bad: dict[str, dict[str, Counts]] = {defect.name: defaultdict(Counts) for defect in defects}
    cases = random_cases(kind, rng)
    for _ in range(count):
        case, case_seed = next(cases), rng.randrange(1 << 30)
        court = Court(torch.device("cpu"))
        for target in honest:
            checked = check(operator, case, implementation_of(name, target), case_seed, court)
            good[case.dtype].add(checked, f"{target.__name__} on {case.id}", Outcome.PASSED)
        applying = [defect for defect in defects if defect.applies(case)]
        for defect in rng.sample(applying, min(DEFECTS_A_CASE, len(applying))):
            checked = check(operator, case, defect.implementation, case_seed, court)
            bad[defect.name][case.dtype].add(checked, case.id, defect.outcome(case))
    return good, bad


def print_tables(name: str, good: dict[str, Counts], bad: dict[str, dict[str, Counts]]) -> None:
    print(f"\n## {name}\n\n| dtype | false alarms / trials | 95 % bound | largest share of the budget |")
    print("|---|--:|--:|--:|")
    for dtype in DTYPES:
        counts = good[dtype]
        print(f"| {dtype} | {counts.rejected} / {counts.tried} | {counts.bound:.2%} | {counts.largest_share:.2f} |")
    for dtype in DTYPES:
        for alarm in good[dtype].odd_cases:
            print(f"\nalarm: {alarm}")
    print(f"\n| broken | {' | '.join(DTYPES)} | not told apart on |\n|---|{'--:|' * len(DTYPES)}---|")
    for defect, by_dtype in bad.items():
        shares = [f"{by_dtype[d].tried - len(by_dtype[d].odd_cases)} / {by_dtype[d].tried}" for d in DTYPES]
        through = [case for d in DTYPES for case in by_dtype[d].odd_cases]
        print(f"| {defect} | {' | '.join(shares)} | {', '.join(through[:4])}{' …' if through[4:] else ''} |")
    tried = sum(counts.tried for by_dtype in bad.values() for counts in by_dtype.values())
    missed = sum(len(counts.odd_cases) for by_dtype in bad.values() for counts in by_dtype.values())
    print(f"\n{tried - missed} of {tried} broken implementations × cases rejected as expected")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--operator", choices=list(OPERATORS), action="append", help="default: both")
    parser.add_argument("--cases", type=int, default=1000, help="random cases an operator (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.operator or OPERATORS:
        print_tables(name, *try_out(name, asked.cases, asked.seed))


if __name__ == "__main__":
    main()
