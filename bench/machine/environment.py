"""The machine a run was taken on: processor, device, versions, threads, load and state of the source."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from attnlab.bench.errors import UsageError
from attnlab.bench.machine.cgroup import own_group
from attnlab.bench.store.machine import Code, Device, Environment

PACKAGES = (
    "attnlab",
    "torch",
    "triton",
    "numpy",
    "flash-attn",
    "flashinfer-python",
    "xformers",
    "nvidia-cudnn-cu13",
)


def choose_device(wanted: str) -> str:
    """ "cpu" or "cuda" from "auto", "cpu" or "cuda"; raises UsageError where there is no such device."""
    if wanted not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {wanted!r}; expected auto, cpu or cuda")
    import torch

    usable = torch.cuda.is_available()
    if wanted == "cuda" and not usable:
        raise UsageError(
            "device cuda was asked for, but torch finds no usable NVIDIA GPU; take cpu (--device cpu, or device='cpu')"
        )
    return "cuda" if usable and wanted != "cpu" else "cpu"


def device_at_sight(wanted: str) -> Device | None:
    """What `choose_device` comes to, where that is known without torch: the CPU where NVIDIA's driver is missing."""
    if wanted == "auto":
        try:
            ctypes.CDLL("libcuda.so.1")
        except OSError:
            wanted = "cpu"
    return describe_device("cpu") if wanted == "cpu" else None


def describe_device(kind: str) -> Device:
    """The device of that kind, as torch sees it."""
    if kind == "cpu":
        return Device("cpu", processor_name(), memory_bytes=_memory_bytes(), cache_bytes=_last_level_cache_bytes())
    import torch

    p: Any = torch.cuda.get_device_properties(torch.cuda.current_device())
    return Device(
        "cuda",
        p.name,
        (p.major, p.minor),
        p.multi_processor_count,
        p.total_memory,
        p.L2_cache_size,
        _driver(),
    )


def describe_environment(device_kind: str) -> Environment:
    """Read the state of this machine now."""
    import torch

    revision, dirty = _git_state()
    return Environment(
        device=describe_device(device_kind),
        processor=processor_name(),
        cores=os.cpu_count() or 1,
        affinity=_affinity(),
        threads=torch.get_num_threads(),
        memory_bytes=_memory_bytes(),
        system=platform.platform(),
        python=platform.python_version(),
        packages=_versions(),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        variables={
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(("OMP_", "MKL_", "KMP_", "TORCH_", "TRITON_", "CUDA_", "GOMP_"))
        },
        revision=revision,
        dirty=dirty,
    )


def host_id(device: Device, threads: int) -> str:
    """What sets the speed of a device on this machine: the same text at each start, another on another machine.

    Processor, cores that may be used, threads of torch, and the control group's share of the cores.
    """
    limit = own_group(controller="cpu").cores()
    parts = (
        *((device.name,) if device.kind != "cpu" else ()),
        processor_name(),
        f"{len(_affinity()) or os.cpu_count() or 1} of {os.cpu_count() or 1} cores",
        f"{threads} threads",
        *((f"{limit:g} cores' time",) if limit is not None else ()),
    )
    return ", ".join(parts)


def _affinity() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def processor_name() -> str:
    """The processor as the kernel names it."""
    lines = (_read("/proc/cpuinfo") or "").splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return name or platform.processor() or platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _last_level_cache_bytes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int | None:
    """The largest of the first core's caches; None where the kernel does not tell (`32768K`)."""
    sizes = []
    for path in folder.glob("index*/size"):
        size = re.fullmatch(r"(\d+)([KMG]?)", _read(str(path)) or "")
        if size:
            sizes.append(int(size[1]) * {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[size[2]])
    return max(sizes, default=None)


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _driver() -> str | None:
    text = _output(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
    return text.splitlines()[0].strip() if text else None


def describe_code(name: str, file: str, sha256: str | None) -> Code:
    """A file of somebody else's, and the state of the checkout that it lies in."""
    revision, dirty = _git_state(file)
    top = _output(["git", "-C", str(Path(file).resolve().parent), "rev-parse", "--show-toplevel"]) if revision else None
    return Code(name, file, sha256, top and top.strip(), revision, dirty)


def _git_state(file: str | None = None) -> tuple[str | None, bool | None]:
    """The revision of the checkout that a file lies in, this one where none is given, and whether it was changed since.

    None where the file is not tracked: an environment inside another project's checkout is not that project.
    """
    here = Path(file or __file__).resolve()
    git = ["git", "-C", str(here.parent)]
    if _output([*git, "ls-files", "--error-unmatch", "--", here.name]) is None:
        return None, None
    revision = _output([*git, "rev-parse", "HEAD"])
    status = _output([*git, "status", "--porcelain", "--untracked-files=no"])
    return revision and revision.strip(), None if status is None else bool(status.strip())


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
