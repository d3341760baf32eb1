"""A failed check is kept without a pickle, tells what is wrong first, and is made again in one process."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attnlab.bench.cli import main
from attnlab.bench.contract.error_budget import BudgetExpectation, Scale
from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.contract.wrong import Wrong, first_wrong
from attnlab.bench.errors import StoreError
from attnlab.bench.llm.models.reference import reference_greedy
from attnlab.bench.measuring.failures import record
from attnlab.bench.measuring.failures.record import Failure, read, read_tensors
from attnlab.bench.ops.attention.contract import ATTENTION
from attnlab.bench.ops.generate.answers import Answers, answer_logits, logs_of
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.bench.store.records import Outcome

CPU = torch.device("cpu")
FAILURE = Failure("toy", "off", "N8", "cpu", Outcome.WRONG_VALUES, "out is off", 0)
PLUGIN = """
from attnlab.bench import implements
import torch

@implements("toy", name="off")
def off(inputs):
    \"\"\"Its sixth number is off.\"\"\"
    out = inputs.x * 2
    out[5] += 1
    return out

@implements("toy", name="raises")
def raises(inputs):
    \"\"\"Raises.\"\"\"
    raise RuntimeError("no such tile")

@implements("toy", name="same_again")
class SameAgain:
    \"\"\"Keeps the result of its first call.\"\"\"

    def prepare(self, case, inputs):
        return inputs.x * 2

    def run(self, inputs, state):
        return state.clone()
"""
TENSORS = {
    "inputs/q": torch.randn(2, 3).bfloat16(),
    "inputs/codes": torch.arange(6, dtype=torch.uint8).view(torch.float8_e4m3fn).view(2, 3),
    "inputs/empty": torch.empty(0, 4),
    "inputs/one": torch.tensor(3.5),
    "outputs/mask": torch.tensor([True, False]),
}


def test_tensors_of_every_kind_come_back_to_the_bit(tmp_path: Path) -> None:
    kept = record.write(tmp_path / "a", FAILURE, TENSORS)
    assert read(tmp_path / "a") == kept
    found = read_tensors(tmp_path / "a", kept)
    assert found.keys() == TENSORS.keys()
    for name, x in TENSORS.items():
        assert (found[name].dtype, found[name].shape) == (x.dtype, x.shape)
        assert found[name].reshape(-1).view(torch.uint8).tolist() == x.reshape(-1).view(torch.uint8).tolist()


def test_what_is_too_large_is_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MOST_BYTES", 10)
    kept = record.write(tmp_path / "a", FAILURE, {"inputs/x": torch.zeros(8)})
    assert "32.0 B of one failure are more than the 10.0 B that are kept" in (kept.omitted or "")
    assert not (tmp_path / "a" / record.TENSORS_FILE).exists()
    monkeypatch.setattr(record, "MOST_BYTES", 10_000)
    monkeypatch.setattr(record, "MOST_BYTES_OF_ALL", 40)
    assert record.write(tmp_path / "b", FAILURE, {"inputs/x": torch.zeros(8)}).omitted is None
    assert "all failures of a run" in (
        record.write(tmp_path / "c", FAILURE, {"inputs/x": torch.zeros(8)}).omitted or ""
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def pickled(path: Path) -> None:
    import numpy as np

    np.savez(path, **{"inputs/x": np.array([{"a": 1}], dtype=object)}, allow_pickle=True)


@pytest.mark.parametrize("harm", [cut, pickled, Path.unlink, lambda path: path.write_bytes(b"")])
def test_damaged_tensors_are_told(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    kept = record.write(tmp_path / "a", FAILURE, {"inputs/x": torch.zeros(8)})
    harm(tmp_path / "a" / record.TENSORS_FILE)
    with pytest.raises(StoreError, match=r"tensors\.npz cannot be read: .*run again with --keep-failures"):
        read_tensors(tmp_path / "a", kept)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"operator": "toy"}', "lacks: implementation"),
        (None, "holds no failure.json; expected a folder that --keep-failures wrote"),
    ],
)
def test_a_folder_that_is_none_is_told(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / "failure.json").write_text(text)
    with pytest.raises(StoreError, match=says):
        read(tmp_path)


def test_a_later_version_is_told(tmp_path: Path) -> None:
    record.write(tmp_path / "a", replace(FAILURE, failure_version=2), {})
    with pytest.raises(StoreError, match="version 2; this attnlab reads up to 1"):
        read(tmp_path / "a")


def test_the_first_wrong_element_is_named_in_the_whole_output() -> None:
    """Of a part that is compared, its place in the whole."""
    rows, want = torch.tensor([0, 7, 9]), torch.ones(3, 4, dtype=torch.float64)
    expectation = BudgetExpectation(
        names=("out",),
        select=lambda outputs, sample: tuple(out.index_select(0, sample) for out in outputs),
        sample=rows,
        expected=(want,),
        scales=(Scale(1.0, torch.ones(3, 4), torch.zeros(())),),
        allowed=((0.1, 0.2),),
    )
    out = torch.ones(10, 4)
    assert first_wrong(expectation, (out,), ("out",)) is None
    out[3, 0] = 5.0  # not compared
    out[7, 2], out[9, 0] = 2.0, 3.0
    assert first_wrong(expectation, (out,), ("out",)) == Wrong("out", (7,), 2, (1.0, 1.0), (2.0, 1.0), 1.0, 0.2)
    many = torch.full((10, 4), 1.15)  # each is within what one element may have, and all together are not
    found = first_wrong(expectation, (many,), ("out",))
    assert found is not None
    assert found.place == "out[0, 0]"


def test_the_first_token_off_the_references_is_named() -> None:
    case = GenerateCase.parse("toy-random-P4-N3-fp32")
    inputs = GENERATE.make_inputs(case, NORMAL_DRAW, 0, CPU)
    tokens = reference_greedy(inputs.weights, inputs.prompts, 3)
    expectation = Answers(case, lambda: inputs.weights, inputs.prompts, tokens, noise=1e-4, ties=0.0)
    assert first_wrong(expectation, (tokens,), ("tokens",)) is None
    right = logs_of(answer_logits(inputs.weights, inputs.prompts[0], tokens[0]), tokens[0])
    logs = right[None] + torch.tensor([[0.0, 0.0, 0.5]])
    told = replace(expectation, logs_rms=1e-3, logs_largest=1e-2)
    found = first_wrong(told, (tokens, logs.float()), ("tokens", "logs"), ("logs",))
    assert found is not None
    assert found.place == "logs[0, 2]"
    assert first_wrong(told, (tokens, torch.full((1, 3), float("nan"))), ("tokens", "logs"), ("logs",)) is None
    off = tokens.clone()
    off[0, 1] = (off[0, 1] + 1) % 512
    found = first_wrong(expectation, (off,), ("tokens",))
    assert found is not None
    assert (found.place, found.expected[0], found.got[0]) == ("tokens[0, 1]", float(tokens[0, 1]), float(off[0, 1]))


def test_what_is_not_finite_is_wrong_first() -> None:
    case = ATTENTION.case_type.parse("Hq2-Hkv1-Sq8-D8-fp32")
    inputs = ATTENTION.make_inputs(case, NORMAL_DRAW, 0, CPU)
    out = torch.zeros(1, 2, 8, 8)
    out[0, 1, 3, 2] = float("nan")
    found = first_wrong(ATTENTION.check.expect(case, inputs), (out,), ("out",))
    assert found is not None
    assert found.place == "out[0, 1, 3, 2]"


@pytest.fixture(scope="module")
def kept(attnlab, helpers: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """A run whose failures are kept: its folder, and what it said."""
    cwd = tmp_path_factory.mktemp("home")
    (cwd / "mine.py").write_text(PLUGIN)
    ended = attnlab(
        "run",
        "toy",
        "--plugin",
        helpers / "toy_operator.py",
        "--plugin",
        "mine.py",
        "--impl",
        "off,raises,same_again",
        "--quick",
        "--keep-failures",
        cwd=cwd,
    )
    (run,) = (cwd / "results").iterdir()
    return run, ended


def test_each_failure_of_a_run_has_a_folder_and_a_command(kept) -> None:
    run, ended = kept
    assert ended.returncode == 1
    folders = {read(folder).implementation: folder for folder in (run / "failures").iterdir()}
    assert folders.keys() == {"off", "raises", "same_again"}
    assert "make it again by: attnlab check results/" in ended.stderr
    assert "--plugin mine.py" in ended.stderr
    off = read(folders["off"])
    assert off.wrong is not None
    assert (off.outcome, off.wrong.place) == (Outcome.WRONG_VALUES, "out[5]")
    assert {"inputs/x", "outputs/out", "expected/0"} == off.tensors.keys()
    assert read(folders["raises"]).reason == "RuntimeError: no such tile"


@pytest.mark.usefixtures("plugins_forgotten")
def test_a_kept_check_is_made_again(
    kept, helpers: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = kept
    monkeypatch.setattr("attnlab.bench.contract.plugins.try_out", lambda plugins: None)  # the run has tried them
    mine = run.parents[1] / "mine.py"
    plugins = ["--plugin", str(helpers / "toy_operator.py"), "--plugin", str(mine)]
    folders = {read(folder).implementation: folder for folder in (run / "failures").iterdir()}
    assert main(["check", str(run), *plugins, "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert "toy/off N8: wrong_values" in said.out
    assert "first wrong: out[5]" in said.out
    assert "the kept output came again: to the bit" in said.out
    assert "toy/same_again N8: wrong_values" in said.out
    assert "toy/raises N8: raised RuntimeError: no such tile" in said.out
    assert "in raises" in said.err, "its traceback"
    assert main(["check", "toy", "--impl", "plus,off", *plugins, "--device", "cpu", "--json"]) == 1
    found = {one["implementation"]: one for one in json.loads(capsys.readouterr().out)}
    assert (found["plus"]["outcome"], found["off"]["wrong"]["first"]) == ("passed", 5)
    assert main(["check", "toy", "--impl", "plus", *plugins, "--device", "cpu"]) == 0
    assert main(["check", str(folders["off"]), "--impl", "plus", *plugins]) == 2
    assert "which has its own; leave them out" in capsys.readouterr().err
    changed = json.loads((folders["off"] / "failure.json").read_text())
    (folders["off"] / "failure.json").write_text(json.dumps({**changed, "case_id": "M8"}))
    assert main(["check", str(folders["off"]), *plugins]) == 2
    assert "case M8 is no more one of toy" in capsys.readouterr().err


def test_what_cannot_be_made_again_is_told(kept, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run, _ = kept
    (folder,) = (f for f in (run / "failures").iterdir() if read(f).implementation == "raises")
    assert main(["check", str(folder), "--device", "cpu"]) == 2
    assert "nothing here knows operator toy; name what it came with" in capsys.readouterr().err
    assert main(["check", str(tmp_path)]) == 2
    assert "holds no failed check (failure.json)" in capsys.readouterr().err
    assert main(["check", "nonesuch"]) == 2
    assert "neither an operator nor a folder of failed checks" in capsys.readouterr().err
