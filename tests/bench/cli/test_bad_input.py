"""What a user gets wrong is one line with a remedy and exit code 2, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnlab.bench import load_model
from attnlab.bench.cli import main
from attnlab.bench.llm.models.huggingface import save_folder

COMMAND_LINES = {
    "operator with a typing error": ("run atention", "unknown suite or operator 'atention'; did you mean 'attention'?"),
    "suite with a typing error": ("run quik", "did you mean 'quick'?"),
    "nothing alike": ("run zzz", "known: all_gather, all_reduce, all_to_all, attention, "),
    "implementation": (
        "run attention --impl naiv",
        "unknown implementation of attention 'naiv'; did you mean 'naive'?",
    ),
    "one of several implementations": ("run attention --impl naive,tilde", "did you mean 'tiled'?"),
    "axis": ("run attention -a qlen=5", "unknown axis of attention 'qlen'; did you mean 'q_len'?"),
    "axis of a suite": ("run quick -a head_dims=64", "unknown axis of attention 'head_dims'; did you mean 'head_dim'?"),
    "axis without a value": ("run attention -a q_len", "got -a 'q_len'; expected AXIS=VALUE"),
    "axis without a name": ("run attention -a =5", "got -a '=5'; expected AXIS=VALUE"),
    "axis with an empty value": ("run attention -a q_len=", "got -a 'q_len='; expected AXIS=VALUE"),
    "axis twice": ("run attention -a q_len=5 -a q_len=6", "axis q_len is given twice; give all of its values at once"),
    "heads not divisible": (
        "run attention -a q_heads=9 -a kv_heads=4",
        "expected query heads divisible by key-value heads",
    ),
    "size of zero": ("run attention -a q_len=0", "axis q_len: got '0'; expected a whole number of at least 1"),
    "negative size": (
        "run attention -a head_dim=-64",
        "axis head_dim: got '-64'; expected a whole number of at least 1",
    ),
    "no number": ("run attention -a q_len=long", "axis q_len: got 'long'; expected a whole number"),
    "one value of several": ("run attention -a q_len=64,0", "axis q_len: got '0'; expected a whole number"),
    "value left empty": ("run attention -a q_len=64,", "axis q_len: got ''; expected a whole number"),
    "window of zero": ("run attention -a mask=window:0", "window"),
    "unknown mask": ("run attention -a mask=casual", "casual"),
    "unknown dtype": ("run attention -a dtype=float8", "axis dtype: unknown dtype 'float8'; expected one of float32"),
    "unknown dtype beside a known one": ("run attention -a dtype=float32,float8", "unknown dtype 'float8'"),
    "unknown inputs": ("run attention -a inputs=real", "axis inputs: unknown source of inputs 'real'"),
    "case": ("run attention --case Hq8-Q5", "case id 'Hq8-Q5': 'Q5' is no axis of attention; an id reads like"),
    "empty case": ("run attention --case=", "is no axis of attention"),
    "impossible case": ("run attention --case Hq9-Hkv4-bf16", "expected query heads divisible"),
    "axis of a case twice": (
        "run attention --case Hq2-Sq16-bf16 -a q_len=8",
        "--case Hq2-Sq16-bf16 sets q_len, and so does -a; set it in one of them",
    ),
    "size beyond all memory": (
        "run attention -a q_len=1000000000000000000000000000000",
        "axis q_len: got 1e+30; expected at most 1099511627776",
    ),
    "case with a suite": ("run quick --case Hq8-bf16", "--case goes with an operator, and 'quick' is a suite"),
    "device": ("run attention --device tpu", "unknown device 'tpu'; expected auto, cpu or cuda"),
    "time limit": ("run attention --time-limit 0", "got --time-limit 0; expected seconds above zero"),
    "endless time limit": ("run attention --time-limit inf", "got --time-limit inf; expected seconds above zero"),
    "undefined time limit": ("run attention --time-limit nan", "got --time-limit nan; expected seconds above zero"),
    "suite file": ("run my.toml", "my.toml: no such suite file; `attnlab list suites` names those"),
    "plugin file": ("list --plugin mine.py", "mine.py' is no file; give a path to a .py file or a module's name"),
    "plugin module": ("list --plugin no_such_kernel", "does not import: ModuleNotFoundError"),
    "resumed run": ("run attention --resume nowhere", "nowhere holds no run: run.json is missing; give a folder"),
    "reported run": ("report nowhere", "nowhere does not exist; expected a run, or a folder of runs"),
    "report of nothing": ("report", "results does not exist; expected a run, or a folder of runs"),
    "compacted run": ("results compact nowhere", "nowhere does not exist; expected a run, or a folder of runs"),
    "pool too small for one request": (
        "run generate --case toy-random-R4-B2-P32-N8-fp32-paged.16-continuous-pool2",
        "got pages=2, too few for one request; expected 3 or more for 40 tokens in paged:16",
    ),
    "trace of arrivals": (
        "run generate -a model=toy -a arrivals=trace@none.txt",
        "none.txt: the trace cannot be read: No such file or directory",
    ),
    "list's device": ("list --device gpu", "unknown device 'gpu'; expected auto, cpu or cuda"),
}


@pytest.mark.parametrize("name", COMMAND_LINES)
def test_one_line_with_a_remedy(cli, name: str, tmp_path: Path) -> None:
    line, expected = COMMAND_LINES[name]
    ended = cli(*line.split())
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("attnlab: ")
    assert ended.err.count("\n") == 1, f"one line, not {ended.err!r}"
    assert expected in ended.err
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == [], "nothing is written"


def test_debug_shows_the_traceback_and_the_line(cli) -> None:
    ended = cli("run", "atention", "--debug")
    assert ended.code == 2
    assert ended.err.startswith("Traceback")
    assert ended.err.splitlines()[-1].startswith("attnlab: unknown suite or operator 'atention'")


def test_cuda_without_a_gpu(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ended = cli("run", "attention", "--device", "cuda")
    assert ended.code == 2
    assert "device cuda was asked for, but torch finds no usable NVIDIA GPU; take cpu (--device cpu" in ended.err


def test_a_trace_whose_times_fall(cli, tmp_path: Path) -> None:
    """Told before anything is run, with its line."""
    (tmp_path / "falling.txt").write_text("0\n2\n1\n")
    ended = cli("run", "generate", "--case", "toy-random-R3-B2-P32-N8-fp32-paged.16-continuous-trace@falling%2Etxt")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "attnlab: falling.txt:3: got 1 after 2; expected rising times: sort the trace\n"
    assert [path.name for path in tmp_path.iterdir()] == ["falling.txt"]


@pytest.mark.parametrize("arguments", [["run"], ["rum", "attention"], [], ["run", "attention", "--time-limit", "soon"]])
def test_what_argparse_refuses_has_the_same_exit_code(cli, arguments: list[str]) -> None:
    ended = cli(*arguments)
    assert ended.code == 2
    assert "usage: attnlab" in ended.err


@pytest.mark.parametrize("below", ["file", "file/deeper"])
def test_an_output_folder_that_cannot_be_written(cli, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("kept")
    ended = cli("run", "attention", "--out", below)
    assert ended.code == 2
    assert ended.err.startswith(f"attnlab: cannot write to {below}")
    assert ended.err.rstrip().endswith("take another folder with --out")
    assert ended.err.count("\n") == 1
    assert (tmp_path / "file").read_text() == "kept"


def test_a_folder_without_permission(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The superuser may write anywhere, so that the refusal is a stand-in."""
    import os

    monkeypatch.setattr(os, "access", lambda path, mode: False)
    ended = cli("run", "attention", "--out", "forbidden")
    assert ended.code == 2
    assert "cannot write to forbidden: Permission denied; take another folder with --out" in ended.err


def test_nothing_to_measure_is_an_error(cli, tmp_path: Path) -> None:
    """An implementation that the suite leaves out on purpose is not measured in silence."""
    (tmp_path / "mine.toml").write_text('[[bench]]\noperator = "attention"\nimplementations = ["naive"]\n')
    ended = cli("run", "mine.toml", "--impl", "tiled")
    assert ended.code == 2
    assert "nothing to measure: none of tiled is in mine" in ended.err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("runn", "attnlab: error: argument COMMAND: got 'runn'; did you mean run?"),
        ("xyz", "got 'xyz'; expected one of check, compare, "),
        ("run quick --plam", "attnlab run: error: unknown option --plam; did you mean --plan?"),
        ("run quick --devise=cuda", "attnlab run: error: unknown option --devise; did you mean --device?"),
        ("run quick --zzz", "attnlab run: error: unknown option --zzz\n"),
        ("run quick more", "attnlab run: error: unknown argument more"),
        ("results qeury", "attnlab results: error: argument ACTION: got 'qeury'; did you mean query?"),
        ("results query x --formt csv", "attnlab results query: error: unknown option --formt; did you mean --format?"),
    ],
)
def test_a_typing_error_is_told_what_was_likely_meant(line: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_model_whose_weights_cannot_be_read_is_the_users_to_mend(cli, tmp_path: Path) -> None:
    """Of a folder whose configuration is right, so that only reading the weights tells."""
    safetensors = pytest.importorskip("safetensors.torch", reason="package safetensors is not installed")
    folder = tmp_path / "mine"
    save_folder(load_model("toy"), folder)
    kept = safetensors.load_file(folder / "model.safetensors")
    kept["model.layers.0.mlp.down_proj.weight"].fill_(float("nan"))
    safetensors.save_file(kept, folder / "model.safetensors")
    axes = ("-a", f"model={folder}", "-a", "text=random", "-a", "window=8")
    ended = cli("check", "perplexity", "--impl", "naive", *axes)
    assert ended.code == 2
    assert "down_proj.weight holds 8192 values of 8192 that are NaN" in ended.err
    assert len(ended.err.splitlines()) == 1
