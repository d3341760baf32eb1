"""Records the C that an implementation compiles for itself, and reads the assembly that the compiler makes of it."""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from attnlab.bench.errors import Unavailable
from attnlab.bench.profilers.compiled.resources import KernelResources, LoopResources

MARCHES = ("x86-64-v3", "x86-64-v4")  # AVX2, AVX-512: the levels of the x86-64 psABI
SOURCES = (".c", ".cc", ".cpp", ".cxx")
LABEL = re.compile(r"^(\.L\w+):")
FUNCTION = re.compile(r"^([A-Za-z_][\w.$]*):")
INSTRUCTION = re.compile(r"^\s+([a-z][a-z0-9]*)\b\s*(.*)$")
JUMP = re.compile(r"^j\w+$")
WIDTHS = (("%zmm", 512), ("%ymm", 256), ("%xmm", 128))
CONVERSION = re.compile(r"^v?(cvt|pmovzx|pmovsx|punpck)")
STACK = re.compile(r"\(%rsp|\(%rbp")

Assembled = tuple[str, str]


@contextmanager
def compiled_by_c(march: str, root: Path | None) -> Iterator[list[KernelResources]]:
    """What a C compiler is started for inside is compiled once more, to assembly for `march`, and added at the end."""
    kernels: list[KernelResources] = []
    commands: list[list[str]] = []
    really = subprocess.run

    def run(command: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(command, Sequence) and not isinstance(command, str) and _compiles(list(map(str, command))):
            commands.append(list(map(str, command)))
        return really(command, *arguments, **options)

    with mock.patch.object(subprocess, "run", run), _nothing_remembered():
        yield kernels
    kernels.extend(_read(command, march, root) for command in commands)


@contextmanager
def _nothing_remembered() -> Iterator[None]:
    """A launcher that compiles once a process is asked again: what it remembers is forgotten."""
    import sys

    for name, module in list(sys.modules.items()):
        if name.startswith("attnlab.bench") or not hasattr(module, "__dict__"):
            continue
        if _has_c_beside(getattr(module, "__file__", None)):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
    yield


@functools.cache
def _has_c_beside(file: str | None) -> bool:
    return file is not None and any(Path(file).with_suffix(suffix).is_file() for suffix in SOURCES)


def _compiles(command: list[str]) -> bool:
    return "-o" in command and any(part.endswith(SOURCES) for part in command) and "-E" not in command


def _warnings(said: str) -> tuple[str, ...]:
    """Of the code; that other compilers pass vectors in other ways is no fault of it."""
    told = (line.partition("warning: ")[2] for line in said.splitlines() if "-Wpsabi" not in line)
    return tuple(dict.fromkeys(filter(None, told)))


def _read(command: list[str], march: str, root: Path | None) -> KernelResources:
    source = Path(next(part for part in command if part.endswith(SOURCES)))
    compiler = version_of(command[0])
    with tempfile.TemporaryDirectory(prefix="attnlab-assembly-") as folder:
        out = str(Path(folder, "kernel.s"))
        kept = [part for part in command if part != "-shared" and not part.startswith(("-march=", "-mtune=", "-mcpu="))]
        kept[kept.index("-o") + 1] = out
        done = subprocess.run([*kept, "-S", f"-march={march}"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"{command[0]} cannot compile for {march}: {done.stderr.strip()[-400:]}")
        text = Path(out).read_text(encoding="utf-8")
    loops = _loops(text)
    main = _busiest(loops)
    inside = root is not None and root in source.parents
    return KernelResources(
        name=source.stem,
        target=march,
        compiler=compiler,
        source=f"{source.relative_to(root) if inside and root is not None else source}:1",
        constants={
            part[2:].partition("=")[0]: part.partition("=")[2] or "1" for part in command if part.startswith("-D")
        },
        instructions=sum(1 for line in text.splitlines() if INSTRUCTION.match(line)),
        conversions=0 if main is None else loops[main].conversions,
        loops=tuple(loops),
        main_loop=main,
        vector_bits=None if main is None else loops[main].vector_bits,
        warnings=_warnings(done.stderr),
    )


@functools.cache
def version_of(compiler: str) -> str:
    """`cc 12.2.0`."""
    try:
        done = subprocess.run([compiler, "-dumpfullversion"], capture_output=True, text=True, check=False)
    except OSError:
        return f"no {compiler}"
    return f"{Path(compiler).name} {done.stdout.strip() or 'of an unknown version'}"


def _loops(text: str) -> list[LoopResources]:
    """Innermost loops with vectors in them: what lies between a jump back and its label."""
    code: list[Assembled] = []
    labels: dict[str, int] = {}
    spans: dict[int, int] = {}
    for line in text.splitlines():
        if FUNCTION.match(line):
            labels = {}
        elif label := LABEL.match(line):
            labels[label[1]] = len(code)
        elif found := INSTRUCTION.match(line):
            code.append((found[1], found[2]))
            start = labels.get(found[2].strip()) if JUMP.match(found[1]) else None
            if start is not None:
                spans[start] = len(code)
    inner = [
        (a, b) for a, b in spans.items() if not any(a <= c and d <= b and (a, b) != (c, d) for c, d in spans.items())
    ]
    return [made for a, b in sorted(inner) if (made := _loop(code[a:b])).vector_bits]


def _loop(code: list[Assembled]) -> LoopResources:
    widths = [bits for _, operands in code for name, bits in WIDTHS if name in operands]
    return LoopResources(
        instructions=len(code),
        loads=sum(name.startswith("v") and "(" in operands for name, operands in code),
        conversions=sum(bool(CONVERSION.match(name)) for name, _ in code),
        spills=sum(bool(STACK.search(operands)) for _, operands in code),
        vector_bits=max(widths, default=None),
    )


def _busiest(loops: list[LoopResources]) -> int | None:
    """That with the widest vectors and, of those, the most instructions that read them."""
    if not loops:
        return None
    return max(range(len(loops)), key=lambda place: ((loops[place].vector_bits or 0), loops[place].loads))
