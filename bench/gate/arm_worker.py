"""The process of one arm: opens one benchmark at a time and gives a burst of samples whenever it is asked.

Requests are JSON lists of a verb and its arguments; see `bench/measuring/channel.py` for how they travel.
"""

from __future__ import annotations

import dataclasses
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.gate.messages import PROTOCOL, ArmOrder, Closing, Opening, TimingMethod, outputs_of
from attnlab.bench.machine.ballast import Ballast
from attnlab.bench.measuring.channel import Channel
from attnlab.bench.measuring.worker import limit_memory, make_setup
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.plan import Plan

if TYPE_CHECKING:
    from attnlab.bench.gate.rerooting import Rerooting
    from attnlab.bench.measuring.case_sampling import CaseSampling
    from attnlab.bench.measuring.prepared_case import PreparedCase

# Two arguments more than other workers get: the file of `rerooting`, which is run before any module of the
# harness is imported, and as JSON the repository, the arm's checkout and the harness's, earlier checkouts, and where
# packages of ours lie. An interpreter of another environment keeps its own search path.
TURNING = (
    "import json, runpy, sys; sys.path[:] = json.loads(sys.argv[3]) or sys.path; "
    "turn = runpy.run_path(sys.argv[4])['Rerooting'].of(*json.loads(sys.argv[5])); turn.apply(); "
)
BOOT = TURNING + "from attnlab.bench.gate.arm_worker import main; main(int(sys.argv[1]), int(sys.argv[2]), turn)"
JUDGE_BOOT = (
    TURNING + "from attnlab.bench.measuring.judging.process import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)


def main(answers_descriptor: int, parent: int, turned: Rerooting) -> None:
    """Read the order, then requests until they end."""
    channel = Channel.connect(answers_descriptor, parent)
    order = decode(ArmOrder, channel.read())
    limit_memory(order.device, order.memory_limit_bytes)
    keep_compiled_in(order.compiled_folder)
    with channel.telling_why_it_is_broken():
        refuse_other_protocols(order.protocol)
        arm = _Arm(order, turned, channel)
    channel.send("ready", None)
    for verb, *arguments in channel.requests():
        getattr(arm, f"on_{verb}")(*arguments)


def refuse_other_protocols(of_gate: int) -> None:
    """Raise RuntimeError where the gate speaks another than this harness."""
    if of_gate != PROTOCOL:
        raise RuntimeError(
            f"this checkout's harness speaks protocol {PROTOCOL}, the gate's {of_gate}; "
            "check the head revision out and run its own gate there"
        )


COMPILERS = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "TORCH_EXTENSIONS_DIR", "CUDA_CACHE_PATH")


def keep_compiled_in(folder: str | None) -> None:
    """Compilers of this process keep what they make in that folder; to be called before any is imported."""
    for name in COMPILERS if folder is not None else ():
        place = Path(str(folder)) / name.lower()
        place.mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(place)


class _Arm:
    def __init__(self, order: ArmOrder, turned: Rerooting, channel: Channel) -> None:
        from attnlab.bench.contract.meddling import Guard
        from attnlab.bench.contract.registry import discover, discover_some, import_operators
        from attnlab.bench.gate.offering import find_own_suite, present
        from attnlab.bench.measuring.settings import Apart
        from attnlab.bench.measuring.suite import make_effort

        self._order, self._turned, self._channel = order, turned, channel
        import_operators()
        guard, apart = Guard(), Apart()
        with apart.foreign():
            plugins, self._missing = present(order.plugins, turned)
            self._registry = discover(plugins) if order.modules is None else discover_some(order.modules, plugins)
        self._suite = find_own_suite(order.suite, self._registry, turned)
        settings = order.settings or self._suite.settings
        effort = make_effort(settings.effort)
        self._setup = make_setup(order, channel, outputs_of(order, os.getpid()), effort, settings.cache, guard, apart)
        self._ballast = Ballast()
        self._stack = ExitStack()
        self._prepared: PreparedCase | None = None
        self._sampling: CaseSampling | None = None

    @property
    def prepared(self) -> PreparedCase:
        """The benchmark that is open."""
        assert self._prepared is not None
        return self._prepared

    @property
    def sampling(self) -> CaseSampling:
        """The open benchmark's, which is warm."""
        assert self._sampling is not None
        return self._sampling

    def on_offers(self, wanted: list[list[str]]) -> None:
        """What this arm has of its suite and, besides, of what is wanted."""
        from attnlab.bench.gate.offering import make_offers
        from attnlab.bench.machine.environment import describe_device

        device = describe_device(self._order.device)
        offers = make_offers(self._suite, wanted, self._registry, device, self._turned, self._missing)
        self._channel.send("offers", encode(offers))

    def on_open(
        self, operator: str, implementation: str, case_id: str, check: bool, plan: Any, following: str | None
    ) -> None:
        """Set a benchmark up by a plan that was made before, where one is given, and check it where asked.

        What is following changes nothing here.
        """
        from attnlab.bench.gate.offering import described
        from attnlab.bench.measuring.harness import prepared_case

        self.close()
        contract = self._registry.operators.get(operator)
        made = self._registry.implementations(operator).get(implementation)
        case = contract.case_type.parse(case_id)
        setup = dataclasses.replace(self._setup, plan=None if plan is None else decode(Plan, plan))
        prepared = self._prepared = self._stack.enter_context(prepared_case(contract, case, made, setup, check))
        opened = Opening(prepared.measurement)
        if prepared.ready:
            started = prepared.methods()
            methods = tuple(TimingMethod(t.clock, t.cache, t.calls_a_sample, t.plan) for t in started.timers)
            opened = Opening(prepared.measurement, methods, started.notes, inputs=described(prepared.call.inputs))
        self._channel.send("opened", encode(dataclasses.replace(opened, strays=tuple(self._turned.strays()))))

    def on_warm(self, clock: str, plan: Any) -> None:
        """Call until the time of a call is stable."""
        from attnlab.bench.measuring.case_sampling import CaseSampling

        with self.prepared.phase("warm-up"), self.prepared.foreign():
            own = None if plan is None else decode(Plan, plan)
            self._sampling = CaseSampling(self.prepared, clock, own)
        self._channel.send("warm", encode(self.sampling.warm))

    def on_burst(self, count: int) -> None:
        """A burst of samples; on a CPU on other ground in the heap than the last, after one call that is not timed."""
        shifted = self._shift()
        with self.prepared.foreign():
            if shifted:
                self.sampling.pass_over()
            burst = self.sampling.burst(count)
        self._channel.send("burst", encode(burst))

    def on_close(self) -> None:
        """Check what the timed calls returned, measure memory, and free the benchmark."""
        from attnlab.bench.measuring.finish import finish_beside
        from attnlab.bench.measuring.stopping import STOPPED_BY_ROUNDS

        timed = self.sampling.timed(STOPPED_BY_ROUNDS)
        measurement, beside = finish_beside(self.prepared, self.sampling)
        self.close()
        self._channel.send("closed", encode(Closing(measurement, timed.record, beside, timed.notes)))

    def on_kernels(self) -> None:
        """Time by kernel (on a CPU by operation) of one call, in nanoseconds."""
        from attnlab.bench.profilers.torch_profile import kernel_times

        self._shift()
        with self.prepared.foreign():
            times = kernel_times(self.prepared.call, self._setup.device)
        self._channel.send("kernels", times)

    def _shift(self) -> bool:
        """Move the heap about, on a CPU; whether it was."""
        if self._setup.device.type == "cpu":
            self._ballast.shift()
            return True
        return False

    def close(self) -> None:
        self._prepared = self._sampling = None
        self._stack.close()
