"""What one arm has: the benchmarks of its own suite, and those of the other arm's that it can offer too."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnlab.bench.contract import needs
from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.named_files import contents
from attnlab.bench.contract.operator_spec import tensors
from attnlab.bench.contract.registry import Implementation, Registry
from attnlab.bench.errors import AttnlabError, UsageError
from attnlab.bench.gate.messages import Offer, Offers, SuiteSettings
from attnlab.bench.gate.rerooting import Rerooting
from attnlab.bench.measuring.fingerprint import fingerprint
from attnlab.bench.measuring.suite import Suite, find_suite
from attnlab.bench.measuring.suite_file import load_suite
from attnlab.bench.store.machine import Device

Wanted = Sequence[Sequence[str]]  # operator, implementation and case id of each


@dataclass(frozen=True)
class ArmSuite:
    """The suite as this arm has it; error says why there is none, and absent whether it has no such suite at all."""

    suite: Suite
    file: Path
    error: str | None = None
    absent: bool = False

    @property
    def settings(self) -> SuiteSettings:
        return SuiteSettings(dict(self.suite.effort), self.suite.cache)


def find_own_suite(name: str, registry: Registry, turned: Rerooting) -> ArmSuite:
    """A suite by name or path. One that comes along with the harness is this arm's, where the harness is another's."""
    empty = Suite(name, ())
    try:
        file = find_suite(name, registry)
    except UsageError as error:
        return ArmSuite(empty, Path(name), str(error), absent=True)
    file = turned.counterpart(file)
    if not file.is_file():
        return ArmSuite(empty, file, f"there is no suite {name!r}: {file} does not exist", absent=True)
    try:
        return ArmSuite(load_suite(file, registry, lenient=True), file)
    except UsageError as error:
        return ArmSuite(empty, file, str(error))


def make_offers(
    own: ArmSuite, wanted: Wanted, registry: Registry, device: Device, turned: Rerooting, missing: tuple[str, ...]
) -> Offers:
    """All implementations of the suite's operators on its cases, and of `wanted` what this arm has besides."""
    make = _OfferMaker(registry, device, turned)
    found: dict[str, Offer] = {}
    unknown = dict.fromkeys(own.suite.unknown_operators)
    for bench in own.suite.benches:
        table = registry.implementations(bench.operator)
        for name in bench.implementations or sorted(table.names()):
            if name not in table:
                unknown[f"{bench.operator}/{name}"] = None
                continue
            for case in bench.cases:
                offer = make(bench.operator, table.get(name), case, True)
                found[offer.key] = offer
    for offer in make.besides(wanted):
        found.setdefault(offer.key, offer)
    return Offers(
        str(own.file),
        tuple(found.values()),
        tuple(unknown),
        tuple(turned.strays()),
        missing,
        own.error,
        own.absent,
        own.settings,
    )


def _place(registry: Registry, operator: str) -> tuple[str, ...]:
    """Module and file of an operator."""
    module = registry.operators.module(operator)
    file = getattr(sys.modules.get(module), "__file__", None)
    return (module,) if file is None else (module, file)


class _OfferMaker:
    def __init__(self, registry: Registry, device: Device, turned: Rerooting) -> None:
        self._registry, self._device, self._turned = registry, device, turned
        self._known: dict[str, tuple[str | None, str | None, str | None]] = {}

    def __call__(self, operator: str, made: Implementation, case: Case, listed: bool) -> Offer:
        if made.key not in self._known:
            missing = needs.missing(made, self._device)
            self._known[made.key] = missing, self._relative(made.source), fingerprint(made)
        missing, source, own_hash = self._known[made.key]
        contract: Any = self._registry.operators.get(operator)
        return Offer(
            operator,
            made.name,
            case.id,
            made.module,
            source,
            own_hash,
            missing or _refusal(made, case),
            case.values(),
            _figure(lambda: contract.operations(case)),
            _figure(lambda: contract.bytes_moved(case)),
            listed,
            made.compiled,
            _place(self._registry, operator),
            contents(case),
            line=made.line,
        )

    def besides(self, wanted: Wanted) -> Iterator[Offer]:
        """Of what the other arm's suite has, what this arm can offer."""
        for operator, name, case_id in wanted:
            if operator not in self._registry.operators or name not in self._registry.implementations(operator):
                continue
            try:
                case = self._registry.operators.get(operator).case_type.parse(case_id)
            except AttnlabError:  # this arm's contract has no such case
                continue
            yield self(operator, self._registry.implementations(operator).get(name), case, False)

    def _relative(self, source: str) -> str | None:
        """A file's path in the arm's checkout; None where it is not of the repository.

        What has no source, such as a `functools.partial`, is not known to be another's.
        """
        path = Path(source)
        if not path.is_file():
            return source
        own = self._turned.arm in path.parents and not {"site-packages", "dist-packages"} & set(path.parts)
        return str(path.relative_to(self._turned.arm)) if own else None


def present(plugins: tuple[str, ...], turned: Rerooting) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The plugins as this arm has them, and those that it lacks. Modules are looked for in the current folder too."""
    there, missing = [], []
    for plugin in plugins:
        is_file = plugin.endswith(".py") or "/" in plugin
        if not is_file and str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        place = turned.moved(plugin) if is_file else plugin
        if Path(place).is_file() if is_file else _importable(plugin):
            there.append(place)
        else:
            missing.append(plugin)
    sys.path_importer_cache.clear()
    return tuple(there), tuple(missing)


def _importable(module: str) -> bool:
    """Whether a module is there; what goes wrong within it is told when it is imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:
        return error.name is None or not (module == error.name or module.startswith(f"{error.name}."))
    except Exception:  # noqa: BLE001 - foreign code: a package that raises when it is imported is there
        return True


def described(inputs: Any) -> tuple[str, ...]:
    """Each tensor of a contract's inputs, such as `q bfloat16 [1, 8, 128, 64]`."""
    found = tensors(inputs).items()
    return tuple(f"{name} {str(x.dtype).removeprefix('torch.')} {list(x.shape)}" for name, x in found)


def _refusal(made: Implementation, case: Case) -> str | None:
    try:
        return made.supports(case)
    except Exception:  # noqa: BLE001 - foreign code; opening the case tells what it raises, with its traceback
        return None


def _figure(count: Callable[[], Any]) -> int | None:
    try:
        return int(count())
    except Exception:  # noqa: BLE001 - foreign code; opening the case tells what it raises, with its traceback
        return None
