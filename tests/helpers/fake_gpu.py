"""A GPU that is simulated: its own time, an L2 that remembers, clocks that throttle by a script, faults on demand.

The host's time passes by what launching costs, the device's by what was launched; the device starts a
piece of work when it is done with the one before and the host has enqueued it. Moments and the start of a graph
take time of the device too. The L2 keeps what was touched last; what was written is written back when it goes.
Nothing here is measured.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from attnlab.bench.errors import ClockUnsupported
from attnlab.bench.machine.gpu import Activity, LaunchCall, Trace
from attnlab.bench.store.records import DeviceState

FULL_MHZ = 2000.0


@dataclass(frozen=True)
class Work:
    """A kernel: its time at full clocks with warm data, what it touches, what becomes of that, and what it computes."""

    what: str
    ns: float
    touches: tuple[tuple[str, int], ...] = ()  # name and bytes of each buffer
    writes: bool = False
    keeps: bool = False  # in the part of the L2 that is set aside, where there is one
    does: Callable[[], object] = lambda: None


@dataclass
class Line:
    """What lies of a buffer in the L2."""

    size: int
    dirty: bool = False
    kept: bool = False


@dataclass
class FakeMoment:
    gpu: FakeGpu
    at_ns: float | None = None

    def record(self) -> None:
        self.gpu.say("moment")
        now_ns = max(self.gpu.device_ns, self.gpu.host_ns)
        self.at_ns = now_ns + self.gpu.noise_ns()
        self.gpu.device_ns = now_ns + self.gpu.mark_ns

    def reached(self) -> bool:
        assert self.at_ns is not None
        return self.gpu.host_ns >= self.at_ns

    def ns_until(self, later: FakeMoment) -> float:
        assert self.gpu.said[-1] == "synchronise", "moments are read once the device is done"
        assert self.at_ns is not None
        assert later.at_ns is not None
        return later.at_ns - self.at_ns


@dataclass
class FakeGraph:
    gpu: FakeGpu
    works: list[Work]
    shared: bool = False

    def replay(self) -> None:
        self.gpu.say(f"replay of {len(self.works)}")
        self.gpu.launch()
        self.gpu.device_ns = max(self.gpu.device_ns, self.gpu.host_ns) + self.gpu.graph_ns
        self.gpu.device_ns += self.gpu.first_ns if self.works and self.works[0].ns else 0.0
        for work in self.works:
            self.gpu.execute(work)


@dataclass
class FakeGpu:
    """See the module; `said` keeps what was asked of it, in order.

    launch_ns: host time to enqueue one piece of work. miss_ns_per_byte: added for bytes that are not in the L2,
    back_ns_per_byte for written ones that have to leave it. mark_ns: device time that a moment takes; graph_ns: that
    the start of a graph does, and first_ns more if its first kernel has work to do. noise_ns: what a moment's time is
    off. sm_clock_mhz: the clock at a time of the device, in ns. refuses_capture: why captures fail. sees: whether
    tracing works. others: ids of other processes on it. set_aside: bytes of the L2 for data that stays. spin_evicts:
    whether the kernel that waits empties the L2.
    """

    name: str = "Simulated GPU"
    l2_bytes: int = 1_000_000
    launch_ns: float = 3_000.0
    miss_ns_per_byte: float = 0.01
    back_ns_per_byte: float = 0.01
    mark_ns: float = 1_500.0
    graph_ns: float = 2_000.0
    first_ns: float = 0.0
    noise_ns: Callable[[], float] = lambda: 0.0
    sm_clock_mhz: Callable[[float], float] = lambda at_ns: FULL_MHZ
    throttle: Callable[[float], tuple[str, ...]] = lambda at_ns: ()
    violations_ns: Callable[[float], float] = lambda at_ns: 0.0
    refuses_capture: str | None = None
    quiet: str | None = None
    sees: bool = True
    others: tuple[int, ...] | None = ()
    flush_works: bool = True
    spin_scale: float = 1.0
    spin_evicts: bool = False
    set_aside: int = 0
    host_ns: float = 0.0
    device_ns: float = 0.0
    side_ns: float = 0.0
    said: list[str] = field(default_factory=list)
    l2: OrderedDict[str, Line] = field(default_factory=OrderedDict)
    capturing: list[Work] | None = None
    unjoined: bool = False
    moments: int = 0
    correlations: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    launched: list[LaunchCall] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)

    def say(self, what: str) -> None:
        self.said.append(what)

    def kernel(
        self,
        what: str,
        ns: float,
        *touches: tuple[str, int],
        writes: bool = False,
        keeps: bool = False,
        does: Callable[[], object] = lambda: None,
    ) -> Callable[[], None]:
        """A call that launches a kernel."""
        return lambda: self.enqueue(Work(what, ns, touches, writes, keeps, does))

    def aside(self, what: str, ns: float, forks: bool = False, joins: bool = False) -> Callable[[], None]:
        """A call that launches a kernel on another stream, which waits for the current one where it `forks`, and for
        which the current one waits where it `joins`."""

        def call() -> None:
            if self.capturing is not None and forks:
                self.unjoined |= not joins
                self.capturing.append(Work(what, ns))
                return
            self.say(what)
            correlation = self.launch()
            start = max(self.side_ns, self.host_ns, self.device_ns if forks else 0.0)
            self.side_ns = start + ns
            self.activities.append(Activity(int(start), int(self.side_ns), correlation))
            if joins:
                self.device_ns = max(self.device_ns, self.side_ns)

        return call

    def waiting(self, call: Callable[[], object]) -> Callable[[], None]:
        """A call that then waits for the device, as `.item()` does."""

        def both() -> None:
            call()
            if self.capturing is not None:
                raise RuntimeError("operation not permitted when stream is capturing\nmore of it")
            self.host_ns = max(self.host_ns, self.device_ns)

        return both

    def launch(self) -> int:
        correlation = next(self.correlations)
        self.launched.append(LaunchCall(int(self.host_ns), correlation))
        self.host_ns += self.launch_ns
        return correlation

    def enqueue(self, work: Work) -> None:
        if self.capturing is not None:
            self.capturing.append(work)
            return
        self.say(work.what)
        correlation = self.launch()
        self.device_ns = max(self.device_ns, self.host_ns)
        start = self.device_ns
        self.execute(work)
        self.activities.append(Activity(int(start), int(self.device_ns), correlation))

    def occupy(self, what: str, ns: float) -> None:
        """Keep the device busy for so long, whatever its clocks."""
        self.say(what)
        correlation = self.launch()
        start = max(self.device_ns, self.host_ns)
        self.device_ns = start + ns
        self.activities.append(Activity(int(start), int(self.device_ns), correlation))

    def execute(self, work: Work) -> None:
        work.does()
        missed = back = 0
        for name, size in work.touches:
            held, written = self._touch(name, size, work)
            missed += 0 if held else size
            back += written
        ns = work.ns + missed * self.miss_ns_per_byte + back * self.back_ns_per_byte
        self.device_ns += ns * FULL_MHZ / self.sm_clock_mhz(self.device_ns)

    def _touch(self, name: str, size: int, work: Work) -> tuple[bool, int]:
        """Whether a buffer lay in the L2 as a whole, and the bytes written back for it; it then does if it fits."""
        line = self.l2.pop(name, Line(0))
        held = line.size == size
        kept = (work.keeps or (held and line.kept)) and self.set_aside > 0
        self.l2[name] = Line(size, work.writes or line.dirty, kept)
        back = self._evict(name)
        if size > self.l2_bytes:
            del self.l2[name]
            back += size if work.writes else 0
        return held, back

    def _evict(self, touched: str) -> int:
        """Bytes written back for all to fit; the oldest goes first, nothing that is kept, and not what was touched."""
        back = 0
        over = sum(line.size for line in self.l2.values()) - self.l2_bytes
        for name in [name for name, line in self.l2.items() if not line.kept and name != touched]:
            line = self.l2[name]
            gone = max(0, min(over, line.size))
            over, line.size = over - gone, line.size - gone
            back += gone if line.dirty else 0
            if not line.size:
                del self.l2[name]
        return back

    # What the protocol asks for.

    def synchronise(self) -> None:
        self.host_ns = max(self.host_ns, self.device_ns, self.side_ns)
        self.say("synchronise")

    def left_behind_ns(self, work: Callable[[], object]) -> float:
        self.synchronise()
        work()
        self.host_ns = max(self.host_ns, self.device_ns)
        start = self.host_ns
        self.synchronise()
        return self.host_ns - start

    def unpin(self) -> int | None:
        held, self.set_aside = self.set_aside, 0
        for line in self.l2.values():
            line.kept = False
        return held

    def moment(self) -> FakeMoment:
        self.moments += 1
        return FakeMoment(self)

    def spin(self, ns: float) -> None:
        if self.capturing is not None:
            self.capturing.append(Work("spin", ns * self.spin_scale))
            return
        self.occupy("spin", ns * self.spin_scale)
        if self.spin_evicts and ns:
            self.l2.clear()

    def flush(self, writing: bool = False) -> None:
        self.occupy("flush by writing" if writing else "flush", 1e5)
        if self.flush_works:
            kept = {name: line for name, line in self.l2.items() if line.kept}
            self.l2.clear()
            self.l2.update(kept)
            free = self.l2_bytes - sum(line.size for line in kept.values())
            self.l2["what empties it"] = Line(free, dirty=writing)

    def capture(self, work: Callable[[], None], share: object = None) -> FakeGraph:
        self.say("capture")
        if self.refuses_capture is not None:
            raise ClockUnsupported(self.refuses_capture)
        self.capturing, self.unjoined = [], False
        try:
            work()
            if self.unjoined:
                raise RuntimeError("capturing stream has unjoined work")
            return FakeGraph(self, self.capturing, share is not None)
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise ClockUnsupported(f"it cannot be captured in a CUDA graph: {reason}") from error
        finally:
            self.capturing = None

    @contextmanager
    def trace(self) -> Iterator[FakeGpu]:
        if not self.sees:
            raise ClockUnsupported("the package cupti-python cannot be imported")
        self.launched, self.activities = [], []
        yield self

    def now_ns(self) -> int:
        return int(self.host_ns)

    def collect(self) -> Trace:
        assert self.said[-1] == "synchronise", "the device is done"
        return Trace(tuple(self.launched), tuple(self.activities))

    def state(self) -> DeviceState | None:
        if self.quiet is not None:
            return None
        return DeviceState(
            sm_clock_mhz=self.sm_clock_mhz(self.device_ns),
            throttle=self.throttle(self.device_ns),
            thermal_violation_ns=self.violations_ns(self.device_ns),
        )

    def silence(self) -> str | None:
        return self.quiet

    def highest_sm_clock_mhz(self) -> float | None:
        return None if self.quiet else FULL_MHZ

    def other_processes(self) -> tuple[int, ...] | None:
        return self.others

    def reader(self, size_bytes: int) -> Callable[[], object]:
        return self.kernel("read", 1_000.0, ("what is read", size_bytes))


def rotation(gpu: FakeGpu, copies: int, ns: float, bytes_a_call: int) -> Sequence[Callable[[], None]]:
    """Calls of the same kernel on inputs of their own."""
    return [gpu.kernel(f"call {n}", ns, (f"inputs {n}", bytes_a_call)) for n in range(copies)]
