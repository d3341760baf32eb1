"""The recipes of CONTRIBUTING, carried out: one toy file is put into its kind's folder, and nothing else is edited.

The folder is one more of the package's path, so that the repository stays as it is.
"""

from __future__ import annotations

import importlib
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest
import torch

from attnlab.bench import cli
from attnlab.bench.contract.discovery import Folder
from attnlab.bench.contract.registry import discover_one, registry
from attnlab.bench.machine import clocks
from attnlab.bench.measuring.timing import Effort, time_calls
from attnlab.bench.ops.gelu import GELU
from attnlab.bench.store.machine import Ceilings, Device
from tests.helpers.histories import environment

Put = Callable[[str, str], None]
CliList = Callable[[], dict[str, str]]
PREFIX = "toy_"


@pytest.fixture
def cli_list(capsys: pytest.CaptureFixture[str]) -> CliList:
    """What `attnlab list` says of each thing by name."""

    def listed() -> dict[str, str]:
        assert cli.main(["list", "--json"]) == 0
        return {entry["name"]: entry["summary"] for entry in json.loads(capsys.readouterr().out)}

    return listed


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """put(path, text) puts a file at a path of the repository, such as `bench/analysis/metrics/toy_metric.py`."""
    before = set(sys.modules)

    def put_file(path: str, text: str) -> None:
        assert Path(path).name.startswith(PREFIX)
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
        folder = file.parent if path.startswith("bench/") else tmp_path / "impls"
        package = importlib.import_module(".".join(("attnlab", *folder.relative_to(tmp_path).parts)))
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        importlib.invalidate_caches()

    yield put_file
    for name in set(sys.modules) - before:
        if name.rpartition(".")[2].startswith(PREFIX):
            del sys.modules[name]


def test_an_operator_and_its_implementation(put: Put, cli_list: CliList) -> None:
    put(
        "bench/ops/toy_operator.py",
        """
        from dataclasses import replace

        from attnlab.bench.ops.gelu import GELU
        from attnlab.bench.contract.registry import registry

        registry.operators.add("toy_operator", replace(GELU, name="toy_operator"), __name__)
        """,
    )
    put(
        "impls/toy_operator/toy_eager.py",
        '''
        from attnlab.bench import implements


        @implements("toy_operator", name="toy_eager")
        def toy_eager(inputs):
            """A toy."""
            return inputs.x
        ''',
    )
    try:
        found = cli_list()
        assert found["toy_operator"] == GELU.summary
        assert found["toy_operator/toy_eager"] == "A toy."
    finally:
        registry.operators.discard("toy_operator")
        registry.remove_implementation("toy_operator", "toy_eager")


def test_an_implementation_of_an_operator_that_is_there(put: Put, cli_list: CliList) -> None:
    """A worker finds it by its module, without importing the others."""
    put(
        "impls/gelu/toy_gelu.py",
        '''
        from attnlab.bench import implements


        @implements("gelu", name="toy_gelu")
        class ToyGelu:
            """A toy."""

            def run(self, inputs, state):
                return inputs.x
        ''',
    )
    try:
        assert discover_one("gelu", "toy_gelu", "attnlab.impls.gelu.toy_gelu").summary == "A toy."
        assert cli_list()["gelu/toy_gelu"] == "A toy."
    finally:
        registry.remove_implementation("gelu", "toy_gelu")


def test_a_metric(put: Put, cli_list: CliList) -> None:
    from attnlab.bench.analysis.metrics import known_metrics

    put(
        "bench/analysis/metrics/toy_metric.py",
        """
        from attnlab.bench.analysis.metrics import Metric
        from attnlab.bench.contract.registry import registry

        METRIC = Metric("toy_metric", "toy", "", "higher", "A toy.", "1", lambda row: 1.0, rank=-1)
        registry.metrics.add(METRIC.name, METRIC, __name__)
        """,
    )
    try:
        assert known_metrics()[0].name == "toy_metric"
        assert cli_list()["toy_metric"] == "A toy."
    finally:
        registry.metrics.discard("toy_metric")


def test_a_layout_and_a_format_of_the_cache(put: Put) -> None:
    from attnlab.bench.llm.caches import format_of, known_formats, known_layouts, layout_of
    from attnlab.bench.llm.caches.coding import FORMATS
    from attnlab.bench.llm.caches.layout import LAYOUTS

    put(
        "bench/llm/caches/layouts/toy_layout.py",
        """
        from attnlab.bench.llm.caches.layout import HSD, LayoutFamily, Layout

        LAYOUT = LayoutFamily("toy_layout", "a toy", lambda _: Layout("toy_layout", HSD))
        """,
    )
    put(
        "bench/llm/caches/formats/toy_format.py",
        """
        from attnlab.bench.llm.caches.coding import Format
        from attnlab.bench.llm.caches.formats.same import Same

        FORMAT = Format("toy_format", "a toy", Same(), Same())
        """,
    )
    try:
        assert layout_of("toy_layout").name == "toy_layout"
        assert format_of("toy_format").group == 1
        assert "toy_layout" in known_layouts()
        assert "toy_format" in known_formats()
    finally:
        LAYOUTS.discard("toy_layout")
        FORMATS.discard("toy_format")


def test_a_reporter(put: Put, tmp_path: Path) -> None:
    from attnlab.bench.reporters import REPORTERS, write_report

    put(
        "bench/reporters/toy_reporter.py",
        """
        class ToyReporter:
            name, suffix = "toy_reporter", ".toy"

            def write(self, report, folder):
                path = folder / f"report{self.suffix}"
                path.write_text("a toy")
                return [path]


        REPORTER = ToyReporter()
        """,
    )
    try:
        (path,) = write_report([], tmp_path / "report", ["toy_reporter"])
        assert path.read_text() == "a toy"
        assert "toy_reporter" in REPORTERS.names()
    finally:
        REPORTERS.discard("toy_reporter")


def test_a_reader_of_another_tools_files(put: Put, tmp_path: Path) -> None:
    from attnlab.bench.exchange.importing import import_file
    from attnlab.bench.exchange.readers import READERS
    from attnlab.bench.store.run_folder import read_run

    put(
        "bench/exchange/readers/toy_reader.py",
        """
        from attnlab.bench.exchange.foreign import (
            Collected, Contents, nanoseconds, timed, unchecked, unknown_environment
        )


        class ToyReader:
            name, summary = "toy-reader", "a toy's times"

            def fits(self, data):
                return isinstance(data, dict) and "toys" in data

            def read(self, data, path):
                found = Collected()
                for name, us in data["toys"].items():
                    found.gather(name, lambda: [
                        unchecked("toy:toys", name, {}, **timed("toy", [nanoseconds(us, "us", "time")]))
                    ])
                return Contents("1", None, unknown_environment(), tuple(found.measurements), tuple(found.left_out))


        READER = ToyReader()
        """,
    )
    (tmp_path / "toys.json").write_text('{"toys": {"ball": 3, "kite": -1}}')
    try:
        done = import_file(tmp_path / "toys.json", tmp_path / "results")
        assert [m.median_ns for m in read_run(done.folder).measurements] == [3000.0]
        assert done.left_out == ("kite: got time -1 us, expected a time above zero",)
    finally:
        READERS.discard("toy-reader")


def test_a_writer_for_another_tool(put: Put, tmp_path: Path) -> None:
    from attnlab.bench.exchange.writers import WRITERS, export

    put(
        "bench/exchange/writers/toy_writer.py",
        """
        class ToyWriter:
            name, suffix, summary = "toy-writer", ".toy", "a toy"

            def write(self, runs, path, samples):
                path.write_text("a toy")
                return f"{len(runs)} toys"


        WRITER = ToyWriter()
        """,
    )
    try:
        assert export([], "toy-writer", tmp_path / "out.toy") == "0 toys"
        assert (tmp_path / "out.toy").read_text() == "a toy"
    finally:
        WRITERS.discard("toy-writer")


def test_a_format_of_the_gates_verdicts(put: Put) -> None:
    from attnlab.bench.gate.outputs import OUTPUTS

    put(
        "bench/gate/outputs/toy_output.py",
        """
        class ToyOutput:
            name = "toy_output"

            def files(self, report, samples):
                return {"gate.toy": "a toy"}


        OUTPUT = ToyOutput()
        """,
    )
    try:
        assert [output.name for output in OUTPUTS][-1] == "toy_output"
    finally:
        OUTPUTS.discard("toy_output")


def test_a_quantity_that_the_gate_judges(put: Put) -> None:
    from attnlab.bench.gate import quantities as package
    from attnlab.bench.gate.thresholds import Thresholds

    put(
        "bench/gate/quantities/toy_quantity.py",
        """
        from attnlab.bench.gate.quantities import Quantity

        QUANTITIES = (Quantity("toy_quantity", "toy", "B", lambda sample: 1.0, 0.5, 1.0),)
        """,
    )
    package.quantities.cache_clear()
    try:
        assert "toy_quantity" in Thresholds(0.03).targets_of("a/b[c]")
    finally:
        package._TABLE.discard("toy_quantity")
        package.quantities.cache_clear()


def test_a_study(put: Put) -> None:
    from attnlab.bench.reporters.model.studies import MAKERS, studies

    put(
        "bench/reporters/model/studies/toy_study.py",
        """
        from attnlab.bench.reporters.model.studies import Study

        OPERATOR = "toy_operator"


        def make(results):
            return Study("a toy", (), (), ())
        """,
    )
    try:
        assert [study.title for study in studies("toy_operator", [])] == ["a toy"]
    finally:
        MAKERS.discard("toy_study")


def test_a_sub_command(put: Put, capsys: pytest.CaptureFixture[str]) -> None:
    put(
        "bench/cli/toy_command.py",
        '''
        """Say that it is a toy."""


        def add_arguments(parser):
            parser.add_argument("--often", type=int, default=1)


        def execute(options):
            print("a toy " * options.often)
            return 0
        ''',
    )
    try:
        assert cli.main(["toy_command", "--often", "2"]) == 0
        assert "a toy a toy" in capsys.readouterr().out
        with pytest.raises(SystemExit):
            cli.main(["--help"])
        assert "Say that it is a toy." in capsys.readouterr().out
    finally:
        cli.COMMANDS.discard("toy_command")


@pytest.mark.parametrize(("device", "arguments"), [("cpu", ""), ("cuda", "gpu, cache, writing")])
def test_a_clock(device: str, arguments: str, put: Put, fake_gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is preferred to all others where its rank is the least. The table is as it is in a process that begins."""
    monkeypatch.setattr(clocks, "CLOCKS", Folder("clock", clocks.__name__, "CLOCK"))
    put(
        f"bench/machine/clocks/toy_{device}_clock.py",
        f"""
        from attnlab.bench.machine.clocks import ClockKind, now
        from attnlab.bench.machine.clocks.host import HostTimer


        class ToyClock:
            name = "toy_clock"

            def start(self, calls, bytes_a_call, plan=None):
                return HostTimer(self.name, now.perf_counter_ns, calls)


        CLOCK = ClockKind("toy_clock", "{device}", 0, lambda {arguments}: ToyClock())
        """,
    )
    cpu = torch.device("cpu")
    found = clocks.clocks_for(cpu) if device == "cpu" else clocks.cuda_clocks(fake_gpu.FakeGpu())
    assert [clock.name for clock in found][:2] == ["toy_clock", "wall" if device == "cpu" else "cuda_graph"]
    assert clocks.copies_wanted(found, lambda: None, 0) == 2
    assert time_calls([lambda: None], found[:1], Effort(0.01, 0.01, 0.5)).record.clock == "toy_clock"


def test_a_profiler(put: Put, tmp_path: Path) -> None:
    from attnlab.bench.profilers import PROFILERS, in_order
    from attnlab.bench.profilers.profiled_call import ProfiledCall

    put(
        "bench/profilers/toy_profiler.py",
        """
        from attnlab.bench.profilers import Profiler
        from attnlab.bench.profilers.record import FUNCTION, CallPart, ToolRecord


        def profile(call, folder):
            call.make(3)
            return ToolRecord("toy_profiler", 3, (CallPart(call.name, FUNCTION, 1.0),))


        PROFILER = Profiler("toy_profiler", "a toy", lambda call: None, profile, rank=0)
        """,
    )
    made = []
    try:
        assert next(profiler.name for profiler in in_order()) == "toy_profiler"
        call = ProfiledCall("f", torch.device("cpu"), (lambda: made.append(1),))
        assert PROFILERS.get("toy_profiler").missing(call) is None
        record = PROFILERS.get("toy_profiler").profile(call, tmp_path)
        assert (record.calls, len(made), record.parts[0].name, record.empty) == (3, 3, "f", False)
    finally:
        PROFILERS.discard("toy_profiler")


def test_an_inspection_by_the_doctor(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the least rank of all it is asked first."""
    from attnlab.bench import doctor

    monkeypatch.setattr(doctor, "INSPECTIONS", Folder("inspection", doctor.__name__, "INSPECTIONS"))
    put(
        "bench/doctor/toy_inspection.py",
        """
        from attnlab.bench.doctor.finding import Finding, Inspection


        def toy_inspection(patient):
            yield Finding("toy", f"on {patient.environment.device.name}")


        INSPECTIONS = (Inspection(-1, toy_inspection),)
        """,
    )
    here = environment(device=Device("cpu", "processor"))
    ceilings = Ceilings("processor", 1, None, {}, None, 0.0)
    findings = doctor.examine(doctor.Patient(here, ceilings, (), lambda: None))
    assert [(found.name, found.value) for found in itertools.islice(findings, 2)] == [
        ("device", "processor"),
        ("toy", "on processor"),
    ]
