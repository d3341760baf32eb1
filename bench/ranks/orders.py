"""What a group and its ranks say to each other."""

from __future__ import annotations

from dataclasses import dataclass
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
class Forget:
    """What stands for an implementation on a case is not needed any more."""

    key: int


@dataclass(frozen=True)
class Done:
    """What was asked for is done; of a call, what it took, in nanoseconds."""

    elapsed_ns: float = 0.0


@dataclass(frozen=True)
class Raised:
    """It was not: why, in a line, where, and by the name of an outcome what that makes of the case."""

    reason: str
    detail: str | None
    outcome: str
