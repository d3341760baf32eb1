"""What a group and its ranks say to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from attnlab.bench.contract.operator_spec import Ranks

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Join:
    """Come together: this rank of so many, on a kind of device, by the file of a store.

    stack: the file that a rank writes its stack to when it gets SIGUSR1. came: int64 [p], zeros, see `HostWindows`.
    """

    rank: int
    world_size: int
    device: str
    store: str
    stack: str
    came: Tensor


@dataclass(frozen=True)
class Load:
    """Import these modules, each by its name or else from its file."""

    modules: dict[str, str | None]


@dataclass(frozen=True)
class Prepare:
    """Set up an implementation, a class of a module, on a case; what is given as `key` stands for it from then on.

    outputs: where this rank's outputs go, in memory that is shared.
    """

    key: int
    implementation: tuple[str, str]
    ranks: Ranks[Any, Any]
    case: Any
    inputs: Any
    outputs: tuple[Tensor, ...]
    chosen: Any = None


@dataclass(frozen=True)
class Call:
    """One call; poisoned: fresh memory is NaN in it, and inputs must come back as they were."""

    key: int
    poisoned: bool = False


@dataclass(frozen=True)
class TimeAlone:
    """One part of a call by itself; where none is named, only tell their names."""

    key: int
    part: str | None = None


@dataclass(frozen=True)
class Make:
    """An object of a class of a module; what is given as `key` stands for it from then on."""

    key: int
    made: tuple[str, str]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Do:
    """Call a method of what was made; poisoned: fresh memory is NaN in it."""

    key: int
    method: str
    arguments: tuple[Any, ...]
    poisoned: bool = False


@dataclass(frozen=True)
class Inspect:
    """Tell whether code of others changed the harness in this process."""


@dataclass(frozen=True)
class Forget:
    """What stands for an implementation on a case, or for what was made, is not needed any more."""

    key: int


@dataclass(frozen=True)
class Done:
    """What was asked for is done; of a call, what it took, in nanoseconds.

    told: what the implementation says of it. value: what a method returned, or the names of parts.
    """

    elapsed_ns: float = 0.0
    told: dict[str, float] = field(default_factory=dict)
    value: Any = None


@dataclass(frozen=True)
class Raised:
    """It was not: why, in a line, where, and by the name of an outcome what that makes of the case."""

    reason: str
    detail: str | None
    outcome: str
