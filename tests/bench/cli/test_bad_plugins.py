"""A plugin that is wrong is one line that names it, its fault and the remedy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from attnlab.bench.contract import plugins
from attnlab.bench.errors import PluginError

MINE = """
from attnlab.bench import implements

@implements("attention", name="mine")
def mine(inputs):
    return inputs.q
"""

SOURCES = {
    "syntax": ("def mine(:", "plugin 'bad.py' does not import: SyntaxError"),
    "missing package": (
        "import no_such_package",
        "does not import: ModuleNotFoundError: No module named 'no_such_package'",
    ),
    "fault": ("raise ValueError('two\\nlines')", "does not import: ValueError: two lines; mend it, or leave it out"),
    "exit": ("import sys; sys.exit(0)", "does not import: SystemExit: 0; mend it, or leave it out"),
    "nothing registered": (
        "x = 1",
        "plugin 'bad.py' registers nothing; decorate a function or class with @implements(",
    ),
    "name taken by us": (
        MINE.replace('"mine"', '"naive"'),
        "'naive' is registered twice: by attnlab.impls.attention.naive and by bad",
    ),
    "name twice": (
        MINE + MINE,
        "implementation of attention 'mine' is registered twice: by bad and by bad; rename one",
    ),
    "unknown operator": (
        MINE.replace("attention", "atention"),
        "implementation 'mine' in bad: unknown operator 'atention'; did you mean 'attention'?",
    ),
    "class without run": (
        MINE.replace("def mine(inputs):", "class Mine:").replace("    return inputs.q", "    pass"),
        "class Mine without run(inputs, state); add it",
    ),
    "suite named as ours": (
        "from attnlab.bench import registry\nregistry.suites.add('quick', 'x.toml', __name__)",
        "suite 'quick' is registered twice: by attnlab.bench.suites and by bad",
    ),
    "operator named as ours": (
        "from attnlab.bench import registry\nregistry.operators.add('attention', None, __name__)",
        "operator 'attention' is registered twice: by attnlab.bench.ops.attention.contract and by bad",
    ),
    "metric named as ours": (
        "from attnlab.bench import registry\nregistry.metrics.add('latency_ns', None, __name__)",
        "metric 'latency_ns' is registered twice: by attnlab.bench.analysis.metrics.latency and by bad",
    ),
    "no text": ("\x00", "does not import: "),
}


@pytest.mark.parametrize("name", SOURCES)
def test_one_line_names_the_plugin(cli, name: str, tmp_path: Path) -> None:
    source, expected = SOURCES[name]
    (tmp_path / "bad.py").write_text(source)
    ended = cli("list", "--plugin", "bad.py")
    assert ended.code == 2
    assert ended.err.startswith("attnlab: ")
    assert ended.err.count("\n") == 1
    assert expected in ended.err
    assert "bad" not in sys.modules or name in ("nothing registered", "unknown operator")


def test_two_plugins_with_one_name_are_both_named(cli, tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(MINE)
    (tmp_path / "second.py").write_text(MINE)
    ended = cli("run", "attention", "--plugin", "first.py", "--plugin", "second.py")
    assert ended.code == 2
    assert "'mine' is registered twice: by first and by second; rename one of them" in ended.err


def test_a_traceback_is_shown_on_demand(cli, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")
    assert 'bad.py", line 1' not in cli("list", "--plugin", "bad.py").err
    assert 'bad.py", line 1' in cli("list", "--plugin", "bad.py", "--debug").err


def test_a_suite_that_a_plugin_breaks_does_not_hide_the_others(cli, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(
        "from pathlib import Path\nfrom attnlab.bench import registry\n"
        "registry.suites.add('mine', Path(__file__).with_name('mine.toml'), __name__)"
    )
    ended = cli("list", "suites", "--plugin", "bad.py")
    assert ended.code == 0
    assert "mine.toml: cannot be read: No such file or directory" in ended.out
    assert "prefill" in ended.out


def test_an_implementation_that_fails_to_say_whether_it_is_timed_does_not_hide_the_others(cli, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(
        "from attnlab.bench import implements\n@implements('attention', name='mine')\nclass Mine:\n"
        "    def run(self, inputs, state): ...\n    def untimed(self, device_kind): raise KeyError(device_kind)\n"
    )
    ended = cli("list", "attention", "--plugin", "bad.py")
    assert ended.code == 0
    assert "untimed(device_kind) fails: KeyError: 'cpu'" in ended.out
    assert "attention/naive" in ended.out


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "import os; print('bye'); os._exit(0)",
            "ends its process with exit code 0; mend it, or leave it out; it said: bye",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ends its process with exit code -11"),
    ],
)
def test_an_import_that_ends_its_process_is_told(cli, tmp_path: Path, code: str, said: str) -> None:
    (tmp_path / "bad.py").write_text(code)
    ended = cli("run", "attention", "--plugin", "bad.py")
    assert ended.code == 2
    assert said in ended.err


LATER = """
import os, pathlib
if pathlib.Path("tried").exists():
    os._exit(0)
pathlib.Path("tried").touch()
"""
ELSEWHERE = """
import os
if not (child := os.fork()):
    os._exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3

import threading
ender = threading.Thread(target=os._exit, args=(0,))
if getattr(os._exit, "refuses", False):
    ender.start(), ender.join()
"""


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [(LATER, 2, "a plugin called os._exit(0)"), (ELSEWHERE, 0, "")],
    ids=["after its trial", "in a child of its own and in a thread"],
)
def test_no_plugin_ends_attnlab_in_silence(tmp_path: Path, code: str, exit_code: int, said: str) -> None:
    (tmp_path / "bad.py").write_text(code + MINE)
    command = [sys.executable, "-m", "attnlab.bench", "list", "attention", "--plugin", "bad.py"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, said in ended.stderr) == (exit_code, True), ended.stderr
    assert ("mine" in ended.stdout) == (exit_code == 0)
    assert "Traceback" not in ended.stderr


def test_an_import_that_does_not_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "TRIAL_LIMIT_S", 2.0)
    (tmp_path / "bad.py").write_text("import time; time.sleep(60)")
    with pytest.raises(PluginError, match="takes longer than 2 s; mend it, or leave it out"):
        plugins.try_out([str(tmp_path / "bad.py")])


def test_what_an_import_prints_is_no_result(cli, tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text(
        "import os\nfrom attnlab.bench import implements\nprint('hello'); os.write(1, b'there')\n"
        "@implements('attention', name='chatty_one')\ndef f(inputs): ..."
    )
    ended = cli("list", "--plugin", "chatty.py", "--json")
    assert any(entry["name"] == "attention/chatty_one" for entry in json.loads(ended.out))


def test_a_folder_is_no_plugin(cli) -> None:
    ended = cli("list", "--plugin", ".")
    assert ended.code == 2
    assert "plugin '.' is a folder; give a path to a .py file, or a module's name" in ended.err


def test_a_check_in_one_process_tells_what_exits(cli, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(MINE.replace("return inputs.q", "raise SystemExit(0)"))
    sizes = [part for size in ("q_len=8", "q_heads=1", "kv_heads=1", "head_dim=8") for part in ("-a", size)]
    ended = cli("check", "attention", *sizes, "--plugin", "bad.py", "--impl", "mine", "--device", "cpu")
    assert ended.code == 1
    assert "mine Hq1-Sq8-D8-bf16: raised SystemExit: 0" in ended.out
