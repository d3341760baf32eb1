"""Records the Triton kernels that a call launches, each compiled for a GPU that need not be there, and reads them.

A kernel that was read before, with this compiler and these constants, is not compiled again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from attnlab.bench.profilers import triton_aot
from attnlab.bench.profilers.compiled import counting
from attnlab.bench.profilers.compiled.devices import ARCHITECTURES, GpuModel
from attnlab.bench.profilers.compiled.on_gpu import pretended
from attnlab.bench.profilers.compiled.resources import APPLIED, IGNORED, KernelResources
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.whole_file import whole_file

READERS = Path(__file__).parents[1]  # what a record depends on besides the kernel
WARNING = re.compile(r"warning|Potential Performance Loss", re.IGNORECASE)
LONGEST_CONSTANT = 120
ANY_SIZE = 1 << 30  # of shared memory: what is too much is judged, and stops no recording


def compiler() -> str:
    """`triton 3.7.1`."""
    import triton

    return f"triton {triton.__version__}"


@contextlib.contextmanager
def recorded(model: GpuModel, kept: Path | None = None, root: Path | None = None) -> Iterator[list[KernelResources]]:
    """Kernels launched inside are compiled for that device and added to the list, which is whole at the end.

    kept: a folder of records of earlier kernels. root: what sources are told relative to. Lets pass what Triton raises
    where a kernel does not compile.
    """
    from triton import knobs
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    found: dict[str, KernelResources] = {}
    recorder = _Recorder(model.sm, found, kept, root)
    limit = _SharedLimit(ARCHITECTURES[model.sm].block_shared_bytes)
    before, dump = driver._active, knobs.nvidia.dump_ptxas_log
    kernels: list[KernelResources] = []
    with tempfile.TemporaryDirectory(prefix="attnlab-compiled-") as folder, contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, TRITON_CACHE_DIR=folder))
        driver.set_active(triton_aot.stand_in(model.sm, model.multiprocessors, limit, limit.timed))
        knobs.nvidia.dump_ptxas_log = True
        stack.enter_context(mock.patch.object(JITFunction, "_do_compile", recorder.compiling(JITFunction._do_compile)))
        knobs.runtime.kernel_load_start_hook.add(recorder.loaded)
        try:
            with contextlib.redirect_stdout(recorder.log), pretended(model):
                yield kernels
        finally:
            knobs.runtime.kernel_load_start_hook.remove(recorder.loaded)
            knobs.nvidia.dump_ptxas_log = dump
            driver.set_active(before)
            kernels.extend(found.values())


class _SharedLimit(int):
    """Shared memory that a launch may ask for: any, but that of the device while an autotuner tries what fits."""

    trying = False

    def __new__(cls, limit_bytes: int) -> _SharedLimit:
        return super().__new__(cls, ANY_SIZE)

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes

    def __lt__(self, other: int) -> bool:
        return (self.limit_bytes if self.trying else ANY_SIZE) < other

    def timed(self, call: Callable[[], object], quantiles: Any = None, **_: Any) -> Any:
        """A call made once; every configuration that fits takes as long as any other."""
        self.trying = True
        try:
            call()
        finally:
            self.trying = False
        return [1.0] * len(quantiles) if quantiles else 1.0


class _Recorder:
    def __init__(self, sm: int, found: dict[str, KernelResources], kept: Path | None, root: Path | None) -> None:
        self._sm, self._found, self._kept, self._root = sm, found, kept, root
        self._pending: tuple[str, Any, Mapping[str, Any]] | None = None
        self.log = io.StringIO()

    def compiling(self, really: Callable[..., Any]) -> Callable[..., Any]:
        """What stands in for the method of Triton's that compiles; it gives None, and nothing is launched, where the
        kernel is known. Triton's own hook for that fails on a dataclass that is compiled in.
        """

        def compile(function: Any, key: str, signature: Any, device: Any, constants: Any, *rest: Any) -> Any:
            digest = self._digest(key, function)
            if digest in self._found or self._read(digest, function):
                return None
            self._pending = digest, function, constants
            self.log.seek(0)
            self.log.truncate()
            return really(function, key, signature, device, constants, *rest)

        return compile

    def _read(self, digest: str, function: Any) -> bool:
        """Take the record of an earlier compilation, where there is one that is whole."""
        path = self._kept / f"{digest}.json" if self._kept is not None else None
        if path is None or not path.is_file():
            return False
        try:
            made = decode(KernelResources, json.loads(path.read_text(encoding="utf-8")))
        except ValueError:
            return False
        self._found[digest] = dataclasses.replace(made, source=self._source(function))
        return True

    def loaded(self, module: Any, handle: Any, name: str, files: Mapping[str, str], hash: str) -> None:
        """Triton's hook when a kernel is compiled and about to be launched."""
        if self._pending is None:
            return
        digest, function, constants = self._pending
        self._pending = None
        report = triton_aot.report_of({Path(p).suffix: Path(p) for p in files.values()})
        made = _resources(report, self.log.getvalue(), _constants(function, constants))
        made = dataclasses.replace(made, name=function.__name__, source=self._source(function))
        self._found[digest] = made
        if self._kept is not None:
            self._kept.mkdir(parents=True, exist_ok=True)
            with whole_file(self._kept / f"{digest}.json") as part:
                part.write_text(json.dumps(encode(made)), encoding="utf-8")

    def _digest(self, key: str, function: Any) -> str:
        parts = (function.cache_key, key, str(self._sm), compiler(), _readers())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    def _source(self, function: Any) -> str:
        return place(function.fn.__code__.co_filename, function.starting_line_number, self._root)


def place(file: str, line: int, root: Path | None) -> str:
    """`file:line`, relative to a root where it lies there."""
    path = Path(file)
    inside = root is not None and root in path.parents
    return f"{path.relative_to(root) if inside and root is not None else path}:{line}"


@functools.cache
def _readers() -> str:
    """A hash of the code that reads what was compiled."""
    own = (Path("compiled", name) for name in ("counting.py", "launches.py", "resources.py"))
    files = [READERS / name for name in (Path("sass.py"), Path("triton_aot.py"), *own)]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _constants(function: Any, constants: Mapping[Any, Any]) -> dict[str, str]:
    """What the launcher has compiled in, by the parameter's name and the path within it."""
    told = {}
    for path, value in constants.items():
        parameter = function.params[path[0]]
        if not parameter.is_constexpr:  # a stride of 1, or None, which Triton compiles in by itself
            continue
        name = ".".join([parameter.name, *map(str, path[1:])])
        text = str(getattr(value, "value", value)) if not callable(value) else getattr(value, "__name__", str(value))
        told[name] = text if len(text) <= LONGEST_CONSTANT else f"{text[:LONGEST_CONSTANT]}…"
    return told


def _resources(report: triton_aot.KernelReport, log: str, constants: dict[str, str]) -> KernelResources:
    ptx, code = report.ptx, report.code
    tensor = counting.tensor_instructions(ptx)
    loops = counting.loops_of(code)
    asked = "tt.warp_specialize" in report.ttir or "warp_specialize" in report.ttgir
    applied = "ttg.warp_specialize" in report.ttgir
    warnings = [line.strip() for line in log.splitlines() if WARNING.search(line)]
    return KernelResources(
        name=report.name,
        target=f"sm_{report.sm}",
        compiler=compiler(),
        source=None,
        constants=constants,
        num_warps=report.num_warps,
        num_stages=report.num_stages,
        threads=counting.threads(ptx) or report.num_warps * 32,
        registers=report.registers,
        stack_bytes=report.stack_bytes,
        spill_loads=report.spill_loads,
        spill_stores=report.spill_stores,
        shared_bytes=report.shared_bytes,
        instructions=len(code),
        tensor=tensor,
        tensor_bits=counting.operand_bits(tensor),
        copies=counting.copies(ptx),
        loads=counting.moves(ptx, "ld"),
        stores=counting.moves(ptx, "st"),
        conversions=counting.count(code, counting.CONVERSIONS) if code else counting.ptx_conversions(ptx),
        loops=loops,
        main_loop=counting.main_loop(loops),
        warp_specialization=(APPLIED if applied else IGNORED) if asked else None,
        warnings=tuple(dict.fromkeys(warnings)),
    )
