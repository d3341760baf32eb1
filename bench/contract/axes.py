"""Axes of an operator: how a case is declared, printed as a short id, parsed back and swept."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from attnlab.bench.errors import ImpossibleCase, UnknownName

LARGEST_SIZE = 2**40
"""Of any axis: beyond it no tensor's number of bytes would fit into 64 bits."""

DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Axis:
    """One axis: `write` spells a value as a user would, `read` takes that spelling or the value.

    `prefix` starts the token in an id (`Hq` in `Hq32`); an axis without one recognises its tokens
    by `pattern`. In an id a colon becomes a dot (`window:256`, `window.256`), so that ids serve as
    file names and in test selections. `shown` axes stand in every id, the others only where they
    are not at their default. What is not the default of an `opt_in` axis is measured only of implementations that
    say that they serve it.
    """

    prefix: str
    pattern: str
    read: Callable[[Any], Any]
    write: Callable[[Any], str]
    help: str
    default: Callable[[Any], Any]
    shown: bool = False
    opt_in: bool | Callable[[Any], bool] = False
    usual: str = ""

    def token(self, value: Any) -> str:
        return self.prefix + self.write(value).replace(":", ".")

    def from_token(self, token: str) -> Any:
        """The value that a token of an id stands for, or None where the token is not this axis's."""
        matched = re.fullmatch(f"{self.prefix}({self.pattern})", token.replace(".", ":"))
        return self.read(matched.group(1)) if matched else None


def axis(
    *,
    prefix: str = "",
    pattern: str,
    read: Callable[[Any], Any],
    write: Callable[[Any], str] = str,
    help: str,
    default: Any,
    shown: bool = False,
    opt_in: bool | Callable[[Any], bool] = False,
    usual: str = "",
) -> Any:
    """Declare a field of a case; a callable `default` is worked out from the axes before it."""
    resolve = default if callable(default) else lambda case: default
    return field(
        default=None, metadata={"axis": Axis(prefix, pattern, read, write, help, resolve, shown, opt_in, usual)}
    )


def _positive(value: Any) -> int:
    try:
        number = int(str(value))
    except ValueError:
        raise ImpossibleCase(f"got {value!r}; expected a whole number of at least 1") from None
    if number < 1 or isinstance(value, (bool, float)):
        raise ImpossibleCase(f"got {value!r}; expected a whole number of at least 1")
    if number > LARGEST_SIZE:
        raise ImpossibleCase(f"got {number:.3g}; expected at most {LARGEST_SIZE}")
    return number


def size(prefix: str, *, help: str, default: Any, opt_in: bool = False) -> Any:
    """An axis of whole numbers from 1 on."""
    return axis(prefix=prefix, pattern=r"\d+", read=_positive, help=help, default=default, opt_in=opt_in)


def like(name: str) -> Callable[[Any], Any]:
    """A default equal to another axis of the same case."""
    return lambda case: getattr(case, name)


def _read_dtype(value: Any) -> str:
    short = {token: name for name, token in DTYPES.items()}
    name = short.get(str(value), str(value))
    if name not in DTYPES:
        raise ImpossibleCase(f"unknown dtype {value!r}; expected one of {', '.join(DTYPES)}")
    return name


def dtype_axis(default: str = "bfloat16") -> Any:
    """The dtype of the inputs and of the output; stands in every id, so that no id is empty."""
    return axis(
        pattern="|".join(DTYPES.values()),
        read=_read_dtype,
        write=DTYPES.__getitem__,
        help="dtype of inputs and output",
        default=default,
        shown=True,
    )


@dataclass(frozen=True)
class Case:
    """One point of an operator's axes; `str(case)` is its id, `parse` reads it back.

    A default never changes, because ids leave out axes at their default: an axis added later
    leaves every stored id as it was.
    """

    kind: ClassVar[str] = "case"

    def __post_init__(self) -> None:
        for name, declared in self.axes().items():
            value = getattr(self, name)
            value = declared.default(self) if value is None else self.read_value(name, value)
            object.__setattr__(self, name, value)
        self.validate()

    @classmethod
    def read_value(cls, name: str, value: Any) -> Any:
        """A value of an axis from its spelling; raises UnknownName, or ImpossibleCase naming the axis."""
        if name not in cls.axes():
            raise UnknownName(f"axis of {cls.kind}", name, cls.axes())
        try:
            return cls.axes()[name].read(value)
        except ImpossibleCase as error:
            raise ImpossibleCase(f"axis {name}: {error}") from None

    def validate(self) -> None:
        """Raise ImpossibleCase where axes contradict each other."""

    def files(self) -> dict[str, Path]:
        """Files and folders that the case names, by axis: what they hold is a part of what is measured."""
        return {}

    @classmethod
    def axes(cls) -> dict[str, Axis]:
        return {f.name: f.metadata["axis"] for f in fields(cls) if "axis" in f.metadata}

    @property
    def id(self) -> str:
        """A short name such as `Hq32-Hkv8-Sq4096-D128-bf16-causal`."""
        tokens = []
        for name, declared in self.axes().items():
            value = getattr(self, name)
            if declared.shown or value != declared.default(self):
                tokens.append(declared.token(value))
        return "-".join(tokens)

    def __str__(self) -> str:
        return self.id

    @classmethod
    def parse(cls, text: str) -> Self:
        """The case that an id stands for; raises ImpossibleCase on a token of no axis."""
        values: dict[str, Any] = {}
        for token in text.split("-"):
            name, value = cls._read_token(token, text)
            if name in values:
                raise ImpossibleCase(f"case id {text!r} gives axis {name} twice")
            values[name] = value
        return cls(**values)

    @classmethod
    def _read_token(cls, token: str, text: str) -> tuple[str, Any]:
        for name, declared in cls.axes().items():
            value = declared.from_token(token)
            if value is not None:
                return name, value
        example = cls().id
        raise ImpossibleCase(f"case id {text!r}: {token!r} is no axis of {cls.kind}; an id reads like {example!r}")

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> Self:
        """A case from axis names and values; raises UnknownName on a name that is no axis."""
        for name in values:
            if name not in cls.axes():
                raise UnknownName(f"axis of {cls.kind}", name, cls.axes())
        return cls(**values)

    def opted(self) -> dict[str, tuple[str, str]]:
        """Opt-in axes at values that not all serve, each with its value and what all serve, as a user spells them."""
        return {
            name: (declared.write(value), declared.usual or declared.write(default))
            for name, declared in self.axes().items()
            if declared.opt_in
            and (value := getattr(self, name)) != (default := declared.default(self))
            and (declared.opt_in is True or declared.opt_in(value))
        }

    def chosen(self) -> dict[str, Any]:
        """The axes that are not at their default: `build(chosen())` is this case again."""
        return {
            name: value
            for name, declared in self.axes().items()
            if (value := getattr(self, name)) != declared.default(self)
        }

    def values(self) -> dict[str, Any]:
        """Every axis with its value, a number or as a user spells it, for tables and stored results."""
        return {
            name: value if isinstance(value := getattr(self, name), (int, str)) else declared.write(value)
            for name, declared in self.axes().items()
        }


def sweep(case_type: type[Case], axes: Mapping[str, Any]) -> list[Case]:
    """Every combination of the given values that the contract allows, in the order given.

    A list is swept, anything else is one value. A value that is none of its axis raises. Combinations
    that contradict themselves are left out; where none is left, the first contradiction is raised.
    """
    names = list(axes)
    choices: list[Sequence[Any]] = [v if isinstance(v, list) else [v] for v in axes.values()]
    for name, values in zip(names, choices, strict=True):
        if not values:
            raise ImpossibleCase(f"axis {name}: got no value; expected one or more")
        for value in values:
            case_type.read_value(name, value)
    cases: dict[Case, None] = {}
    refused: list[ImpossibleCase] = []
    for values in itertools.product(*choices):
        try:
            cases[case_type.build(dict(zip(names, values, strict=True)))] = None
        except ImpossibleCase as error:
            refused.append(error)
    if not cases and refused:
        raise refused[0]
    return list(cases)


def unique(items: Iterable[Any]) -> list[Any]:
    """The items in their order, each once."""
    return list(dict.fromkeys(items))
