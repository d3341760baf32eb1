"""The one registry: operators, implementations, metrics and reporters by name, and where they come from."""

from __future__ import annotations

import importlib
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.discovery import Folder, Table, import_all
from attnlab.bench.contract.meddling import Guard
from attnlab.bench.contract.plugins import load_entry_points, load_plugin
from attnlab.bench.contract.space import Configuration, Space, Value, label, variant
from attnlab.bench.contract.unfinished import unfinished_function
from attnlab.bench.errors import PluginError, UnknownName

if TYPE_CHECKING:
    from attnlab.bench.contract.metric import Metric
    from attnlab.bench.contract.operator_spec import Operator

T = TypeVar("T")
Served = tuple[str, ...] | Literal[True]
"""What an implementation serves of an opt-in axis beside its default."""
Around = Callable[[], AbstractContextManager[None]]

SUITES = Path(__file__).parents[1] / "suites"
OURS = "attnlab.impls"


@dataclass(frozen=True)
class Needs:
    """What an implementation needs of the machine; checked before anything of it runs.

    device: "cpu", "cuda" or None for either. capability: the least CUDA compute capability, and
    `capability_below` the first that is no longer served. packages: importable names.
    compiler: a C++ compiler and Python's headers.
    """

    device: str | None = None
    capability: tuple[int, int] | None = None
    capability_below: tuple[int, int] | None = None
    packages: tuple[str, ...] = ()
    compiler: bool = False


ANYWHERE = Needs()


@dataclass(frozen=True)
class Implementation:
    """One way to compute an operator.

    supports(case) -> None or the reason why not; prepare(case, inputs) -> state, timed as set-up;
    run(inputs, state) -> the outputs, timed. `untimed(device_kind)` gives the reason why a time
    would mean nothing here (an interpreter), `configuration(case)` what was chosen (tile sizes), and
    `unverified` names the release that an adapter was written from while it has never been run. memory_seen: whether
    what it takes comes from torch's allocator, which is where peak memory is read. meddles: what its module changed of
    the harness when it was imported, by name; it is measured only where that is nothing. built_from: what it is made of
    that its files do not import by name: implementations (`rope/triton`), modules or packages, files beside its own.
    rounds: what it rounds beyond what the contract asks for, by a name that the contract's check knows; it is judged by
    a yardstick that rounds the same, and is marked. static_output: whether calls on all inputs return one buffer. line:
    where in its source what is timed begins. space: what it can be given to choose from; its prepare then has a third
    argument. variant_of, chosen: of one that was given a configuration, the name of the other and the configuration.
    live(case, weights) -> a `LiveEngine`, which a server answers with; None where it has none.
    """

    operator: str
    name: str
    summary: str
    module: str
    source: str
    needs: Needs
    supports: Callable[[Any], str | None]
    prepare: Callable[[Any, Any], Any]
    run: Callable[[Any, Any], Any]
    untimed: Callable[[str], str | None]
    configuration: Callable[[Any], str | None]
    compiled: bool = False
    unverified: str | None = None
    memory_seen: bool = True
    built_from: tuple[str, ...] = ()
    meddles: tuple[str, ...] = ()
    rounds: str | None = None
    static_output: bool = False
    line: int | None = None
    space: Space | None = None
    variant_of: str | None = None
    chosen: tuple[tuple[str, Value], ...] | None = None
    live: Callable[[Any, Any], Any] | None = None

    @property
    def key(self) -> str:
        return f"{self.operator}/{self.name}"

    def configured(self, chosen: Configuration) -> Implementation:
        """The same with this configuration, under a name of its own; for one that has a search space."""
        return replace(
            self,
            name=variant(self.name, chosen),
            variant_of=self.name,
            chosen=tuple(chosen.items()),
            prepare=partial(_prepare_as, self.prepare, dict(chosen)),
            configuration=partial(_told, label(chosen)),
        )


class Registry:
    """All that was registered in this process."""

    def __init__(self) -> None:
        self.operators: Table[Operator[Any, Any]] = Table("operator")
        self.metrics: Table[Metric] = Table("metric", lambda metric: getattr(metric, "rank", None))
        self.suites: Table[Path] = Table("suite")
        self._implementations: dict[str, Table[Implementation]] = {}

    def implementations(self, operator: str) -> Table[Implementation]:
        """The implementations of an operator; raises UnknownName where there is no such operator."""
        self.operators.get(operator)
        return self._implementations.setdefault(operator, Table(f"implementation of {operator}"))

    def all_implementations(self) -> list[Implementation]:
        """Those of every operator, of unknown ones too."""
        return [made for table in self._implementations.values() for made in table]

    def count(self) -> int:
        """How many things are registered in all, with what plugins put into the tables of reporters and profilers."""
        tables = (self.operators, self.metrics, self.suites)
        own = sum(len(table.names()) for table in tables) + len(self.all_implementations())
        return own + len(Folder.of_plugins)

    def add_implementation(self, made: Implementation) -> None:
        table = self._implementations.setdefault(made.operator, Table(f"implementation of {made.operator}"))
        table.add(made.name, made, made.module)

    def with_implementations(self, made: Iterable[Implementation]) -> Registry:
        """One that has these besides, in a table of their own; all else is what this one has.

        What is there already stays as it is.
        """
        other = Registry()
        other.operators, other.metrics, other.suites = self.operators, self.metrics, self.suites
        other._implementations = {name: copy(table) for name, table in self._implementations.items()}
        for one in made:
            if one.name not in other.implementations(one.operator):
                other.add_implementation(one)
        return other

    @contextmanager
    def watched(self) -> Iterator[None]:
        """What the code inside changes of the harness is put back, and held against what it registers."""
        known = {made.key for made in self.all_implementations()}
        guard = Guard()
        try:
            yield
        finally:
            names = guard.restore()
            for made in self.all_implementations() if names else ():
                if made.key not in known:
                    self._implementations[made.operator].replace(made.name, replace(made, meddles=names))

    def remove_implementation(self, operator: str, name: str) -> None:
        """For tests and notebooks that register the same name again."""
        self._implementations.get(operator, Table[Implementation]("")).discard(name)


registry = Registry()


def _run_function(function: Callable[[Any], Any], inputs: Any, state: Any) -> Any:
    return function(inputs)


def _nothing(*_: Any) -> None:
    return None


def _prepare_as(prepare: Callable[..., Any], chosen: Configuration, case: Any, inputs: Any) -> Any:
    return prepare(case, inputs, chosen)


def _told(text: str, case: Any) -> str:
    return text


def _check_space(space: Any, target: Any, built: Any, operator: str, name: str) -> None:
    """Raises PluginError where a search space is declared of what cannot be given a configuration."""
    if space is None:
        return
    try:
        fits = inspect.isclass(target) and isinstance(space, Space)
        inspect.signature(built.prepare).bind("case", "inputs", "chosen")
    except (AttributeError, TypeError, ValueError):
        fits = False
    if not fits:
        raise PluginError(
            f"implementation {name!r} of {operator} has a search space; expected space=Space(…) and a class whose "
            "prepare(case, inputs, chosen=None) takes a configuration"
        )


def _check_declared(operator: Any, name: Any, rounds: Any, static_output: Any) -> None:
    """Raises PluginError where what a plugin declares is of the wrong kind."""
    if not isinstance(operator, str):
        raise PluginError(f"implementation {ascii(name)[:80]}: got operator {ascii(operator)[:80]}, expected a name")
    if not (rounds is None or isinstance(rounds, str)) or not isinstance(static_output, bool):
        raise PluginError(
            f"implementation {ascii(name)[:80]}: got rounds={ascii(rounds)[:40]}, static_output="
            f"{ascii(static_output)[:40]}; expected a name or None, and True or False"
        )


def _checked_serves(serves: Any, operator: str, name: str) -> Mapping[str, Served]:
    """Raises PluginError where what is served of opt-in axes is not said as it is to be."""
    if isinstance(serves, Mapping) and all(
        isinstance(axis, str)
        and (served is True or (isinstance(served, (tuple, list)) and all(isinstance(x, str) for x in served)))
        for axis, served in serves.items()
    ):
        return serves
    raise PluginError(
        f"implementation {ascii(name)[:80]} of {operator}: got serves={ascii(serves)[:80]}; expected axes with a tuple "
        f'of names each, such as {{"format": ("int8",)}}, or True'
    )


def _supports(serves: Mapping[str, Served], own: Callable[[Any], str | None], case: Any) -> str | None:
    """Why a case is not served: by what is served of opt-in axes, then by what the implementation itself says."""
    opted = case.opted() if isinstance(case, Case) else {}
    for axis, (value, usual) in opted.items():
        served = serves.get(axis, ())
        if served is not True and value not in served and value.partition(":")[0] not in served:
            return f"{axis} {value} is not served: {', '.join((usual, *served))} only"
    return own(case)


def _run_of(target: Any, built: Any, operator: str, name: str) -> Callable[[Any, Any], Any]:
    """The timed call `run(inputs, state)` of a class, made into `built`, or of a function `run(inputs)`.

    Raises PluginError on a class without it.
    """
    if not inspect.isclass(target):
        return partial(_run_function, built)
    if not callable(getattr(built, "run", None)):
        raise PluginError(
            f"implementation {name!r} of {operator} is class {target.__qualname__} without "
            "run(inputs, state); add it, or decorate a function run(inputs)"
        )
    run: Callable[[Any, Any], Any] = built.run
    return run


METHODS = ("run", "prepare", "supports", "untimed", "configuration", "live")


def _refuse_unfinished(target: Any, built: Any, operator: str, name: str) -> None:
    """Raises PluginError where a call of one of its methods would return before its work is done."""
    methods = {f"{method} ": getattr(built, method, None) for method in METHODS}
    for method, function in methods.items() if inspect.isclass(target) else (("", built),):
        unfinished = unfinished_function(function)
        if unfinished is not None:
            raise PluginError(f"implementation {name!r} of {operator}: {method}{unfinished}")


def implements(
    operator: str,
    *,
    name: str,
    needs: Needs = ANYWHERE,
    unverified: str | None = None,
    compiled: bool = False,
    memory_seen: bool = True,
    built_from: tuple[str, ...] = (),
    rounds: str | None = None,
    static_output: bool = False,
    space: Space | None = None,
    serves: Mapping[str, Served] | None = None,
    into: Registry | None = None,
) -> Callable[[T], T]:
    """Register an implementation: a function `run(inputs)`, or a class that has

    run(inputs, state)       the timed call; returns the output tensor, or a tuple of them
    prepare(case, inputs)    optional: set-up, timed apart; its result is `state`
    supports(case)           optional: None, or the reason why this case cannot be served
    untimed(device_kind)     optional: the reason why a time would mean nothing on "cpu" or "cuda"
    configuration(case)      optional: a short text of what was chosen, such as tile sizes
    live(case, weights)      optional, of `generate`: an engine that a server answers with, see `LiveEngine`
    built_from, serves       optional: as the arguments, which go before them

    `serves` names what it serves of an operator's opt-in axes beside their defaults, `{"format": ("int8", "nf4")}`,
    where `"relative"` stands for every `relative:N`, or True where it serves all: other such cases are refused for
    it before anything of it runs. `compiled` says that it runs through torch.compile; `memory_seen=False` that it
    takes its memory from elsewhere than torch, so that no peak is given; `built_from` what it is made of that its
    files do not import by name, such as `("rope/triton", "mypackage.tables")`: the fingerprint changes with it.
    `rounds` declares a rounding beyond the contract's that the operator's check knows ("scores": attention whose
    scores are rounded to the dtype, as transformers' eager attention has it); `static_output=True` that all calls
    return one buffer, as replays of a CUDA graph do. Both are shown beside its figures. `space` names the
    configurations that `attnlab tune` searches: prepare is then `prepare(case, inputs, chosen=None)`, with one of
    them where it is not to choose. Raises DuplicateName where the operator has an implementation of that name
    already, and PluginError on a class without `run`.
    """

    def register(target: T) -> T:
        made = implementation_of(
            target,
            operator,
            name,
            sys._getframe(1).f_code.co_filename,
            needs=needs,
            unverified=unverified,
            compiled=compiled,
            memory_seen=memory_seen,
            built_from=built_from,
            rounds=rounds,
            static_output=static_output,
            space=space,
            serves=serves,
        )
        (into or registry).add_implementation(made)
        return target

    return register


def implementation_of(
    target: Any,
    operator: str,
    name: str,
    offered_in: str,
    built_from: tuple[str, ...] = (),
    serves: Mapping[str, Served] | None = None,
    **declared: Any,
) -> Implementation:
    """What `implements` registers of a function or class; offered_in: the file of whoever offers it.

    Raises PluginError where it can be none.
    """
    _check_declared(operator, name, declared.get("rounds"), declared.get("static_output", False))
    built: Any = target() if inspect.isclass(target) else target
    _refuse_unfinished(target, built, operator, name)
    _check_space(declared.get("space"), target, built, operator, name)
    module = getattr(target, "__module__", "?")
    source = _source_file(target, module, offered_in)
    return Implementation(
        operator=operator,
        name=name,
        summary=(inspect.getdoc(target) or "").partition("\n")[0],
        module=module,
        source=source,
        line=_line_in(source, target),
        supports=partial(
            _supports,
            _checked_serves(getattr(built, "serves", {}) if serves is None else serves, operator, name),
            getattr(built, "supports", _nothing),
        ),
        prepare=getattr(built, "prepare", _nothing),
        run=_run_of(target, built, operator, name),
        untimed=getattr(built, "untimed", _nothing),
        configuration=getattr(built, "configuration", _nothing),
        live=getattr(built, "live", None),
        built_from=built_from or tuple(getattr(built, "built_from", ())),
        **{"needs": ANYWHERE, **declared},
    )


def _line_in(source: str, target: Any) -> int | None:
    """The line at which a function, or the `run` of a class, begins; None where it is written elsewhere."""
    timed: Any = getattr(target, "run", None) if inspect.isclass(target) else target
    made = getattr(inspect.unwrap(timed), "__code__", None)
    return made.co_firstlineno if made is not None and made.co_filename == source else None


def _source_file(target: Any, module: str, registering: str) -> str:
    """The file that `target` is written in, behind its decorators; that which registers it where a library wrote it.

    Either way it is the file of whoever offers it: `torch.no_grad` around a function does not make it torch's.
    """
    written = None
    with suppress(TypeError, ValueError):
        written = inspect.getsourcefile(inspect.unwrap(target))
    own = (file for file in (written, registering) if file and Path(file).is_file() and not _of_a_library(Path(file)))
    return next(own, written or module)


def _of_a_library(file: Path) -> bool:
    installed = {"site-packages", "dist-packages"} & set(file.parts)
    return bool(installed) or Path(sysconfig.get_path("stdlib")) in file.parents


def discover_one(operator: str, name: str, module: str, plugins: tuple[str, ...] = ()) -> Implementation:
    """One implementation, importing nothing but operators and its own module where that is ours.

    Importing all adapters costs a worker seconds, and each is one more that could disturb it.
    """
    if module.startswith(f"{OURS}."):
        import_operators()
        with registry.watched():
            importlib.import_module(module)
        if operator in registry.operators and name in registry.implementations(operator):
            return registry.implementations(operator).get(name)
    return discover(plugins).implementations(operator).get(name)


def discover_some(modules: Iterable[str], plugins: tuple[str, ...] = ()) -> Registry:
    """As `discover`, but of our own implementations only those in these modules: the others cost seconds."""
    _register_suites()
    ours = [name for name in dict.fromkeys(modules) if name.startswith(f"{OURS}.")]
    import_operators()
    for name in ours:
        importlib.import_module(name)
    return _with_others(plugins)


def import_operators() -> None:
    """Our operators, which every process that has to do with cases knows."""
    import_all("attnlab.bench.ops", below=True)


def discover(plugins: tuple[str, ...] = (), around: Around = nullcontext) -> Registry:
    """Import our operators, metrics and implementations, those of installed entry points, and `plugins`.

    A plugin is a module's name or a path to a Python file. Importing twice registers nothing twice. Others' modules are
    imported inside `around`. Raises PluginError, or DuplicateName where a plugin takes a name that is taken.
    """
    _register_suites()
    for package in ("attnlab.bench.ops", "attnlab.bench.analysis.metrics", OURS):
        import_all(package, below=True)
    with around():
        return _with_others(plugins)


def _register_suites() -> None:
    for path in sorted(SUITES.glob("*.toml")):
        if path.stem not in registry.suites:
            registry.suites.add(path.stem, path, "attnlab.bench.suites")


def _with_others(plugins: tuple[str, ...]) -> Registry:
    """The registry with what installed packages and plugins bring."""
    load_entry_points(registry)
    for plugin in plugins:
        load_plugin(plugin, registry)
    for made in registry.all_implementations():
        if made.operator not in registry.operators:
            unknown = UnknownName("operator", made.operator, registry.operators.names())
            raise PluginError(f"implementation {made.name!r} in {made.module}: {unknown}")
    return registry
