"""The judge's process: has the contracts that it is asked about, and no implementation.

Requests are JSON lists of a verb and its arguments; see `bench/measuring/channel.py` for how they travel. Answers are
`judge` or `facts` with what was found, or `failed` with a reason and a traceback.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from attnlab.bench.measuring.channel import Channel
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.text import reason_of, traceback_of

# Arguments as of a worker, see `worker_process.BOOT`.
BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "from attnlab.bench.measuring.judging.process import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)


@dataclass(frozen=True)
class JudgeOrder:
    """What a judge is started with. folders: where modules are looked for beside the usual places."""

    device: str
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contract:
    """Where an operator is defined: the module that registers it, and its file, None where that is not known."""

    operator: str
    module: str
    source: str | None = None


def main(answers_descriptor: int, parent: int) -> None:
    """Read the order, then requests until they end."""
    channel = Channel.connect(answers_descriptor, parent)
    order = decode(JudgeOrder, channel.read())
    from attnlab.bench.measuring.settings import kept_settings  # imports torch

    with channel.telling_why_it_is_broken():
        bench = _Bench(order)
    channel.send("ready", None)
    for verb, contract, *arguments in channel.requests():
        try:
            with kept_settings():  # as a contract may be a plugin's
                answer = getattr(bench, f"on_{verb}")(decode(Contract, contract), *arguments)
        except Exception as error:  # noqa: BLE001 - a contract may be a plugin's; the parent says that it failed
            channel.send("failed", [reason_of(error), traceback_of(error)])
        else:
            channel.send(verb, answer)


class _Bench:
    def __init__(self, order: JudgeOrder) -> None:
        import torch

        from attnlab.bench.measuring.judging.court import Court

        sys.path += [folder for folder in order.folders if folder not in sys.path]
        self._device = torch.device(order.device)
        self._court = Court(self._device)

    def on_judge(self, contract: Contract, case_id: str, question: Any, file: str, keep: Any = None) -> Any:
        """Figures of the outputs that lie in a file; it is gone then.

        keep: the folder of a run in which what is refused is kept, and the implementation's name and plugins; None
        where nothing is.
        """
        from attnlab.bench.measuring.judging.handing import read
        from attnlab.bench.measuring.judging.verdicts import Question, Ruling
        from attnlab.bench.store.records import Outcome

        operator = self._operator(contract)
        case = operator.case_type.parse(case_id)
        asked = decode(Question, question)
        sizes = [_size_bytes(spec) for spec in operator.specs(case, asked.draw, asked.content.seed)]
        try:
            calls = read(Path(file), asked.calls, sizes)
        except (OSError, ValueError) as error:
            return encode(Ruling(outcome=Outcome.WRONG_SHAPE, reason=f"its outputs cannot be read: {error}"))
        try:
            verdict = self._court.judge(operator, case, asked, calls)
            if keep is not None and verdict.refusal is not None:
                self._keep(operator, case, asked, verdict, calls, keep)
            return encode(verdict)
        finally:
            self._free()

    def _keep(self, operator: Any, case: Any, question: Any, verdict: Any, calls: Any, keep: Any) -> None:
        from attnlab.bench.measuring.failures.keeping import keep_refused
        from attnlab.bench.measuring.failures.record import Failure
        from attnlab.bench.store.records import Outcome

        run, implementation, seed, plugins = keep
        kind = self._device.type
        made = Failure(operator.name, implementation, case.id, kind, Outcome.FAILED, "", seed, plugins=tuple(plugins))
        try:
            keep_refused(self._court, operator, case, made, question, verdict, calls, Path(run))
        except Exception as error:  # noqa: BLE001 - a full disk, or a contract of a plugin: the verdict stands
            print(traceback_of(error), file=sys.stderr)

    def on_facts(self, contract: Contract, case_id: str, seed: int) -> Any:
        operator = self._operator(contract)
        try:
            return [asdict(fact) for fact in self._court.facts(operator, operator.case_type.parse(case_id), seed)]
        finally:
            self._free()

    def on_testimony(self, contract: Contract, case_id: str, seed: int, copies: int, calls: Any) -> Any:
        """What is to be said of what timed calls said of themselves, from their series and times."""
        from attnlab.bench.store.records import Series

        operator = self._operator(contract)
        said = [(tuple(decode(Series, one) for one in series), float(elapsed_ns)) for series, elapsed_ns in calls]
        case = operator.case_type.parse(case_id)
        return encode(self._court.testimony(operator, case, seed, copies, said))

    def on_digests(self, contract: Contract, case_id: str, seed: int) -> Any:
        from attnlab.bench.measuring.judging.verdicts import owed

        operator = self._operator(contract)
        case = operator.case_type.parse(case_id)
        try:
            return [[name, self._court.digest(operator, case, draw, at)] for name, draw, at in owed(operator, seed)]
        finally:
            self._free()

    def on_owed(self, contract: Contract, seed: int) -> Any:
        from attnlab.bench.measuring.judging.verdicts import owed

        return [[name, draw, encode(content)] for name, draw, content in owed(self._operator(contract), seed)]

    def _operator(self, contract: Contract) -> Any:
        """The operator, whose module is imported where it is not there yet; what that changes of the harness is not."""
        from attnlab.bench.contract.registry import registry

        if contract.operator not in registry.operators:
            with registry.watched():
                _import(contract)
        return registry.operators.get(contract.operator)

    def _free(self) -> None:
        """Leave a GPU's memory to the workers."""
        if self._device.type == "cuda":
            import torch

            torch.cuda.empty_cache()


def _import(contract: Contract) -> None:
    """From the very file that the worker has it from, as others may have its name; modules of a package by name."""
    from attnlab.bench.contract.plugins import import_file

    if contract.source is None or "." in contract.module:
        importlib.import_module(contract.module)
        return
    folder = str(Path(contract.source).parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last, as in a worker, so that its files shadow nothing
    import_file(Path(contract.source), contract.module)


def _size_bytes(spec: Any) -> int:
    import math

    return int(math.prod(spec.shape) * spec.dtype.itemsize)
