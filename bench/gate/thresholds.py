"""What is tolerated: the gate's targets by benchmark, from a TOML file."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attnlab.bench.errors import UnknownName, UsageError
from attnlab.bench.gate.allowances import Allowances, key_fits
from attnlab.bench.stats.sequential import LOOKS, Looks, looks_up_to
from attnlab.bench.stats.verdict import ALPHA, TARGET, Rule

TOP_KEYS = ("target", "alpha", "pairs", "allow_removed", "allow_new_baseline", "threshold")
TABLE_KEYS = ("match", "target")
LEAST_PAIRS = 6  # the fewest whose exact test can say anything of one benchmark at the usual level


@dataclass(frozen=True)
class Threshold:
    """The target of every benchmark whose key fits a shell pattern, such as `attention/naive*`."""

    match: str
    target: float

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

    def target_of(self, key: str) -> float:
        """The target of a benchmark such as `attention/naive[Hq8-bf16]`."""
        return next((t.target for t in reversed(self.thresholds) if t.fits(key)), self.target)

    def unused(self, keys: list[str]) -> list[str]:
        """Patterns that fit none of the benchmarks."""
        return [t.match for t in self.thresholds if not any(t.fits(key) for key in keys)]


def load_thresholds(path: Path | None) -> Thresholds:
    """Read a file of thresholds; the defaults where there is none.

    ```toml
    target = 0.03          # the least slowdown to stop, as a share
    alpha = 0.05           # chance of any false verdict in the family, before confirmation
    pairs = 16             # live pairs at most
    allow_removed = ["attention/old*"]        # may be missing, wrong or failing on head
    allow_new_baseline = ["attention/new*"]   # may be missing, wrong, failing or defined otherwise on base
    [[threshold]]
    match = "attention/naive*"
    target = 0.10
    ```

    Raises UsageError, with file and line, on anything else.
    """
    if path is None:
        return Thresholds()
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; give a TOML file of thresholds") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    return _File(path, text).read(data)


@dataclass(frozen=True)
class _File:
    path: Path
    text: str

    def read(self, data: Mapping[str, Any]) -> Thresholds:
        self._only(data, TOP_KEYS)
        tables = data.get("threshold", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise UsageError(f"{self._at('threshold')}: expected [[threshold]] tables, each with match and target")
        alpha = self._share(data, "alpha", ALPHA)
        return Thresholds(
            self._share(data, "target", TARGET),
            Rule(self._looks(data), alpha),
            tuple(self._threshold(table) for table in tables),
            Allowances(self._patterns(data, "allow_removed"), self._patterns(data, "allow_new_baseline")),
        )

    def _patterns(self, data: Mapping[str, Any], key: str) -> tuple[str, ...]:
        given = data.get(key, [])
        if not isinstance(given, list) or not all(isinstance(item, str) and item for item in given):
            raise UsageError(f'{self._at(key)}: got {key} = {given!r}; expected patterns such as ["attention/naive*"]')
        return tuple(given)

    def _threshold(self, table: Mapping[str, Any]) -> Threshold:
        self._only(table, TABLE_KEYS)
        match = table.get("match")
        if not isinstance(match, str) or not match:
            raise UsageError(
                f'{self._at("match")}: got match = {match!r}; expected a pattern such as "attention/naive*"'
            )
        if "target" not in table:
            raise UsageError(f"{self._at(match)}: the threshold for {match!r} lacks its target, such as target = 0.05")
        return Threshold(match, self._share(table, "target", TARGET))

    def _share(self, table: Mapping[str, Any], key: str, default: float) -> float:
        value = table.get(key, default)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not (0 < value < 1 and math.isfinite(value)):
            raise UsageError(
                f"{self._at(key)}: got {key} = {value!r}; expected a share above 0 and below 1, such as 0.03 for 3 %"
            )
        return float(value)

    def _looks(self, data: Mapping[str, Any]) -> Looks:
        pairs = data.get("pairs", LOOKS[-1])
        least = LEAST_PAIRS
        if not isinstance(pairs, int) or isinstance(pairs, bool) or not least <= pairs <= 1000:
            raise UsageError(
                f"{self._at('pairs')}: got pairs = {pairs!r}; expected a whole number from {least} to 1000: "
                f"an exact test of fewer than {least} pairs cannot tell anything"
            )
        return looks_up_to(pairs)

    def _only(self, table: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        for key in table:
            if key not in keys:
                raise UsageError(f"{self._at(key)}: {UnknownName('key of thresholds', key, keys)}")

    def _at(self, word: str) -> str:
        lines = self.text.splitlines()
        found = next((n for n, line in enumerate(lines, 1) if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line)), 1)
        return f"{self.path}:{found}"
