"""Runs the source of a Gluon kernel for Hopper on the CPU, and finds its races: a thread a partition, one at a time.

    forward = Kernel(attention_partitions, attention_forward, entry="_forward", seed=1)
    monkeypatch.setattr(attention_forward, "_forward", forward)  # launched as the kernel itself

Who goes on at each step is drawn at random: a partition, or a copy that lands. What a copy writes is NaN until it has
landed, and a product in flight reads shared memory when it is waited for. Whether a partition may know that a copy has
landed, and the copy engine that a buffer is no longer read, is told by vector clocks that barriers carry from those who
arrive to those who wait: a race is found in every run, however the dice fall. Layouts are not looked at, nor is what
warps of one partition do among themselves.
"""

import ast
import random
import threading
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

Clock = dict[Any, int]  # of each partition its last step that is known, of each buffer its last copy that has landed


class Race(AssertionError):
    """Two uses of a buffer that no barrier orders, or a barrier that does not fit them."""


class Deadlock(AssertionError):
    """Nobody can go on."""


class Stopped(Exception):
    """Another partition has failed."""


def merge(into: Clock, other: Clock) -> None:
    for key, step in other.items():
        into[key] = max(step, into.get(key, -1))


@dataclass(eq=False)
class Partition:
    """One partition of warps, and what it knows."""

    name: str
    body: Callable[[], None]
    known: Clock = field(default_factory=dict)
    step: int = 0
    ready: Callable[[], bool] = lambda: True
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    done: bool = False
    in_flight: list["Product"] = field(default_factory=list)


@dataclass(eq=False)
class Buffer:
    """A tile in shared memory, who has read it since it was written, and of which copy it is."""

    name: str
    data: torch.Tensor
    reads: Clock = field(default_factory=dict)
    version: int = 0
    landed: bool = True


@dataclass(eq=False)
class Barrier:
    """An mbarrier: a phase ends when `count` have arrived and all bytes that were announced have landed."""

    name: str
    count: int = 0
    missing: int = 0
    bytes: int = 0
    phase: int = 0
    gathered: Clock = field(default_factory=dict)  # what those know who arrived in this phase
    published: Clock = field(default_factory=dict)  # and in those before

    def settle(self) -> None:
        if self.missing < 0:
            raise Race(f"{self.name}: more arrivals in a phase than its count of {self.count}")
        if self.missing == 0 and self.bytes == 0:
            self.phase += 1
            self.missing = self.count
            merge(self.published, self.gathered)
            self.gathered = {}


@dataclass(eq=False)
class Landing:
    """A copy on its way."""

    buffer: Buffer
    data: torch.Tensor
    barrier: Barrier
    known: Clock

    def land(self) -> None:
        self.buffer.data.copy_(self.data)
        self.buffer.landed = True
        merge(self.barrier.gathered, self.known | {self.buffer: self.buffer.version})
        self.barrier.bytes -= self.data.numel() * self.data.element_size()
        self.barrier.settle()


@dataclass(eq=False)
class View:
    """A buffer, or its transpose."""

    buffer: Buffer
    shape: tuple[int, ...] = ()
    order: tuple[int, ...] = ()

    def reshape(self, shape: list[int]) -> "View":
        return View(self.buffer, tuple(shape), self.order)

    def permute(self, order: tuple[int, ...]) -> "View":
        return View(self.buffer, self.shape, order)

    def read(self) -> torch.Tensor:
        tile = self.buffer.data.reshape(self.shape)
        return tile.permute(self.order) if self.order else tile


@dataclass(eq=False)
class Product:
    """a times b plus acc: in flight until it is waited for."""

    a: View | torch.Tensor
    b: View
    acc: "torch.Tensor | Product | None"
    versions: dict[Buffer, int]
    value: torch.Tensor | None = None


@dataclass(frozen=True)
class Array:
    """Buffers or barriers, of which one is taken by `index`."""

    items: list[Any]
    dtype: Any

    def index(self, n: int) -> Any:
        return self.items[n]


@dataclass(frozen=True)
class Pointer:
    """A dense tensor and offsets into it."""

    tensor: torch.Tensor
    offsets: Any = 0

    def __add__(self, more: Any) -> "Pointer":
        return Pointer(self.tensor, self.offsets + more)

    @property
    def dtype(self) -> Any:
        return types.SimpleNamespace(element_ty=self.tensor.dtype)


class Descriptor:
    """A tensor as the copy engine sees it: what lies outside is zero."""

    def __init__(self, given: TensorDescriptor) -> None:
        self.tensor = given.base.as_strided(given.shape, given.strides)
        self.block = given.block_shape
        self.dtype, self.layout = given.base.dtype, given.layout
        size = torch.Size(self.block).numel() * given.base.element_size()
        self.block_type = types.SimpleNamespace(nbytes=size)

    def read(self, coordinates: Iterable[int]) -> torch.Tensor:
        tile = torch.zeros(self.block, dtype=self.dtype)
        here, there = [], []
        for at, size, length in zip(coordinates, self.block, self.tensor.shape, strict=True):
            begin, end = min(max(at, 0), length), min(max(at + size, 0), length)
            here.append(slice(begin - at, max(begin, end) - at))
            there.append(slice(begin, max(begin, end)))
        tile[tuple(here)] = self.tensor[tuple(there)]
        return tile


class Kernel:
    """A kernel whose functions come from the sources of modules, each changed by `edits` (old text, new text)."""

    def __init__(self, *modules: Any, entry: str, seed: int, edits: Iterable[tuple[str, str]] = ()) -> None:
        self.random = random.Random(seed)
        self.partitions: list[Partition] = []
        self.landings: list[Landing] = []
        self.weights: dict[Any, float] = {}
        self.failure: BaseException | None = None
        self.current = Partition("the whole block", lambda: None)
        self.names: dict[str, Any] = self._language()
        sources = {module: Path(module.__file__).read_text() for module in modules}
        for old, new in edits:
            assert sum(text.count(old) for text in sources.values()) == 1, f"not once in the sources: {old}"
            sources = {module: text.replace(old, new) for module, text in sources.items()}
        for module, text in sources.items():
            constants = {name: x.value for name, x in vars(module).items() if type(x).__name__ == "constexpr"}
            self.names |= constants
            exec(compile(_functions(text), module.__file__, "exec"), self.names)
        self.entry = self.names[entry]

    def __getitem__(self, grid: tuple[int]) -> Callable[..., None]:
        def launch(*arguments: Any, num_warps: int, maxnreg: int, **constants: Any) -> None:
            given = [_argument(x) for x in arguments]
            self.names["gl"].num_programs = lambda axis: grid[0]
            for program in range(grid[0]):
                self.names["gl"].program_id = lambda axis, program=program: program
                self.weights = {}
                self.entry(*given, **constants)

        return launch

    # What Gluon's language has, as far as kernels here use it.

    def _language(self) -> dict[str, Any]:
        gl = types.SimpleNamespace(
            static_range=range,
            int64=torch.int64,
            float32=torch.float32,
            cdiv=lambda a, b: -(-a // b),
            minimum=_pairwise(min, torch.minimum),
            maximum=_pairwise(max, torch.maximum),
            cast=lambda x, dtype: x,
            convert_layout=lambda x, layout: x,
            exp2=torch.exp2,
            log2=torch.log2,
            where=torch.where,
            max=torch.amax,
            sum=torch.sum,
            zeros=lambda shape, dtype, layout: torch.zeros(shape, dtype=dtype),
            full=lambda shape, value, dtype, layout: torch.full(shape, value, dtype=dtype),
            arange=lambda begin, end, layout: torch.arange(begin, end),
            store=_store,
            SliceLayout=_nothing,
            NVMMADistributedLayout=_nothing,
            DotOperandLayout=_nothing,
            allocate_shared_memory=self.allocate,
            warp_specialize=self.specialize,
        )
        mbarrier = types.SimpleNamespace(
            MBarrierLayout=_nothing, init=self.init, expect=self.expect, arrive=self.arrive, wait=self.wait
        )
        return {
            "gl": gl,
            "mbarrier": mbarrier,
            "tma": types.SimpleNamespace(async_copy_global_to_shared=self.copy),
            "fence_async_shared": _nothing,
            "warpgroup_mma": self.multiply,
            "warpgroup_mma_wait": self.wait_products,
        }

    def allocate(self, dtype: torch.dtype, shape: list[int], layout: Any) -> Array:
        if dtype == torch.int64:
            return Array([Barrier(f"barrier {n} of {shape[0]}") for n in range(shape[0])], dtype)
        buffers = [
            Buffer(f"buffer {n} of {shape}", torch.full(shape[1:], torch.nan, dtype=dtype)) for n in range(shape[0])
        ]
        return Array([View(buffer, tuple(shape[1:])) for buffer in buffers], dtype)

    def init(self, barrier: Barrier, count: int) -> None:
        barrier.count = barrier.missing = count

    def expect(self, barrier: Barrier, size: int) -> None:
        barrier.bytes += size
        self.arrive(barrier, 1)

    def arrive(self, barrier: Barrier, count: int) -> None:
        me = self.current
        merge(barrier.gathered, me.known | {me.name: me.step})
        me.step += 1
        barrier.missing -= count
        barrier.settle()
        self.pause()

    def wait(self, barrier: Barrier, parity: int, pred: bool = True) -> None:
        if pred:
            assert parity in (0, 1), parity
            self.pause(lambda: barrier.phase & 1 != parity)
            merge(self.current.known, barrier.published)

    def copy(self, source: Descriptor, coordinates: list[int], barrier: Barrier, target: View) -> None:
        buffer, me = target.buffer, self.current
        for reader, step in buffer.reads.items():
            if me.known.get(reader, -1) < step:
                raise Race(f"{buffer.name} is overwritten while {reader} may still read it")
        if not buffer.landed:
            raise Race(f"{buffer.name} is overwritten by two copies at a time")
        buffer.version += 1
        buffer.landed = False
        buffer.reads.clear()
        buffer.data.fill_(torch.nan)
        self.landings.append(Landing(buffer, source.read(coordinates), barrier, me.known | {me.name: me.step}))
        self.pause()

    def multiply(self, a: Any, b: View, acc: Any, *, use_acc: bool = True, is_async: bool = False) -> Product:
        assert is_async
        me = self.current
        versions = {view.buffer: view.buffer.version for view in (a, b) if isinstance(view, View)}
        for buffer, version in versions.items():
            if version == 0 or me.known.get(buffer, -1) < version:
                raise Race(f"{me.name} reads {buffer.name} before it knows that it has landed")
        product = Product(a, b, acc if use_acc else None, versions)
        me.in_flight.append(product)
        self.pause()
        return product

    def wait_products(self, left: int, deps: list[Any]) -> Any:
        me = self.current
        while len(me.in_flight) > left:
            self.pause()
            product = me.in_flight.pop(0)
            for buffer, version in product.versions.items():
                if buffer.version != version:
                    raise Race(f"{buffer.name} was overwritten while a product of {me.name} read it")
                buffer.reads[me.name] = me.step
            a, b = (x.read() if isinstance(x, View) else x for x in (product.a, product.b))
            acc = product.acc.value if isinstance(product.acc, Product) else product.acc
            value = a.float() @ b.float()
            product.value = value if acc is None else value + acc
        for dep in deps:
            if isinstance(dep, Product) and dep.value is None:
                raise Race(f"{me.name} uses a product that is still in flight")
        values = [dep.value if isinstance(dep, Product) else dep for dep in deps]
        return values[0] if len(values) == 1 else values

    # Who goes on.

    def specialize(self, work: list[tuple[Callable[..., None], tuple[Any, ...]]], warps: Any, registers: Any) -> None:
        self.partitions = [
            Partition(f"partition {n} ({body.__name__})", lambda body=body, given=given: body(*given))
            for n, (body, given) in enumerate(work)
        ]
        self.failure = None
        threads = [threading.Thread(target=self._run, args=(partition,), daemon=True) for partition in self.partitions]
        for thread in threads:
            thread.start()
        self._go_on()
        for thread in threads:
            thread.join()
        if self.failure is not None:
            raise self.failure
        assert not self.landings
        self.current = Partition("the whole block", lambda: None)

    def pause(self, ready: Callable[[], bool] = lambda: True) -> None:
        me = self.current
        if me not in self.partitions:
            return  # before the partitions part
        me.ready = ready
        self._go_on()
        me.turn.acquire()
        if self.failure is not None:
            raise Stopped

    def _run(self, partition: Partition) -> None:
        partition.turn.acquire()
        try:
            if self.failure is None:
                partition.body()
                if partition.in_flight:
                    raise Race(f"{partition.name} ends with a product in flight")
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that launched
            self.failure = self.failure or error
        partition.done = True
        self._go_on()

    def _go_on(self) -> None:
        while True:
            if self.failure is not None:
                for partition in self.partitions:
                    partition.turn.release()
                return
            able: list[Any] = [p for p in self.partitions if not p.done and p.ready()] + self.landings
            if not able:
                if not all(p.done for p in self.partitions):
                    waiting = ", ".join(p.name for p in self.partitions if not p.done)
                    self.failure = Deadlock(f"nobody can go on: {waiting} wait")
                    continue
                return
            # Some are slow and some are quick, and remain so for a while.
            weights = [self.weights.setdefault(x, self.random.choice((1, 10, 100))) for x in able]
            chosen = self.random.choices(able, weights)[0]
            if self.random.random() < 0.02:
                self.weights.clear()
            if isinstance(chosen, Landing):
                self.landings.remove(chosen)
                try:
                    chosen.land()
                except Race as race:
                    self.failure = race
                continue
            self.current = chosen
            chosen.turn.release()
            return


def _functions(text: str) -> ast.Module:
    """Functions that `gluon.jit` decorates, without that."""
    tree = ast.parse(text)
    found = [
        x
        for x in tree.body
        if isinstance(x, ast.FunctionDef) and any("gluon.jit" in ast.unparse(d) for d in x.decorator_list)
    ]
    for function in found:
        function.decorator_list = []
        for argument in function.args.args:
            argument.annotation = None
    return ast.Module(body=list(found), type_ignores=[])


def _argument(given: Any) -> Any:
    if isinstance(given, TensorDescriptor):
        return Descriptor(given)
    return Pointer(given) if isinstance(given, torch.Tensor) else given


def _pairwise(of_numbers: Callable[..., Any], of_tensors: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: of_tensors(a, b) if isinstance(a, torch.Tensor) else of_numbers(a, b)


def _store(pointer: Pointer, value: torch.Tensor, mask: torch.Tensor) -> None:
    offsets, mask = torch.broadcast_tensors(torch.as_tensor(pointer.offsets), mask)
    pointer.tensor.view(-1)[offsets[mask]] = value[mask]


def _nothing(*arguments: Any, **keywords: Any) -> None:
    return None
