"""What is tolerated: the gate's targets by benchmark, from a TOML file."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attnlab.bench.errors import UnknownName
from attnlab.bench.gate.allowances import Allowances, key_fits
from attnlab.bench.gate.quantities import LATENCY, quantities
from attnlab.bench.stats.sequential import LOOKS, Looks, looks_up_to
from attnlab.bench.stats.verdict import ALPHA, TARGET, UNSEEN, Rule
from attnlab.bench.toml_file import TomlFile, is_number, is_whole, read_toml

TOP_KEYS = ("target", "alpha", "pairs", "unseen", "most_pairs", "allow_removed", "allow_new_baseline", "threshold")
TABLE_KEYS = ("match", "quantity", "target", "report_only")
NO_TARGET = "none"
REPORTED = 0.5  # where a quantity has no target: the share by which it has to change to be told
LARGEST_TARGET = 100.0  # of a quantity that is named, as a share
LEAST_PAIRS = 6  # the fewest whose exact test can say anything of one benchmark at the usual level


@dataclass(frozen=True)
class Target:
    """The least worsening of a quantity to stop, as a share; one that is not gated is only reported."""

    share: float
    gated: bool = True


@dataclass(frozen=True)
class Threshold:
    """The target of the quantities that fit a shell pattern, of every benchmark whose key fits another.

    Such as `latency*` of `attention/naive*`. target None: they are reported, not gated.
    """

    match: str
    target: float | None
    quantity: str = LATENCY

    def fits(self, key: str) -> bool:
        return key_fits(key, self.match)


@dataclass(frozen=True)
class Thresholds:
    """target: the least slowdown to stop, as a share, where no threshold fits; of those that fit, the last counts.

    allowances: what may be lost or new.
    """

    target: float = TARGET
    rule: Rule = field(default_factory=Rule)
    thresholds: tuple[Threshold, ...] = ()
    allowances: Allowances = field(default_factory=Allowances)

    def allowing(self, removed: Sequence[str] = (), new_baseline: Sequence[str] = ()) -> Thresholds:
        """These, with more that is allowed by name."""
        own = self.allowances
        return replace(self, allowances=Allowances((*own.removed, *removed), (*own.new_baseline, *new_baseline)))

    def target_of(self, key: str, quantity: str = LATENCY) -> Target:
        """The target of one quantity of a benchmark such as `attention/naive[Hq8-bf16]`.

        Where no threshold names a quantity, its own default counts, or the target of latency where that is larger.
        """
        named = [t for t in self.thresholds if fnmatch.fnmatchcase(quantity, t.quantity) and t.fits(key)]
        own = self.target if quantity == LATENCY else quantities()[quantity].target
        if named and named[-1].target is not None:
            return Target(named[-1].target)
        if named or own is None:
            return Target(own or REPORTED, gated=False)
        latency = None if quantity == LATENCY else self.target_of(key)
        return Target(max(own, latency.share) if latency is not None and latency.gated else own)

    def targets_of(self, key: str) -> dict[str, Target]:
        """The target of each quantity of a benchmark."""
        return {name: self.target_of(key, name) for name in quantities()}

    def unused(self, keys: list[str]) -> list[str]:
        """Patterns that fit none of the benchmarks."""
        return [t.match for t in self.thresholds if not any(t.fits(key) for key in keys)]


def load_thresholds(path: Path | None, allowing: bool = True) -> Thresholds:
    """Read a file of thresholds; the defaults where there is none.

    ```toml
    target = 0.03          # the least slowdown to stop, as a share
    alpha = 0.05           # chance of any false verdict in the family,
    pairs = 16             # live pairs that are planned for each benchmark
    unseen = 2.0           # targets: an inconclusive whose interval reaches past them ends in exit code 4
    most_pairs = 64        # where raising the pairs for such a one ends; four times the planned ones if not given
    allow_removed = ["attention/old*"]        # may be missing, wrong or failing on head
    allow_new_baseline = ["attention/new*"]   # may be missing, wrong, failing or defined otherwise on base
    [[threshold]]
    match = "attention/naive*"
    target = 0.10
    [[threshold]]
    quantity = "setup"     # of all benchmarks, since no match is given
    report_only = true
    ```

    allowing: whether what it allows by name is meant to count. Raises UsageError, with file and line, on anything else.
    """
    if path is None:
        return Thresholds()
    text, data = read_toml(path, "give a TOML file of thresholds")
    return _File(path, text, allowing).read(data)


@dataclass(frozen=True)
class _File(TomlFile):
    tables = "threshold"
    allowing: bool

    def read(self, data: Mapping[str, Any]) -> Thresholds:
        self.no_other_keys(data, TOP_KEYS, "thresholds")
        tables = data.get("threshold", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self.wrong("threshold", "expected [[threshold]] tables, each with match and target")
        alpha = self._share(data, "alpha", ALPHA)
        return Thresholds(
            self._share(data, "target", TARGET),
            Rule(self._looks(data), alpha, self._unseen(data), self._most_pairs(data)),
            tuple(self._threshold(table, number) for number, table in enumerate(tables)),
            Allowances(self._patterns(data, "allow_removed"), self._patterns(data, "allow_new_baseline")),
        )

    def _patterns(self, data: Mapping[str, Any], key: str) -> tuple[str, ...]:
        given = data.get(key, [])
        if not isinstance(given, list) or not all(isinstance(item, str) and item for item in given):
            raise self.unexpected(key, given, 'patterns such as ["attention/naive*"]')
        unnamed = next((item for item in given if not re.search(r"\w", item)), None)
        if unnamed is not None and self.allowing:
            raise self.wrong(
                key,
                f"{key} has {unnamed!r}, which names nothing and would let all through; expected patterns such as "
                '"attention/naive*"',
            )
        return tuple(given)

    def _threshold(self, table: Mapping[str, Any], number: int) -> Threshold:
        self.no_other_keys(table, TABLE_KEYS, "thresholds", number)
        quantity = table.get("quantity", LATENCY)
        if not isinstance(quantity, str) or not fnmatch.filter(quantities(), quantity):
            raise self.wrong("quantity", str(UnknownName("quantity", str(quantity), quantities())), number)
        match = table.get("match", "*" if "quantity" in table else None)
        if not isinstance(match, str) or not match:
            raise self.unexpected("match", match, 'a pattern such as "attention/naive*"', number)
        return Threshold(match, self._target(table, match, number), quantity)

    def _target(self, table: Mapping[str, Any], match: str, number: int) -> float | None:
        reported = table.get("report_only", False)
        if not isinstance(reported, bool):
            raise self.unexpected("report_only", reported, "true or false", number)
        if reported and table.get("target", NO_TARGET) != NO_TARGET:
            raise self.wrong("report_only", "got both report_only = true and a target; expected one of them", number)
        if reported or table.get("target") == NO_TARGET:
            return None
        if "target" not in table:
            message = f"the threshold for {match!r} lacks its target, such as target = 0.05"
            raise self.wrong("match" if "match" in table else "quantity", message, number)
        return self._share(table, "target", TARGET, LARGEST_TARGET if "quantity" in table else 1.0, number)

    def _share(
        self, table: Mapping[str, Any], key: str, default: float, below: float = 1.0, number: int | None = None
    ) -> float:
        value = table.get(key, default)
        if not is_number(value) or not 0 < value < below:
            raise self.unexpected(key, value, f"a share above 0 and below {below:g}, such as 0.03 for 3 %", number)
        return float(value)

    def _looks(self, data: Mapping[str, Any]) -> Looks:
        pairs = data.get("pairs", LOOKS[-1])
        if not is_whole(pairs) or not LEAST_PAIRS <= pairs <= 1000:
            raise self.unexpected(
                "pairs",
                pairs,
                f"a whole number from {LEAST_PAIRS} to 1000: an exact test of fewer than {LEAST_PAIRS} pairs cannot "
                "tell anything",
            )
        return looks_up_to(pairs)

    def _unseen(self, data: Mapping[str, Any]) -> float:
        value = data.get("unseen", UNSEEN)
        if not is_number(value) or not 1 <= value < math.inf:
            raise self.unexpected("unseen", value, "a number of targets from 1, such as 2.0")
        return float(value)

    def _most_pairs(self, data: Mapping[str, Any]) -> int | None:
        most, planned = data.get("most_pairs"), self._looks(data).last
        if most is not None and (not is_whole(most) or not planned <= most <= 10_000):
            raise self.unexpected("most_pairs", most, f"a whole number from the planned {planned} pairs to 10000")
        return most
