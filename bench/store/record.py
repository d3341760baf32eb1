"""Dataclasses of what is stored, as msgspec decodes them fastest and refuses unknown keys in them."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any, TypeVar, dataclass_transform

import msgspec

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def record(cls: type[T]) -> type[T]:
    """A frozen dataclass that is a struct of msgspec, with the same fields, methods and defaults.

    What the module `dataclasses` does with a dataclass it does with this one. It must hold no cycles, since Python's
    collector of them passes it over, and no dataclass that is not a record too, since those let unknown keys pass.
    """
    plain = dataclasses.dataclass(frozen=True)(cls)
    fields = {field.name: field for field in dataclasses.fields(plain)}  # type: ignore[arg-type]
    own = {name: value for name, value in vars(cls).items() if name in KEPT or not name.startswith("__")}
    keeps = any(isinstance(value, cached_property) for value in own.values())
    return msgspec.defstruct(  # type: ignore[return-value]
        cls.__name__,
        [_field(field) for field in fields.values()],
        namespace={name: value for name, value in own.items() if name not in fields},
        module=cls.__module__,
        frozen=True,
        forbid_unknown_fields=True,
        omit_defaults=True,
        gc=keeps,
        dict=keeps,
    )


KEPT = ("__doc__", "__post_init__", "__str__", "__dataclass_fields__")


def _field(field: dataclasses.Field[Any]) -> tuple[str, Any, Any]:
    if field.default is not dataclasses.MISSING:
        return field.name, field.type, field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.name, field.type, msgspec.field(default_factory=field.default_factory)
    return field.name, field.type, msgspec.NODEFAULT
