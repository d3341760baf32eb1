"""Settings of the process that code shares: kept apart, so that the harness works by its own and a plugin by its own.

A plugin may set torch's default dtype, seed its generators, go to another folder or turn warnings into errors, when it
is imported or in a call. What the harness draws, checks and reads must not hang on that; what the plugin set must hold
again when its own code goes on.
"""

from __future__ import annotations

import gc
import locale
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

MISSING = object()
_C: Any = torch._C
_CONTEXT: Any = torch._GLOBAL_DEVICE_CONTEXT
_HELD: list[Any] = []


@dataclass(frozen=True)
class Setting:
    """One setting: how it is read and set.

    told: whether one that was changed is told, as it changes results or times. pace: whether it changes times alone, so
    that work between two timed calls leaves it as it is.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    told: bool = False
    pace: bool = False


def _attribute(path: str, owner: Any, told: bool = False) -> Setting:
    """An attribute of a module or of something in one; the path ends with its name."""
    name = path.rpartition(".")[2]
    return Setting(path, partial(getattr, owner, name), partial(setattr, owner, name), told)


def _torch_settings() -> Iterator[Setting]:
    from torch.utils import deterministic

    b: Any = torch.backends
    yield Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype, told=True)
    yield Setting("torch's default device", _default_device, torch.set_default_device, told=True)
    yield Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads, told=True, pace=True)
    yield Setting("torch's generator", torch.get_rng_state, torch.set_rng_state)
    determine: Any = torch.set_deterministic_debug_mode
    yield Setting("deterministic algorithms", torch.get_deterministic_debug_mode, determine, told=True)
    yield _attribute("torch.utils.deterministic.fill_uninitialized_memory", deterministic)
    yield Setting("modes of functions", _function_modes, _set_function_modes, told=True)
    yield Setting("modes of dispatch", _dispatch_modes, _set_dispatch_modes, told=True)
    yield Setting("inference mode", torch.is_inference_mode_enabled, _set_inference)
    yield Setting("gradients", torch.is_grad_enabled, torch._C._set_grad_enabled)
    yield Setting("detection of anomalies", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, told=True)
    for kind in ("cpu", "cuda"):
        yield Setting(f"autocast on {kind}", partial(_autocast, kind), partial(_set_autocast, kind), told=True)
    precise: Any = torch.set_float32_matmul_precision
    yield Setting("precision of products", torch.get_float32_matmul_precision, precise, told=True)
    for path, owner in {
        "fp32_precision": b,
        "mkldnn.matmul.fp32_precision": b.mkldnn.matmul,
        "cuda.matmul.fp32_precision": b.cuda.matmul,
        "cudnn.fp32_precision": b.cudnn,
        "cuda.matmul.allow_fp16_reduced_precision_reduction": b.cuda.matmul,
        "cuda.matmul.allow_bf16_reduced_precision_reduction": b.cuda.matmul,
        "cudnn.benchmark": b.cudnn,
        "cudnn.deterministic": b.cudnn,
    }.items():
        yield _attribute(f"torch.backends.{path}", owner, told=True)
    yield Setting("flushing of subnormals", _flushes, torch.set_flush_denormal, told=True)


def _default_device() -> Any:
    mode = getattr(_CONTEXT, "device_context", None)
    return None if mode is None else mode.device


def _function_modes() -> list[Any]:
    """Modes that see each call of a function, the innermost last; without that of the default device."""
    stack = [_C._get_function_stack_at(place) for place in range(_C._len_torch_function_stack())]
    return [mode for mode in stack if mode is not getattr(_CONTEXT, "device_context", None)]


def _set_function_modes(wanted: list[Any]) -> None:
    for _ in range(_C._len_torch_function_stack()):
        _C._pop_torch_function_stack()
    device = getattr(_CONTEXT, "device_context", None)
    for mode in ([] if device is None else [device]) + wanted:
        _C._push_on_torch_function_stack(mode)


def _dispatch_modes() -> list[Any]:
    return [_C._get_dispatch_stack_at(place) for place in range(_C._len_torch_dispatch_stack())]


def _set_dispatch_modes(wanted: list[Any]) -> None:
    for _ in range(_C._len_torch_dispatch_stack()):
        _C._pop_torch_dispatch_stack()
    for mode in wanted:
        _C._push_on_torch_dispatch_stack(mode)


def _set_inference(on: bool) -> None:
    """Inside a guard that is held for good: one that foreign code entered cannot be left for it."""
    guard = torch.inference_mode(on)
    guard.__enter__()
    _HELD.append(guard)


def _autocast(kind: str) -> tuple[bool, torch.dtype]:
    return torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)


def _set_autocast(kind: str, value: tuple[bool, torch.dtype]) -> None:
    torch.set_autocast_enabled(kind, value[0])
    torch.set_autocast_dtype(kind, value[1])


def _flushes(smallest: float = sys.float_info.min) -> bool:
    """Whether the processor rounds subnormal numbers to zero in this thread; torch does not tell."""
    return smallest / 2 == 0.0


def _numpy_settings() -> Iterator[Setting]:
    yield Setting("numpy's generator", lambda: np.random.get_state(legacy=False), np.random.set_state)
    yield Setting("numpy's errors", np.geterr, lambda v: np.seterr(**v))


def _python_settings() -> Iterator[Setting]:
    yield Setting("Python's generator", random.getstate, random.setstate)
    yield Setting("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v))
    yield Setting("the folder", os.getcwd, os.chdir)
    yield Setting("the environment", os.environ.copy, _set_environment)
    yield Setting("the mask of new files", _umask, os.umask)
    yield Setting("warnings", lambda: list(warnings.filters), _set_filters)
    yield Setting("collecting of garbage", gc.isenabled, _set_collecting, told=True, pace=True)
    yield Setting("thresholds of garbage", gc.get_threshold, lambda v: gc.set_threshold(*v), pace=True)
    yield Setting("the limit of recursion", sys.getrecursionlimit, sys.setrecursionlimit)
    yield Setting("the switching of threads", sys.getswitchinterval, sys.setswitchinterval, told=True, pace=True)
    for name in ("stdin", "stdout", "stderr", "excepthook", "displayhook", "unraisablehook"):
        yield _attribute(f"sys.{name}", sys)
    yield Setting(
        "the cores it may use", lambda: os.sched_getaffinity(0), lambda v: os.sched_setaffinity(0, v), True, True
    )
    if threading.current_thread() is threading.main_thread():
        for number in sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}):
            get, put = partial(signal.getsignal, number), partial(signal.signal, number)
            yield Setting(f"the handler of signal {number}", get, put, pace=True)


def _set_collecting(on: bool) -> None:
    (gc.enable if on else gc.disable)()


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _set_environment(wanted: dict[str, str]) -> None:
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _set_filters(wanted: list[Any]) -> None:
    filters: Any = warnings.filters
    filters[:] = wanted


class Settings:
    """The settings of this process: what they are now, and a way to put them back."""

    def __init__(self) -> None:
        self._all = (*_torch_settings(), *_numpy_settings(), *_python_settings())

    def now(self) -> tuple[Any, ...]:
        return tuple(map(_read, self._all))

    def put(self, wanted: tuple[Any, ...], pace: bool = True) -> None:
        """Set what is otherwise now, but for what changes times alone where not `pace`; what cannot be set stays."""
        for setting, value in zip(self._all, wanted, strict=True):
            if value is not MISSING and (pace or not setting.pace) and not _same(_read(setting), value):
                with suppress(Exception):  # a folder that is gone, a precision of another interface
                    setting.write(value)

    def changed(self, before: tuple[Any, ...], after: tuple[Any, ...]) -> tuple[str, ...]:
        """Names of those that differ and are told."""
        pairs = zip(self._all, before, after, strict=True)
        return tuple(setting.name for setting, old, new in pairs if setting.told and not _same(old, new))


def _read(setting: Setting) -> Any:
    try:
        return setting.read()
    except Exception:  # noqa: BLE001 - a folder that is gone, an interface that this torch has not
        return MISSING


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    try:
        return bool((a == b).all()) if hasattr(a, "all") else bool(a == b)
    except Exception:  # noqa: BLE001 - numpy's state holds an array
        return False


@contextmanager
def kept_settings() -> Iterator[None]:
    """Whatever code inside sets is put back at the end."""
    settings = Settings()
    before = settings.now()
    try:
        yield
    finally:
        settings.put(before)


class Apart:
    """The harness's settings, as they were when this was made, and those of foreign code."""

    def __init__(self) -> None:
        self._settings = Settings()
        self._own = self._theirs = self._settings.now()
        self._is_foreign = False

    @contextmanager
    def foreign(self) -> Iterator[None]:
        """Foreign code runs inside, with the settings that it left last."""
        if self._is_foreign:
            yield
            return
        self._own = self._settings.now()
        self._settings.put(self._theirs)
        self._is_foreign = True
        try:
            yield
        finally:
            self._theirs = self._settings.now()
            self._settings.put(self._own)
            self._is_foreign = False

    @contextmanager
    def own(self) -> Iterator[None]:
        """Work of the harness amid foreign code, such as a draw between two timed calls."""
        if not self._is_foreign:
            yield
            return
        self._theirs = self._settings.now()
        self._settings.put(self._own, pace=False)
        self._is_foreign = False
        try:
            yield
        finally:
            self._is_foreign = True
            self._settings.put(self._theirs, pace=False)

    def changed(self) -> tuple[str, ...]:
        """Settings that foreign code left otherwise than the harness has them, and that change results or times."""
        return self._settings.changed(self._own, self._theirs)
