"""JSON values back to frozen dataclasses, one field at a time: slow, and able to say which of them does not fit."""

from __future__ import annotations

import dataclasses
import enum
import math
import types
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from attnlab.bench.text import one_line

T = TypeVar("T")


def decode_strictly(kind: type[T], data: Any) -> T:
    """As `codec.decode`, which asks here for what its library refuses: whether it may stand, and if not, why."""
    return _decode(kind, data, kind.__name__)  # type: ignore[no-any-return]


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _decode(kind: Any, data: Any, where: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return data
    if origin in (Union, types.UnionType):
        if data is None:
            return None
        only = next(a for a in get_args(kind) if a is not type(None))  # unions here are `X | None`
        return _decode(only, data, where)
    if origin is tuple:
        return tuple(_decode(get_args(kind)[0], item, where) for item in _expect(list, data, where))
    if origin is dict:
        items = _expect(dict, data, where).items()
        return {key: _decode(get_args(kind)[1], item, f"{where}.{key}") for key, item in items}
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, _expect(dict, data, where), where)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _decode_enum(kind, data, where)
    if kind is float:
        return math.nan if data is None else _number(data, where)
    return _expect(kind, data, where)


def _decode_dataclass(kind: Any, data: dict[str, Any], where: str) -> Any:
    hints = _hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    if unknown := sorted(set(data) - set(fields)):
        raise ValueError(f"{where} has unknown keys: {one_line(', '.join(unknown))}")
    missing = [
        name
        for name, f in fields.items()
        if name not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{where} lacks: {', '.join(missing)}")
    return kind(**{name: _decode(hints[name], item, f"{where}.{name}") for name, item in data.items()})


def _decode_enum(kind: type[enum.Enum], data: Any, where: str) -> enum.Enum:
    known = {member.value: member for member in kind}
    if not isinstance(data, str) or data not in known:
        raise ValueError(f"{where}: got {_shown(data)}, expected one of {', '.join(map(str, known))}")
    return known[data]


def _number(data: Any, where: str) -> float:
    try:
        return float(_expect((int, float), data, where))
    except OverflowError:
        raise ValueError(f"{where}: got a number of {len(str(data))} digits, expected a float") from None


def _shown(data: Any) -> str:
    return one_line(repr(data), 80)


def _expect(kind: type | tuple[type, ...], data: Any, where: str) -> Any:
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise ValueError(f"{where}: got {_shown(data)}, expected {names}")
    return data
