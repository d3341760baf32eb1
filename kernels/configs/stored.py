"""Configurations that were found by measuring: which one is taken for a device and a shape.

Files lie in this folder, and in that which the variable ATTNLAB_CONFIGS names, which goes before it. `attnlab tune
--keep` writes them. An entry is taken where

- its device has this name, and on a CPU torch has as many threads;
- the kernel, and all that must be equal of its shape (dtype, head size, kind of mask …), are the same;
- a compiler that it names has this version, as far as its first two numbers;
- each size (lengths, rows …) is at most twice or half its own. Of several the nearest in all, by the logarithms.

Otherwise there is none, and what is built in is used. Nothing is measured here.
"""

import functools
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

FORMAT = 1
VARIABLE = "ATTNLAB_CONFIGS"
SHIPPED = Path(__file__).parent
REACH = 2.0  # of each size

Value = int | str


class DamagedConfigs(ValueError):
    """A file of configurations that cannot be used; says which, why, and how to mend it."""


@dataclass(frozen=True)
class Stored:
    """A configuration, and in words what it was found for."""

    values: Mapping[str, Value]
    found_for: str


@dataclass(frozen=True)
class _Entry:
    kernel: str
    threads: int | None
    exact: Mapping[str, Value]
    sizes: Mapping[str, int]
    configuration: Mapping[str, Value]
    compilers: Mapping[str, str]

    def distance(self, sizes: Mapping[str, int]) -> float | None:
        """How far sizes are from its own, as a sum of logarithms; None where one is out of reach."""
        if sizes.keys() != self.sizes.keys():
            return None
        steps = [abs(math.log(max(1, size) / max(1, self.sizes[name]))) for name, size in sizes.items()]
        return sum(steps) if all(step <= math.log(REACH) * (1 + 1e-9) for step in steps) else None


def stored(
    kernel: str,
    device: torch.device,
    exact: Mapping[str, Value],
    sizes: Mapping[str, int],
    compilers: Mapping[str, str] | None = None,
) -> Stored | None:
    """What was found for a kernel, such as `attention/triton`, on a device; None where nothing fits.

    exact, sizes: the shape. compilers: versions of those that an entry may name, such as triton's. Raises
    DamagedConfigs where a file cannot be used.
    """
    if device.type not in ("cpu", "cuda"):
        return None
    threads = torch.get_num_threads() if device.type == "cpu" else None
    versions = {name: _first_two(version) for name, version in (compilers or {}).items()}
    key = (tuple(sorted(exact.items())), tuple(sorted(sizes.items())), tuple(sorted(versions.items())))
    return _nearest(kernel, device_name(device), threads, *key, os.environ.get(VARIABLE))


def device_name(device: torch.device) -> str:
    """As a GPU's driver, or Linux of a processor, names it."""
    return _processor() if device.type == "cpu" else torch.cuda.get_device_name(device)


@functools.lru_cache(maxsize=4096)
def _nearest(
    kernel: str,
    device: str,
    threads: int | None,
    exact: tuple[tuple[str, Value], ...],
    sizes: tuple[tuple[str, int], ...],
    compilers: tuple[tuple[str, str], ...],
    folder: str | None,
) -> Stored | None:
    best: tuple[float, _Entry] | None = None
    for entry in _entries(device, folder):
        same = (entry.kernel, entry.threads, dict(entry.exact)) == (kernel, threads, dict(exact))
        known = dict(compilers)
        if not same or any(known.get(name) != _first_two(version) for name, version in entry.compilers.items()):
            continue
        distance = entry.distance(dict(sizes))
        if distance is not None and (best is None or distance < best[0]):
            best = distance, entry
    if best is None:
        return None
    entry = best[1]
    told = ", ".join(f"{name}={value}" for name, value in (*entry.exact.items(), *entry.sizes.items()))
    return Stored(entry.configuration, told)


@functools.cache
def _entries(device: str, folder: str | None) -> tuple[_Entry, ...]:
    """Those of a device, of the user's own folder first."""
    found: list[_Entry] = []
    for place in (*([Path(folder)] if folder else []), SHIPPED):
        for path in sorted(place.glob("*.json")):
            name, entries = _read(path)
            found += entries if name == device else []
    return tuple(found)


def _read(path: Path) -> tuple[str, list[_Entry]]:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise DamagedConfigs(
                f"{path} is of format {data['format']!r}, and this version reads {FORMAT}; update attnlab, or tune anew"
            )
        return str(data["device"]), [_entry(one) for one in data["entries"]]
    except DamagedConfigs:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedConfigs(
            f"{path} holds no configurations that can be read ({type(error).__name__}: {error}); restore it, or remove "
            "it and tune anew"
        ) from error


def _entry(data: Any) -> _Entry:
    values = dict(data["configuration"])
    if not all(isinstance(value, int | str) for value in values.values()):
        raise ValueError(f"a configuration of {data['kernel']} is {values}; expected whole numbers and texts")
    return _Entry(
        str(data["kernel"]),
        data["threads"],
        dict(data["exact"]),
        {name: int(size) for name, size in data["sizes"].items()},
        values,
        dict(data["compilers"]),
    )


def _first_two(version: str) -> str:
    return ".".join(version.split(".")[:2])


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
