"""What foreign code sets for its whole process holds for it alone; the harness works by its own."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attnlab.bench.measuring.settings import Apart, Settings, kept_settings


class Doubling(torch.overrides.TorchFunctionMode):
    """Gives `torch.ones` twice what it gives."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        return found * 2 if func is torch.ones else found


HELD: list[object] = []


def entered(guard: Any) -> Any:
    guard.__enter__()
    return guard


CHANGES: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "dtype": (lambda: torch.set_default_dtype(torch.float64), lambda: torch.empty(1).dtype),
    "device": (lambda: torch.set_default_device("meta"), lambda: torch.empty(1).device),
    "mode": (lambda: Doubling().__enter__(), lambda: float(torch.ones(()).item())),
    "threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 1), torch.get_num_threads),
    "seed": (lambda: torch.manual_seed(int.from_bytes(os.urandom(4), "big")), lambda: torch.get_rng_state().tolist()),
    "deterministic": (lambda: torch.use_deterministic_algorithms(True), torch.are_deterministic_algorithms_enabled),
    "gradients": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "inference": (lambda: HELD.append(entered(torch.inference_mode())), torch.is_inference_mode_enabled),
    "anomaly": (lambda: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled),
    "autocast": (lambda: torch.set_autocast_enabled("cpu", True), lambda: torch.is_autocast_enabled("cpu")),
    "precision": (lambda: torch.set_float32_matmul_precision("medium"), torch.get_float32_matmul_precision),
    "subnormals": (
        lambda: torch.set_flush_denormal(True),
        lambda: float(torch.tensor(1e-310, dtype=torch.float64) / 2),
    ),
    "numpy": (lambda: np.random.seed(5), lambda: np.random.get_state()[1].tolist()),
    "errors": (lambda: np.seterr(all="raise"), np.geterr),
    "random": (lambda: random.seed(5), random.getstate),
    "folder": (lambda: os.chdir("/"), os.getcwd),
    "home": (lambda: os.environ.__delitem__("HOME"), lambda: os.environ.get("HOME")),
    "variable": (lambda: os.environ.__setitem__("SET_BY_A_PLUGIN", "1"), lambda: os.environ.get("SET_BY_A_PLUGIN")),
    "umask": (lambda: os.umask(0o777), lambda: [os.umask(m := os.umask(0)), m][1]),
    "filters": (lambda: warnings.filterwarnings("error"), lambda: warnings.filters[0]),
    "garbage": (gc.disable, gc.isenabled),
    "recursion": (lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit),
    "handler": (lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN), lambda: signal.getsignal(signal.SIGUSR2)),
    "output": (lambda: setattr(sys, "stdout", None), lambda: sys.stdout is None),
    "hook": (lambda: setattr(sys, "excepthook", print), lambda: sys.excepthook is print),
}


@pytest.fixture(autouse=True)
def all_put_back() -> Iterator[None]:
    with kept_settings():
        yield


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_is_each_ones_own(name: str) -> None:
    change, read = CHANGES[name]
    before, apart = read(), Apart()
    with apart.foreign():
        change()
        theirs = read()
    assert theirs != before
    assert read() == before
    with apart.foreign():
        assert read() == theirs, "it finds its own again"


@pytest.mark.parametrize("name", ["dtype", "device", "mode", "deterministic", "subnormals", "folder"])
def test_a_draw_amid_foreign_code_is_the_harnesss(name: str) -> None:
    change, read = CHANGES[name]
    before, apart = read(), Apart()
    with apart.foreign():
        change()
        theirs = read()
        with apart.own():
            assert read() == before
        assert read() == theirs


def test_what_changes_results_or_times_is_told() -> None:
    apart = Apart()
    assert apart.changed() == ()
    with apart.foreign():
        torch.set_default_dtype(torch.float64)
        np.random.seed(1)
        gc.disable()
    assert apart.changed() == ("torch's default dtype", "collecting of garbage")


def test_a_folder_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    here, apart = Path.cwd(), Apart()
    with apart.foreign():
        os.chdir(gone)
        gone.rmdir()
    assert Path.cwd() == here
    with apart.foreign():
        pass


def test_each_setting_can_be_read_here() -> None:
    assert Settings().changed(Settings().now(), Settings().now()) == ()
