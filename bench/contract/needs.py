"""Whether an implementation's declared needs are met here, without running any of it."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import sysconfig
from pathlib import Path

from attnlab.bench.contract.registry import Implementation, Needs
from attnlab.bench.store.machine import Device


def missing(implementation: Implementation, device: Device) -> str | None:
    """None, or the first need that this machine and device do not meet, with the remedy."""
    return unmet(implementation.needs, device)


def unmet(needs: Needs, device: Device) -> str | None:
    """As `missing`, of needs alone."""
    return (
        of_device(needs, device)
        or next((reason for name in needs.packages if (reason := _package_reason(name))), None)
        or (compiler_reason() if needs.compiler else None)
    )


def of_device(needs: Needs, device: Device) -> str | None:
    """None, or what they need of a device that this one is not; a capability that is not known is enough."""
    if needs.device is not None and needs.device != device.kind:
        return {"cuda": "needs an NVIDIA GPU", "cpu": "serves the CPU only"}[needs.device]
    if device.capability is None:
        return None
    have = ".".join(map(str, device.capability))
    if needs.capability is not None and device.capability < needs.capability:
        return f"needs compute capability {'.'.join(map(str, needs.capability))} or later; this GPU has {have}"
    if needs.capability_below is not None and device.capability >= needs.capability_below:
        below = ".".join(map(str, needs.capability_below))
        return f"serves compute capabilities before {below}; this GPU has {have}"
    return None


def _package_reason(name: str) -> str | None:
    try:
        found = importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        found = False
    return None if found else f"package {name} is not installed"


def compiler_reason() -> str | None:
    """None where torch.compile can build C++: a compiler and Python's headers are there."""
    wanted = (shlex.split(os.environ.get("CXX", "")) or ["g++"])[0]
    if shutil.which(wanted) is None:
        return f"needs a C++ compiler; {wanted} was not found (Debian: apt-get install g++)"
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if not header.is_file():
        return f"needs Python's headers; {header} was not found (Debian: apt-get install python3-dev)"
    return None
