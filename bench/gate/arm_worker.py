"""The process of one arm: opens one benchmark at a time and gives a burst of samples whenever it is asked.

Requests are JSON lists of a verb and its arguments; see `bench/worker.py` for how they travel.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from attnlab.bench.gate.ballast import Ballast
from attnlab.bench.gate.messages import PROTOCOL, ArmOrder, Method, Offer, Offers, Opened
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.worker import connect, limit_memory, send, telling_why_it_is_broken

if TYPE_CHECKING:
    from attnlab.bench.gate.rerooting import Rerooting
    from attnlab.bench.registry import Implementation

# Three arguments more than other workers get: the file of `rerooting`, which is run before any module of the
# harness is imported, and the repository, the arm's checkout and the harness's, as JSON.
BOOT = (
    "import json, pathlib, runpy, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "turn = runpy.run_path(sys.argv[4])['Rerooting'](*map(pathlib.Path, json.loads(sys.argv[5]))); turn.apply(); "
    "from attnlab.bench.gate.arm_worker import main; main(int(sys.argv[1]), int(sys.argv[2]), turn)"
)


def main(answers_descriptor: int, parent: int, turned: Rerooting) -> None:
    """Read the order, then requests until they end."""
    requests, answers = connect(answers_descriptor, parent)
    order = decode(ArmOrder, json.loads(requests.readline()))
    limit_memory(order.device, order.memory_limit_bytes)
    with telling_why_it_is_broken(answers):
        if order.protocol != PROTOCOL:
            raise RuntimeError(
                f"this checkout's harness speaks protocol {PROTOCOL}, the gate's {order.protocol}; "
                "check the head revision out and run its own gate there"
            )
        arm = _Arm(order, turned, answers)
    send(answers, "ready", None)
    for line in requests:
        verb, *arguments = json.loads(line)
        getattr(arm, f"on_{verb}")(*arguments)


class _Arm:
    def __init__(self, order: ArmOrder, turned: Rerooting, answers: IO[str]) -> None:
        import torch

        from attnlab.bench.clocks import clocks_for
        from attnlab.bench.errors import UsageError
        from attnlab.bench.harness import Setup
        from attnlab.bench.registry import discover, discover_some
        from attnlab.bench.roofline import Ceilings
        from attnlab.bench.suite import Suite, find_suite, make_effort
        from attnlab.bench.suite_file import load_suite

        self._order, self._turned, self._answers = order, turned, answers
        plugins, self._missing = _present(order.plugins, turned)
        self._registry = discover(plugins) if order.modules is None else discover_some(order.modules, plugins)
        self._suite, self._suite_file = Suite(order.suite, ()), Path(order.suite)
        self._error: str | None = None
        try:
            self._suite_file = find_suite(order.suite, self._registry)
            self._suite = load_suite(self._suite_file, self._registry, lenient=True)
        except UsageError as error:
            self._error = str(error)
        device = torch.device(order.device)
        self._setup = Setup(
            device=device,
            clocks=clocks_for(device, self._suite.cache),
            ceilings=decode(Ceilings, order.ceilings),
            effort=make_effort(self._suite.effort),
            seed=order.seed,
            shared_folder=Path(order.shared_folder),
            announce=lambda phase: send(answers, "phase", phase),
        )
        self._ballast = Ballast()
        self._stack = ExitStack()
        self._opened: Any = None
        self._timers: dict[str, Any] = {}

    def on_offers(self) -> None:
        """All implementations of the suite's operators on its cases, and what was loaded from elsewhere."""
        from attnlab.bench import availability
        from attnlab.bench.environment import describe_device
        from attnlab.bench.fingerprint import fingerprint

        device = describe_device(self._order.device)
        found: dict[str, Offer] = {}
        unknown: dict[str, None] = {}
        for bench in self._suite.benches:
            table = self._registry.implementations(bench.operator)
            for name in bench.implementations or sorted(table.names()):
                if name not in table:
                    unknown[f"{bench.operator}/{name}"] = None
                    continue
                made = table.get(name)
                reason = availability.missing(made, device)
                source = self._relative(made.source)
                own_hash = fingerprint(made)
                for case in bench.cases:
                    why = reason or _refusal(made, case)
                    offer = Offer(bench.operator, name, case.id, made.module, source, own_hash, why)
                    found[offer.key] = offer
        answer = Offers(
            str(self._suite_file), tuple(found.values()), tuple(unknown), tuple(self._turned.strays()), self._missing,
            self._error,
        )  # fmt: skip
        send(self._answers, "offers", encode(answer))

    def on_open(self, operator: str, implementation: str, case_id: str, check: bool) -> None:
        """Set a benchmark up, and check it where asked."""
        from attnlab.bench.clocks import start_all
        from attnlab.bench.harness import open_case

        self.close()
        contract = self._registry.operators.get(operator)
        made = self._registry.implementations(operator).get(implementation)
        case = contract.case_type.parse(case_id)
        self._opened = self._stack.enter_context(open_case(contract, case, made, self._setup, check))
        opened = Opened(self._opened.measurement)
        if self._opened.copies:
            bytes_a_call = int(contract.bytes_moved(case))
            started = start_all(self._setup.clocks, self._opened.copies, bytes_a_call)
            self._timers = {timer.clock: timer for timer in started.timers}
            opened = Opened(
                self._opened.measurement,
                tuple(Method(t.clock, t.cache, t.calls_a_sample) for t in started.timers),
                len(self._opened.copies),
                started.notes,
            )
        send(self._answers, "opened", encode(dataclasses.replace(opened, strays=tuple(self._turned.strays()))))

    def on_warm(self, clock: str) -> None:
        """Call until the time of a call is stable."""
        from attnlab.bench.timing import warm_up

        send(self._answers, "warm", encode(warm_up(self._timers[clock], self._setup.effort)))

    def on_burst(self, clock: str, count: int) -> None:
        """A burst of samples; on a CPU on other ground in the heap than the last, after one call that is not timed."""
        from attnlab.bench.timing import take_burst

        if self._shift():
            self._timers[clock].burst(1)
        send(self._answers, "burst", encode(take_burst([self._timers[clock]], count)))

    def on_close(self) -> None:
        """Check what the timed calls returned, and free the benchmark."""
        measurement = self._opened.check_timed()
        self.close()
        send(self._answers, "closed", encode(measurement))

    def on_kernels(self) -> None:
        """Time by kernel (on a CPU by operation) of one call, in nanoseconds."""
        from attnlab.bench.profilers.torch_profile import kernel_times

        self._shift()
        send(self._answers, "kernels", kernel_times(self._opened.copies[0], self._setup.device))

    def _shift(self) -> bool:
        """Move the heap about, on a CPU; whether it was."""
        if self._setup.device.type == "cpu":
            self._ballast.shift()
            return True
        return False

    def close(self) -> None:
        self._timers = {}
        self._opened = None
        self._stack.close()

    def _relative(self, source: str) -> str | None:
        """A file's path in the arm's checkout; None where it is not of the repository."""
        path = Path(source)
        own = self._turned.arm in path.parents and not {"site-packages", "dist-packages"} & set(path.parts)
        return str(path.relative_to(self._turned.arm)) if own else None


def _refusal(made: Implementation, case: Any) -> str | None:
    try:
        return made.supports(case)
    except Exception:  # noqa: BLE001 - foreign code; opening the case tells what it raises, with its traceback
        return None


def _present(plugins: tuple[str, ...], turned: Rerooting) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The plugins as this arm has them, and those that it lacks."""
    there, missing = [], []
    for plugin in plugins:
        is_file = plugin.endswith(".py") or "/" in plugin
        place = turned.moved(plugin) if is_file else plugin
        found = Path(place).is_file() if is_file else importlib.util.find_spec(plugin.partition(".")[0]) is not None
        if found:
            there.append(place)
        else:
            missing.append(plugin)
    sys.path_importer_cache.clear()
    return tuple(there), tuple(missing)
