"""What the kernels in C for few rows share: their dtypes, the variants of a processor, and how they are compiled."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

MOST_ROWS = 8  # whose sums fit in a processor's registers
DTYPES = {torch.float32: "FLOAT32", torch.float16: "FLOAT16", torch.bfloat16: "BFLOAT16"}
OPTIONS = ("-std=gnu11", "-fopenmp", "-shared", "-fPIC")

AVX2 = frozenset({"avx", "avx2", "fma", "f16c", "bmi1", "bmi2", "movbe"})
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
VARIANTS = {
    "avx512_vnni": ("cascadelake", AVX512 | {"avx512_vnni"}),
    "avx512": ("x86-64-v4", AVX512),
    "avx2": ("x86-64-v3", AVX2),
    "plain": (None, frozenset[str]()),
}
"""What kernels can be compiled for, the best first: the compiler's name of the target, None for its own choice, and
what the processor must have, in the words of Linux."""
FLAGS = Path("/proc/cpuinfo")


class NoCompiler(RuntimeError):
    """There is no C compiler here, or it does not take the kernel; the message says which, and how to mend it."""


def variants(cpuinfo: str | None = None) -> tuple[str, ...]:
    """Those of VARIANTS that this processor can run, the best first; or that whose /proc/cpuinfo is given."""
    if cpuinfo is None:
        cpuinfo = FLAGS.read_text(encoding="utf-8") if FLAGS.is_file() else ""
    line = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "")
    has = set(line.partition(":")[2].split())
    return tuple(name for name, (_, needed) in VARIANTS.items() if needed <= has)


def target(variant: str) -> tuple[str, ...]:
    """The compiler's options for a variant. Raises ValueError on one that this processor cannot run."""
    if variant not in variants():
        raise ValueError(f"got variant {variant!r}; expected one that this processor has: {', '.join(variants())}")
    name = VARIANTS[variant][0]
    return () if name is None else (f"-march={name}", "-mtune=generic")


def compiled(source: Path, *options: str) -> Any:
    """The library of a source in C. Raises NoCompiler."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        raise NoCompiler(f"needs a C compiler; {compiler[0]} was not found (Debian: apt-get install gcc)")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, f"{source.stem}.so")
        command = [*compiler, *OPTIONS, *options, str(source), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["nothing"])[0]
            raise NoCompiler(f"needs a C compiler with OpenMP that knows this processor; {compiler[0]} said: {said}")
        return ctypes.CDLL(str(library))


def function(
    library: Any, name: str, pointers: int, longs: int, result: type | None = ctypes.c_int
) -> Callable[..., int]:
    """One of its functions, which takes pointers, then longs, then the number of threads."""
    found: Callable[..., int] = getattr(library, name)
    found.argtypes = [ctypes.c_void_p] * pointers + [ctypes.c_long] * longs + [ctypes.c_int]  # type: ignore[attr-defined]
    found.restype = result  # type: ignore[attr-defined]
    return found
