"""The real GPU's side of the protocol, on stand-ins for torch.cuda, CUPTI and NVML."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from attnlab.bench.errors import ClockUnsupported
from attnlab.bench.machine.gpu import Activity, LaunchCall, Trace, persisting
from attnlab.bench.machine.gpu.cuda import CYCLES_PER_NS, FLUSH_OVER_L2, CudaGpu
from attnlab.bench.machine.gpu.cupti import trace
from attnlab.bench.machine.gpu.nvml import open_nvml

CUDA = torch.device("cuda", 0)
L2_BYTES = 1 << 20


class Tape:
    """torch.cuda, as far as it is used. refusal: raised by the call while it is captured, as a synchronisation is."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        self.current: Any = SimpleNamespace(name="main", device=CUDA)
        self.random_state = "random"
        self.capturing = False
        properties = SimpleNamespace(name="GPU", uuid="ab-cd", L2_cache_size=L2_BYTES)
        generator = SimpleNamespace(clone_state=lambda: self.random_state, graphsafe_set_state=self.set_random)
        patch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
        patch.setattr(torch.cuda, "synchronize", lambda device: self.said.append("synchronize"))
        patch.setattr(torch.cuda, "_sleep", lambda cycles: self.said.append(f"sleep {cycles}"))
        patch.setattr(torch.cuda, "current_stream", self.stream)
        patch.setattr(torch.cuda, "set_stream", self.set_stream)
        patch.setattr(torch.cuda, "default_generators", (generator,))
        patch.setattr(torch.cuda, "Stream", lambda device: SimpleNamespace(name="side", device=CUDA))
        patch.setattr(torch.cuda, "stream", self.on)
        patch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=self.replay, pool=lambda: "pool"))
        patch.setattr(torch.cuda, "graph", self.capture)
        patch.setattr(torch, "empty", lambda *shape, device: None)
        patch.setattr(torch, "zeros", self.zeros)
        patch.setattr(torch, "sum", lambda read, dim, out: self.said.append(f"read {read.bytes}"))

    def set_stream(self, stream: Any) -> None:
        self.current = stream

    def set_random(self, state: str) -> None:
        self.random_state = state

    def replay(self) -> None:
        self.said.append("replay")

    def stream(self, device: Any) -> Any:
        self.current.synchronize = lambda: self.said.append(f"wait for {self.current.name}")
        return self.current

    def zeros(self, rows: int, columns: int, device: torch.device) -> SimpleNamespace:
        size = 4 * rows * columns
        return SimpleNamespace(zero_=lambda: self.said.append(f"write {size}"), bytes=size)

    @contextmanager
    def on(self, stream: Any) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    @contextmanager
    def capture(self, graph: Any, pool: Any, stream: Any) -> Iterator[None]:
        """As torch's: its end raises over what went wrong inside, and leaves the stream and the generator."""
        self.said.append(f"capture on {stream.name} in {pool}")
        before, self.current, self.capturing, self.random_state = self.current, stream, True, "capturing"
        try:
            yield
        except Exception as error:
            raise RuntimeError("operation failed due to a previous error during capture") from error
        finally:
            self.capturing = False
        self.current, self.random_state = before, "random"

    def call(self) -> None:
        self.said.append(f"call on {self.current.name}")

    def waiting_call(self) -> None:
        self.call()
        if self.capturing:
            try:
                raise KeyError("a cache that misses is no reason")
            except KeyError:
                raise RuntimeError("operation not permitted when stream is capturing\nCompile with …")  # noqa: B904


@pytest.fixture
def tape(monkeypatch: pytest.MonkeyPatch) -> Tape:
    return Tape(monkeypatch)


def test_what_goes_to_the_stream(tape: Tape) -> None:
    gpu = CudaGpu(CUDA)
    gpu.spin(500)
    gpu.flush()
    gpu.flush(writing=True)
    gpu.synchronise()
    size = FLUSH_OVER_L2 * L2_BYTES
    assert tape.said == [f"sleep {500 * CYCLES_PER_NS}", f"read {size}", f"write {size}", "synchronize"]
    assert (gpu.name, gpu.l2_bytes) == ("GPU", L2_BYTES)


def test_what_is_left_is_looked_at_once_the_stream_is_done(tape: Tape) -> None:
    assert CudaGpu(CUDA).left_behind_ns(tape.call) >= 0
    assert tape.said == ["synchronize", "call on main", "wait for main", "synchronize"]


class Driver:
    """CUDA's driver, as far as it is asked; `limit` bytes of the L2 are set aside."""

    def __init__(self, limit: int, refuses: int = 0) -> None:
        self.limit, self.refuses, self.reset = limit, refuses, 0

    def cuCtxGetLimit(self, place: Any, which: int) -> int:  # noqa: N802
        assert which == persisting.PERSISTING_L2_CACHE_SIZE
        place._obj.value = self.limit
        return self.refuses

    def cuCtxSetLimit(self, which: int, size: Any) -> int:  # noqa: N802
        assert which == persisting.PERSISTING_L2_CACHE_SIZE
        self.limit = size.value
        return 0

    def cuCtxResetPersistingL2Cache(self) -> int:  # noqa: N802
        self.reset += 1
        return 0


def test_what_is_set_aside_of_the_l2_is_given_back(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(4096)
    monkeypatch.setattr(persisting, "_driver", lambda: driver)
    gpu = CudaGpu(CUDA)
    assert [gpu.unpin(), gpu.unpin()] == [4096, 0]
    assert (driver.limit, driver.reset) == (0, 2)


@pytest.mark.parametrize("driver", [None, Driver(4096, refuses=1)])
def test_a_driver_that_does_not_say_what_is_set_aside(
    tape: Tape, monkeypatch: pytest.MonkeyPatch, driver: Driver | None
) -> None:
    monkeypatch.setattr(persisting, "_driver", lambda: driver)
    assert CudaGpu(CUDA).unpin() is None
    assert driver is None or (driver.limit, driver.reset) == (4096, 0)


def test_a_capture_is_warmed_up_on_its_own_stream(tape: Tape) -> None:
    gpu = CudaGpu(CUDA)
    first = gpu.capture(tape.call)
    aside = ["synchronize", "call on side", "call on side", "synchronize"]
    assert tape.said == [*aside, "capture on side in None", "call on side"]
    tape.said.clear()
    gpu.capture(tape.call, first)
    assert tape.said == [*aside, "capture on side in pool", "call on side"]
    assert tape.current.name == "main"
    first.replay()
    assert tape.said[-1] == "replay"


def test_a_failed_capture_gives_the_first_reason_and_puts_things_back(tape: Tape) -> None:
    gpu = CudaGpu(CUDA)
    with pytest.raises(ClockUnsupported) as raised:
        gpu.capture(tape.waiting_call)
    assert str(raised.value) == (
        "it cannot be captured in a CUDA graph: RuntimeError: operation not permitted when stream is capturing"
    )
    assert (tape.current.name, tape.random_state) == ("main", "random")
    gpu.capture(tape.call)


@pytest.fixture
def cupti(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module `cupti.cupti`, with what it was asked; `records` come with the next flush."""
    kinds = SimpleNamespace(RUNTIME=5, DRIVER=4, CONCURRENT_KERNEL=10, MEMCPY=1, MEMSET=2)
    module = SimpleNamespace(ActivityKind=kinds, enabled=[], records=[], get_timestamp=lambda: 77)

    def register(requested: Any, completed: Any) -> None:
        size, most = requested()
        assert size > 0
        assert most == 0
        module.completed = completed

    module.activity_register_callbacks = register
    module.activity_enable = module.enabled.append
    module.activity_disable = module.enabled.remove
    module.activity_flush_all = lambda flag: module.completed(module.records)
    package = ModuleType("cupti")
    package.cupti = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupti", package)
    monkeypatch.setitem(sys.modules, "cupti.cupti", module)
    return module


def test_cupti_records_become_launches_and_activities(cupti: Any) -> None:
    with trace() as tracer:
        assert sorted(cupti.enabled) == [1, 2, 4, 5, 10]
        assert tracer.now_ns() == 77
        cupti.records = [
            SimpleNamespace(kind=5, start=1, end=2, correlation_id=7),
            SimpleNamespace(kind=4, start=3, end=4, correlation_id=8),
            SimpleNamespace(kind=10, start=10, end=20, correlation_id=7),
        ]
        assert tracer.collect() == Trace((LaunchCall(1, 7), LaunchCall(3, 8)), (Activity(10, 20, 7),))
        cupti.records = []
        assert tracer.collect() == Trace((), ())
    assert cupti.enabled == []


def test_cupti_that_refuses_is_unsupported_and_left_as_it_was(cupti: Any) -> None:
    def refuse(kind: int) -> None:
        if kind == 10:
            raise ValueError("CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED")
        cupti.enabled.append(kind)

    cupti.activity_enable = refuse
    with pytest.raises(ClockUnsupported, match="CUPTI cannot trace here: ValueError: CUPTI_ERROR_MULTIPLE"), trace():
        pass
    assert cupti.enabled == []


def test_an_error_in_a_trace_is_passed_on(cupti: Any) -> None:
    with pytest.raises(ZeroDivisionError), trace():
        raise ZeroDivisionError
    assert cupti.enabled == []


def test_cupti_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupti", None)
    with pytest.raises(ClockUnsupported, match="the package cupti-python cannot be imported"), trace():
        pass


def test_nvml_is_opened_by_the_uuid_and_only_when_asked(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class NVMLError(Exception):
        pass

    pynvml = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: asked.append("init"),
        nvmlDeviceGetHandleByUUID=asked.append,
        nvmlDeviceGetComputeRunningProcesses=lambda handle: [SimpleNamespace(pid=1)],
    )
    monkeypatch.setitem(sys.modules, "pynvml", pynvml)
    gpu = CudaGpu(CUDA)
    assert asked == []
    assert gpu.silence() is None
    assert gpu.other_processes() == (1,)
    assert asked == ["init", "GPU-ab-cd"]


def test_why_there_is_no_nvml(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    class NVMLError(Exception):
        pass

    def fails() -> None:
        raise NVMLError("Driver Not Loaded")

    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(NVMLError=NVMLError, nvmlInit=fails))
    assert open_nvml("GPU-x") == "NVML does not answer: Driver Not Loaded"
    monkeypatch.setitem(sys.modules, "pynvml", None)
    gpu = CudaGpu(CUDA)
    assert "nvidia-ml-py is not installed" in (gpu.silence() or "")
    assert (gpu.state(), gpu.highest_sm_clock_mhz(), gpu.other_processes()) == (None, None, None)
