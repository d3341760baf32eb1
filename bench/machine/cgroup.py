"""What the control group of this process may take of memory and of cores, and how often the kernel killed in it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # version 1 writes a number of about this size where there is no limit


@dataclass(frozen=True)
class ControlGroup:
    """Folders of the groups that hold this process, the innermost first; none where unreadable."""

    folders: tuple[Path, ...]
    vmstat: Path = Path("/proc/vmstat")

    def memory_left_bytes(self) -> int | None:
        """What the tightest limit leaves; None where there is no limit. Cache that can be dropped is free."""
        left = [room for folder in self.folders if (room := _room_bytes(folder)) is not None]
        return min(left, default=None)

    def kernel_kills(self) -> int:
        """Processes of the group that the kernel has killed for memory; of the machine where not counted."""
        for folder in self.folders:
            for name in ("memory.events", "memory.oom_control"):
                if (count := _field(folder / name, "oom_kill")) is not None:
                    return count
        return _field(self.vmstat, "oom_kill") or 0

    def cores(self) -> float | None:
        """How many cores' time the tightest limit gives; None where there is no limit."""
        return min((cores for folder in self.folders if (cores := _cores(folder)) is not None), default=None)


def own_group(
    membership: Path = Path("/proc/self/cgroup"), root: Path = ROOT, controller: str = "memory"
) -> ControlGroup:
    """The control group of this process, version 2 or that of a controller of version 1."""
    folders: dict[Path, None] = {}
    for line in (_read(membership) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root
        own = base / path.lstrip("/")
        folders |= dict.fromkeys(f for f in (own, *own.parents) if f.is_relative_to(base) and f.is_dir())
    return ControlGroup(tuple(folders))


def free_memory_bytes() -> int:
    """Memory that can be had now, by the machine and by the control group."""
    machine = int(psutil.virtual_memory().available)
    group = own_group().memory_left_bytes()
    return machine if group is None else min(machine, group)


def _room_bytes(folder: Path) -> int | None:
    """Limit less use of one group, by the files of version 2 or of version 1."""
    for limit_name, used_name, cache_key in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with suppress(ValueError):  # "max": no limit
            limit = int(_read(folder / limit_name) or "")
            used = int(_read(folder / used_name) or "")
            if limit < UNLIMITED:
                return max(0, limit - used + (_field(folder / "memory.stat", cache_key) or 0))
    return None


def _cores(folder: Path) -> float | None:
    """The quota of one group over its period, by the file of version 2 or those of version 1."""
    both = (_read(folder / "cpu.max") or "").split() or [
        (_read(folder / name) or "").strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    ]
    with suppress(ValueError, ZeroDivisionError):  # "max", or no such file: no limit
        quota, period = map(int, both)
        return quota / period if quota > 0 else None
    return None


def _field(path: Path, key: str) -> int | None:
    for line in (_read(path) or "").splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            with suppress(ValueError):
                return int(value)
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
