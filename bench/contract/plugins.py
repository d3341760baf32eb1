"""Loads what others bring: modules named on the command line and by installed entry points."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import posix
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import ModuleType
from typing import NoReturn, Protocol

from attnlab.bench.contract.descendants import end_marked, new_mark
from attnlab.bench.contract.process_output import OutputPipe
from attnlab.bench.errors import PluginError
from attnlab.bench.text import one_line, reason_of

ENTRY_POINT_GROUP = "attnlab.implementations"


class Registers(Protocol):
    """What plugins register in: says how much that is, and watches what their code changes meanwhile."""

    def count(self) -> int: ...

    def watched(self) -> AbstractContextManager[None]: ...


def load_entry_points(into: Registers) -> None:
    """Import what installed packages offer. Raises PluginError."""
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        package = f" of package {point.dist.name!r}" if point.dist else ""
        _load(f"entry point {point.name!r}{package}", point.module, point.load, into)


def load_plugin(plugin: str, into: Registers) -> None:
    """Import a module by name, or by path to a `.py` file; modules beside it can be imported too."""
    what = f"plugin {plugin!r}"
    if Path(plugin).expanduser().is_dir() and (set(plugin) <= {".", "/", "~"} or "/" in plugin):
        raise PluginError(f"{what} is a folder; give a path to a .py file, or a module's name")
    if plugin.endswith(".py") or "/" in plugin:
        path = Path(plugin).expanduser().resolve()
        if not path.is_file():
            raise PluginError(f"plugin {str(path)!r} is no file; give a path to a .py file or a module's name")
        _search_also(path.parent)
        name = _module_name(path)
        _load(what, name, lambda: import_file(path, name), into)
    else:
        _search_also(Path.cwd())
        _load(what, plugin, lambda: importlib.import_module(plugin), into)


def refuse_exits() -> None:
    """Make `os._exit` in this process raise SystemExit, lest a plugin ends it in silence later than in its trial.

    In a thread that ends the thread alone. Children that are forked end as they ask to.
    """
    if getattr(os._exit, "refuses", False):
        return
    end, own = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != own:
            end(status)
        raise SystemExit(f"attnlab: a plugin called os._exit({one_line(repr(status), 20)})")

    refuse.refuses = True  # type: ignore[attr-defined]
    for module in (os, posix):
        vars(module)["_exit"] = refuse


def try_out(plugins: Sequence[str]) -> str | None:
    """Import plugins in a process of their own, so that what an import does to its process is known beforehand.

    Gives the beginning and the end of what they print, None where that is nothing.
    Raises PluginError where they end it, or take longer than a minute. One that raises is told by who imports it next.
    """
    if not plugins:
        return None
    told, far_end = os.pipe()
    output = OutputPipe()
    path = json.dumps([entry or os.getcwd() for entry in sys.path])
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", TRIAL, path, json.dumps(list(plugins)), str(far_end)],
        stdin=subprocess.DEVNULL,
        stdout=output.far_end,
        stderr=subprocess.STDOUT,
        pass_fds=(far_end,),
        start_new_session=True,
        env={**os.environ, **(mark := new_mark())},
    )
    os.close(far_end)
    output.hand_over()
    code = output.wait(process, TRIAL_LIMIT_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    end_marked(mark)
    os.set_blocking(told, False)  # a process that it started in another session may hold the pipe open
    with os.fdopen(told, "rb", buffering=0) as answers:
        answer = answers.read(TOLD_BYTES)
    said = output.printed.text(SAID)
    output.close()
    if not answer:
        names = " and ".join(map(repr, plugins))
        how = f"takes longer than {TRIAL_LIMIT_S:g} s" if code is None else f"ends its process with exit code {code}"
        last_words = f"; it said: {one_line(said)}" if said else ""
        raise PluginError(f"importing plugin {names} {how}; mend it, or leave it out{last_words}")
    return said


TRIAL_LIMIT_S = 60.0
TOLD_BYTES = 1000
TRIAL = """
import json, os, sys
from contextlib import nullcontext
sys.path[:] = json.loads(sys.argv[1])
from attnlab.bench.errors import PluginError
from attnlab.bench.contract.process_output import OutputPipe
from attnlab.bench.text import one_line, reason_of
from attnlab.bench.contract.plugins import load_plugin
from attnlab.bench.contract.registry import registry
write, end = os.write, int(sys.argv[3])
class Unwatched:
    count, watched = registry.count, nullcontext
try:
    for plugin in json.loads(sys.argv[2]):
        load_plugin(plugin, Unwatched())
except PluginError:
    pass
write(end, b"imported or told")
"""
"""What runs in the process that tries plugins out: nothing is watched there, which would take the whole harness."""

SAID = 400  # characters of what an import printed that a message holds


def _search_also(folder: Path) -> None:
    """Let modules of a folder be imported, after all others, so that they shadow nothing."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _load(what: str, module: str, load: Callable[[], object], into: Registers) -> None:
    known, before = module in sys.modules, into.count()
    try:
        with into.watched():
            load()
    except PluginError:
        raise
    except (Exception, SystemExit) as error:  # foreign code: any failure is its own
        raise PluginError(f"{what} does not import: {reason_of(error)}; mend it, or leave it out") from error
    if not known and into.count() == before:
        raise PluginError(
            f"{what} registers nothing; decorate a function or class with "
            '@implements("attention", name="mine"), from attnlab.bench'
        )


def _module_name(path: Path) -> str:
    """The name that a plugin's file is imported by: its own, unless another module has it."""
    known = sys.modules.get(path.stem)
    file = getattr(known, "__file__", None)
    if known is None and not _is_anothers(path):
        return path.stem
    if file is not None and Path(file).resolve() == path:
        return path.stem
    return f"{path.stem}_{zlib.crc32(str(path).encode()):08x}"


def _is_anothers(path: Path) -> bool:
    """Whether a plugin's file has the name of a module of the standard library, or of another that can be found."""
    if path.stem in sys.stdlib_module_names:
        return True
    try:
        found = importlib.util.find_spec(path.stem)
    except (ImportError, ValueError):
        return False
    return found is not None and (found.origin is None or Path(found.origin).resolve() != path)


def import_file(path: Path, name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"plugin {str(path)!r} cannot be read as Python; expected a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
