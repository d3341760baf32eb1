"""A parser of arguments whose errors name what was likely meant, beside the usage of the command that was typed."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from attnlab.bench.errors import nearest


class SuggestingParser(argparse.ArgumentParser):
    """argparse's, which tells neither the nearest name nor, of a wrong option, how its own command is used."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        options, left = super().parse_known_args(args, namespace)
        if left:
            known = [name for action in self._actions for name in action.option_strings]
            unknown = left[0].partition("=")[0]
            what = "option" if unknown.startswith("-") else "argument"
            self.error(f"unknown {what} {unknown}{_hint(unknown, known, '; ')}")
        return options, left

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            hint = _hint(str(value), known) or f"expected one of {', '.join(known)}"
            raise argparse.ArgumentError(action, f"got {value!r}; {hint}")


def _hint(name: str, known: Iterable[str], before: str = "") -> str:
    near = nearest(name, known)
    return f"{before}did you mean {near}?" if near else ""
