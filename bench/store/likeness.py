"""Whether two machines are of one kind: whether what was measured on either may stand in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from attnlab.bench import units
from attnlab.bench.store.machine import Machine
from attnlab.bench.text import one_line

OF_ONE_DEVICE = ("CUDA_VISIBLE_DEVICES",)  # which of several alike is used
SHOWN = 100  # characters of a value


def _power(machine: Machine) -> str | None:
    return None if machine.power_limit_w is None else f"{machine.power_limit_w:g} W"


def _memory(machine: Machine) -> str | None:
    """A GPU's, which tells models of one name apart; a host's differs by what its kernel keeps."""
    device = machine.environment.device
    return None if device.kind == "cpu" or device.memory_bytes is None else units.format_bytes(device.memory_bytes)


def _variables(machine: Machine) -> dict[str, str]:
    held = machine.environment.variables
    return {name: value for name, value in held.items() if name not in OF_ONE_DEVICE}


HARDWARE: tuple[tuple[str, Callable[[Machine], Any]], ...] = (
    ("kind of device", lambda m: m.environment.device.kind),
    ("device", lambda m: m.environment.device.name),
    ("compute capability", lambda m: m.environment.device.capability),
    ("multiprocessors", lambda m: m.environment.device.multiprocessors),
    ("device memory", _memory),
    ("power limit", _power),
    ("threads", lambda m: m.environment.threads),
)
SOFTWARE: tuple[tuple[str, Callable[[Machine], Any]], ...] = (
    ("driver", lambda m: m.environment.device.driver),
    ("Python", lambda m: m.environment.python),
    ("packages", lambda m: m.environment.packages),
    ("variables", _variables),
)
"""What is the same on two machines of one kind. Kernel, cores, host's memory and measured ceilings may differ."""


def differences(one: Machine, other: Machine) -> list[str]:
    """What tells them apart, in words: `packages, torch 2.13.0 and 2.12.1`; empty for two of one kind."""
    found = (told for what, fact in HARDWARE + SOFTWARE for told in apart(what, fact(one), fact(other)))
    return [f"{what} {first} and {second}" for what, first, second in found]


def kind_of(machine: Machine) -> str:
    """What its kind of device is called: `NVIDIA H200 at 700 W`, or a processor with the threads that are used."""
    power, environment = _power(machine), machine.environment
    if environment.device.kind == "cpu":
        return f"{environment.device.name}, {environment.threads} threads"
    return f"{environment.device.name} at {power}" if power else environment.device.name


def apart(what: str, one: Any, other: Any) -> Iterator[tuple[str, str, str]]:
    """What two values differ in, by name, with both in words; of dictionaries key by key."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            yield from apart(f"{what}, {name}", one.get(name), other.get(name))
    elif one != other and not (one != one and other != other):  # NaN is not known on both sides
        yield what, one_line(str(one), SHOWN), one_line(str(other), SHOWN)
