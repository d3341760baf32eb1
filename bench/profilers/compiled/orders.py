"""What a process that compiles is told: what all its cases share, and each case."""

from __future__ import annotations

from dataclasses import dataclass, field

from attnlab.bench.contract.space import Value


@dataclass(frozen=True)
class Setup:
    """plugins: files and modules with implementations. kept: folder of earlier records. root: of the sources."""

    plugins: tuple[str, ...] = ()
    kept: str | None = None
    root: str | None = None


@dataclass(frozen=True)
class CaseOrder:
    """One case to compile.

    module: what registers the implementation, where it is ours; "" for a plugin's. chosen: a configuration of its
    search space; empty for what it chooses itself.
    """

    implementation: str
    case_id: str
    target: str
    module: str = ""
    chosen: dict[str, Value] = field(default_factory=dict, hash=False)
