"""The fields of a request's body, each taken once and held to its type; what is left over is refused by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from attnlab.bench.errors import nearest
from attnlab.bench.server.refusal import Refusal

SHOWN = 80  # characters of a value that is quoted


class Fields:
    """A JSON object; a field that is null counts as left out."""

    def __init__(self, given: Mapping[str, Any], place: str = "") -> None:
        self._left = {name: value for name, value in given.items() if value is not None}
        self._place = place  # such as "stream_options."
        self._known: set[str] = set()

    @classmethod
    def read(cls, body: bytes) -> Fields:
        """Raises Refusal where a body is no JSON object."""
        try:
            given = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise Refusal(f"the body is no JSON: {error}; expected an object", code="invalid_json") from None
        if not isinstance(given, dict):
            raise Refusal(f"got a body that is {kind_of(given)}; expected a JSON object", code="invalid_json")
        return cls(given)

    def take(self, name: str) -> Any:
        """The value of a field, or None."""
        self._known.add(name)
        return self._left.pop(name, None)

    def wrong(self, name: str, value: Any, expected: str) -> Refusal:
        where = f"{self._place}{name}"
        return Refusal(f"got {where}={quoted(value)}; expected {expected}", param=where, code="invalid_value")

    def text(self, name: str) -> str | None:
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise self.wrong(name, value, "a string")
        return value

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, value, "true or false")
        return bool(value)

    def whole(self, name: str, least: int, most: int) -> int | None:
        value = self.take(name)
        fits = value is None or (isinstance(value, int) and not isinstance(value, bool) and least <= value <= most)
        if not fits:
            raise self.wrong(name, value, f"a whole number from {least} to {most}")
        return None if value is None else int(value)

    def number(self, name: str, least: float, most: float) -> float | None:
        value = self.take(name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and not (is_number and least <= value <= most):  # NaN is in no range
            raise self.wrong(name, value, f"a number from {least:g} to {most:g}")
        return None if value is None else float(value)

    def texts(self, name: str, most: int, longest: int) -> tuple[str, ...]:
        """A string or a list of them; none of them empty."""
        value = self.take(name)
        found = [] if value is None else [value] if isinstance(value, str) else value
        fits = isinstance(found, list) and len(found) <= most and all(isinstance(one, str) for one in found)
        if not fits or not all(0 < len(one) <= longest for one in found):
            raise self.wrong(name, value, f"a string or up to {most}, each of 1 to {longest} characters")
        return tuple(found)

    def inner(self, name: str) -> Fields | None:
        value = self.take(name)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(name, value, "an object")
        return None if value is None else Fields(value, f"{self._place}{name}.")

    def neutral(self, served: Mapping[str, tuple[Any, ...]]) -> None:
        """Fields that are not served, with the values that ask for nothing; raises Refusal for any other."""
        for name, values in served.items():
            value = self.take(name)
            if value is not None and not any(value == one and type(value) is type(one) for one in values):
                where = f"{self._place}{name}"
                hint = f"; leave it out, or take {' or '.join(quoted(one) for one in values)}" if values else ""
                raise Refusal(f"{where}={quoted(value)} is not served{hint}", param=where, code="unsupported_value")

    def ignored(self, names: Iterable[str]) -> None:
        """Fields that ask nothing of the answer."""
        for name in names:
            self.take(name)

    def done(self) -> None:
        """Raises Refusal where a field is left that nobody knows."""
        for name in self._left:
            near = nearest(name[:SHOWN], self._known)
            hint = f"; did you mean {near}?" if near else ""
            where = f"{self._place}{name[:SHOWN]}"
            raise Refusal(f"unknown field {where}{hint}", param=where, code="unknown_field")


def quoted(value: Any) -> str:
    """A value as JSON, in short."""
    if isinstance(value, (list, dict)):
        return f"{kind_of(value)} of {len(value)}"
    text = msgspec.json.encode(value).decode() if isinstance(value, (str, bool, float)) else str(value)[: 2 * SHOWN]
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def kind_of(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
