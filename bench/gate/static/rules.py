"""What a kernel's figures may become: rules from a TOML file, ours where none is given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnlab.bench import units
from attnlab.bench.errors import UnknownName
from attnlab.bench.gate.allowances import key_fits
from attnlab.bench.gate.static.figures import QUANTITIES, KernelFigures
from attnlab.bench.toml_file import TomlFile, is_number, read_toml

SHIPPED = Path(__file__).with_name("rules.toml")
LIMITS = ("rise", "rise_share", "fall", "fall_share", "at_most", "new_at_most")
KEYS = ("quantity", "match", "keep", "report_only", *LIMITS)
ROUNDING = 1e-9


@dataclass(frozen=True)
class StaticRule:
    """What one quantity may do, in kernels whose key fits a shell pattern. report_only: told, and stops nothing."""

    quantity: str
    match: str = "*"
    rise: float | None = None
    rise_share: float | None = None
    fall: float | None = None
    fall_share: float | None = None
    at_most: float | None = None
    new_at_most: float | None = None
    keep: bool = False
    report_only: bool = False

    def fits(self, key: str) -> bool:
        return key_fits(key, self.match)

    def broken(self, base: KernelFigures | None, head: KernelFigures) -> str | None:
        """What the rule allows, in words, where head breaks it."""
        value = head.values.get(self.quantity)
        before = None if base is None else base.values.get(self.quantity)
        told = QUANTITIES[self.quantity].told
        if self.keep and before and not value:
            return "some, as base has"
        if value is None:
            return None
        limits = [self.at_most, *([self.new_at_most] if base is None else [])]
        for limit in limits:
            if limit is not None and value > limit:
                return f"at most {told(limit)}"
        if before is None:
            return None
        most, least = self._most(before), self._least(before)
        if most is not None and value > most + ROUNDING:
            return f"at most {told(most)}{_share(self.rise_share, '+')}"
        if least is not None and value < least - ROUNDING:
            return f"at least {told(least)}{_share(self.fall_share, '−')}"
        return None

    def _most(self, before: float) -> float | None:
        given = [before + self.rise] if self.rise is not None else []
        given += [before * (1 + self.rise_share)] if self.rise_share is not None else []
        return max(given, default=None)

    def _least(self, before: float) -> float | None:
        given = [before - self.fall] if self.fall is not None else []
        given += [before * (1 - self.fall_share)] if self.fall_share is not None else []
        return min(given, default=None)


def _share(share: float | None, sign: str) -> str:
    return "" if share is None else f" (base {sign}{units.format_share(share)})"


def load_rules(path: Path | None) -> tuple[StaticRule, ...]:
    """The rules that come along, and after them those of a file. Of a quantity's the last that fits a kernel counts.

    Raises UsageError, with file and line, on anything else.
    """
    found: tuple[StaticRule, ...] = ()
    for place in (SHIPPED, *([path] if path else [])):
        text, data = read_toml(place, "give a TOML file of [[rule]] tables")
        found += _RulesFile(place, text).read(data)
    return found


@dataclass(frozen=True)
class _RulesFile(TomlFile):
    tables = "rule"

    def read(self, data: Mapping[str, Any]) -> tuple[StaticRule, ...]:
        self.no_other_keys(data, ("rule",), "rules")
        tables = data.get("rule")
        if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
            raise self.wrong("rule", "expected one [[rule]] table or more, each with its quantity")
        return tuple(self._rule(table, number) for number, table in enumerate(tables))

    def _rule(self, table: Mapping[str, Any], number: int) -> StaticRule:
        self.no_other_keys(table, KEYS, "a rule", number)
        quantity = self.expect(table, "quantity", str, "a quantity's name", number)
        if quantity is None:
            raise self.wrong("rule", 'a [[rule]] lacks its quantity = "spills"', number)
        if quantity not in QUANTITIES:
            raise self.wrong("quantity", str(UnknownName("quantity", quantity, QUANTITIES)), number)
        for key in LIMITS:
            if key in table and not (is_number(table[key]) and table[key] >= 0):
                raise self.unexpected(key, table[key], "a number, 0 or more", number)
        keep = self.expect(table, "keep", bool, "true or false", number) or False
        if not keep and not any(key in table for key in LIMITS):
            raise self.wrong("quantity", f"the rule of {quantity} lacks a limit: {', '.join(LIMITS)}, keep", number)
        match = self.expect(table, "match", str, 'a pattern such as "attention/triton*"', number) or "*"
        if not re.search(r"[\w*]", match):
            raise self.unexpected("match", match, 'a pattern such as "attention/triton*"', number)
        report_only = self.expect(table, "report_only", bool, "true or false", number) or False
        limits = {key: float(table[key]) for key in LIMITS if key in table}
        return StaticRule(quantity, match, keep=keep, report_only=report_only, **limits)
