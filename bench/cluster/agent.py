"""What runs on a node: a process that measures one bundle, as `attnlab run` does, and says each event as it comes.

It is started with the code that was shipped, and never imports what is installed of attnlab there.
"""

from __future__ import annotations

import shutil
import sys
import tempfile

from attnlab.bench import units
from attnlab.bench.cluster import orders
from attnlab.bench.cluster.orders import Described, Order, bundle_of, read_measurement, read_order, stamped
from attnlab.bench.contract.own_code import own_hash
from attnlab.bench.errors import AttnlabError
from attnlab.bench.measuring.channel import Channel
from attnlab.bench.measuring.steps import Step
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.machine import Machine
from attnlab.bench.store.records import Measurement, Outcome

LEAST_FREE_BYTES = 64 * units.MIB  # of the folder that workers hand outputs over in


class Unfit(Exception):
    """This node is of no use for the run."""


def main(answers_descriptor: int, parent: int) -> None:
    """Read an order, carry it out, and end."""
    channel = Channel.connect(answers_descriptor, parent)
    try:
        carry_out(read_order(channel.read()), channel)
    except (Unfit, AttnlabError, OSError, MemoryError) as error:
        channel.send(orders.UNFIT, str(error) or type(error).__name__)
        sys.exit(1)
    channel.send(orders.DONE, None)


def carry_out(order: Order, channel: Channel) -> None:
    """Say what machine this is; then measure the bundle. Raises Unfit where it is not what the order asks for."""
    settings = order.settings
    if (mine := own_hash()) != settings.code:
        raise Unfit(f"its code of attnlab has hash {mine}, and the run's is {settings.code}")
    check_disk()
    from attnlab.bench.contract.registry import discover
    from attnlab.bench.machine import ceilings
    from attnlab.bench.machine.environment import choose_device, describe_environment
    from attnlab.bench.machine.identity import describe_machine
    from attnlab.bench.measuring.fingerprint import fingerprint
    from attnlab.bench.measuring.runner import Limits, Runner
    from attnlab.bench.measuring.settings import kept_settings
    from attnlab.bench.measuring.sharding import remaining
    from attnlab.bench.measuring.suite import make_effort
    from attnlab.bench.store.likeness import differences

    environment = describe_environment(choose_device(settings.device))
    machine = describe_machine(environment, ceilings.load_or_measure(environment.device), order.node)
    registry = discover(settings.plugins, kept_settings)
    made = {(s.operator, s.implementation) for s in order.steps}
    prints = {f"{o}/{name}": fingerprint(registry.implementations(o).get(name)) for o, name in sorted(made)}
    channel.send(orders.MACHINE, encode(Described(machine, prints)))
    if order.like is None:
        return
    if told := differences(decode(Machine, order.like), machine):
        raise Unfit(f"it is not like the others: {'; '.join(told)}")
    bundle, effort = bundle_of(order, registry), make_effort(settings.effort)
    held = [read_measurement(value) for value in order.held]
    steps, beside = remaining([bundle], held, machine.key, int(effort.turns))
    runner = Runner(
        registry,
        environment,
        machine.ceilings,
        effort,
        Limits(settings.time_limit_s, settings.memory_bytes),
        settings.plugins,
        settings.seed,
        cache=settings.cache,
    )
    told_of = Telling(channel, machine.key)
    for _ in runner.run(steps, told_of, told_of, beside):
        pass


class Telling:
    """Sends what a run stores and what it is at."""

    def __init__(self, channel: Channel, machine: str) -> None:
        self._channel, self._machine = channel, machine

    def append(self, measurement: Measurement) -> None:
        if measurement.outcome is Outcome.FAILED:
            check_disk()  # it may have failed for that
        self._channel.send(orders.MEASURED, encode(stamped(measurement, self._machine)))

    def begin(self, step: Step) -> None:
        self._channel.send(orders.BEGIN, list(step.key))

    def phase(self, step: Step, phase: str) -> None:
        self._channel.send(orders.PHASE, [*step.key, phase])

    def end(self, step: Step, measurement: Measurement) -> None: ...

    def turn(self, number: int, rounds: int, measurement: Measurement) -> None:
        self._channel.send(orders.PHASE, [*measurement.key, f"round {number} of {rounds} in fresh processes"])


def check_disk() -> None:
    """Raise Unfit where the disk has no room for what workers hand over."""
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise Unfit(f"its disk is full: {units.format_bytes(free)} are free in {folder}")
