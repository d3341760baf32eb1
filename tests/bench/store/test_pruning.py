"""Old runs go that nothing names; all else in the folder stays, and links are never followed."""

from __future__ import annotations

import fcntl
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from attnlab.bench.errors import StoreError, UsageError
from attnlab.bench.store.pruning import Entry, age_of, look, remove

FIXTURE = Path(__file__).parent / "fixtures" / "schema-6"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
AGE = timedelta(days=90)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def put(results: Path, name: str = "20260101-000000-s", started: str = "2026-01-01T00:00:00+00:00", **fields: object):
    """A run that started so."""
    folder = Path(shutil.copytree(FIXTURE, results / name))
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"run_id": name, "started": started} | fields))
    return folder


def kept(results: Path, reports: tuple[Path, ...] = (), keep: Path | None = None) -> dict[str, str | None]:
    return {entry.path.name: entry.kept for entry in look(results, AGE, reports, keep, NOW)}


def test_old_runs_go_and_young_ones_stay(results: Path) -> None:
    put(results, "old")
    put(results, "young", started="2026-05-01T00:00:00+00:00")
    put(results, "naive", started="2026-01-01T00:00:00")
    assert kept(results) == {"old": None, "young": "it started at 2026-05-01T00:00:00+00:00", "naive": None}


@pytest.mark.parametrize("name", ["summary.md", "A.HTML", "plot.svg", "x.ipynb", "Makefile", "deep/er/x.html"])
def test_a_run_that_a_report_names_stays(results: Path, tmp_path: Path, name: str) -> None:
    put(results, "20260101-000000-s")
    put(results, "20260101-000000-s-2")
    file = tmp_path / "reports" / "x" / name
    file.parent.mkdir(parents=True)
    file.write_text("<p>run <code>20260101-000000-s</code>,</p>")
    assert kept(results, (tmp_path / "reports",)) == {
        "20260101-000000-s": f"named in {file}",
        "20260101-000000-s-2": None,
    }, "another run's name may begin as its does"


def test_a_run_is_named_by_its_id_where_its_folder_was_renamed(results: Path, tmp_path: Path) -> None:
    (put(results, "20260101-000000-s")).rename(results / "renamed")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "summary.md").write_text("20260101-000000-s")
    assert kept(results, (tmp_path / "reports",))["renamed"] is not None


def test_a_run_that_many_words_look_like_is_found_among_them(results: Path, tmp_path: Path) -> None:
    names = [f"202601{day:02d}-000000-s" for day in range(1, 29)]
    for one in (*names, "my run"):
        put(results, one)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "page.md").write_text(
        f"results/{names[3]}/run.json, {names[5]}-latency.png and 'my run'. x{names[7]}"
    )
    found = kept(results, (tmp_path / "reports",))
    assert {one for one, why in found.items() if why is not None} == {names[3], names[5], "my run"}


@pytest.mark.parametrize(
    "text", ["r&amp;d &lt;1&gt;", "r&d &#60;1>", r"r\&d \<1\>", "r%26d%20%3C1%3E", '"r&d <1>"'], ids=repr
)
def test_a_name_may_be_spelled_as_html_markdown_or_an_address(results: Path, tmp_path: Path, text: str) -> None:
    put(results, "r&d <1>")
    put(results, "my_run")
    (tmp_path / "note.md").write_text(text + r" and my\_run")
    assert kept(results, (tmp_path / "note.md",)) == dict.fromkeys(
        ("r&d <1>", "my_run"), f"named in {tmp_path / 'note.md'}"
    )


def test_reports_behind_links_count_and_circles_have_an_end(results: Path, tmp_path: Path) -> None:
    put(results, "a")
    put(results, "b")
    for name in ("reports", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "elsewhere" / "x.md").write_text("a")
    (tmp_path / "y.md").write_text("b")
    (tmp_path / "reports" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "reports")
    (tmp_path / "reports" / "y.md").symlink_to(tmp_path / "y.md")
    (tmp_path / "reports" / "lost.md").symlink_to(tmp_path / "nothing")
    assert None not in kept(results, (tmp_path / "reports",)).values()


def test_what_lies_among_runs_names_some(results: Path) -> None:
    for name in ("a", "b", "c", "d"):
        put(results, name)
    (results / "gate").mkdir()
    (results / "gate" / "gate.json").write_text('{"baseline": "../a"}')
    (results / "README.md").write_text("b is the release")
    (results / ".index").mkdir()
    (results / ".index" / "manifest.json").write_text('["c"]')
    (results / "plot.png").write_bytes(b"\x89PNG\0 c")
    found = kept(results)
    assert {name for name, why in found.items() if why is None} == {"c", "d"}
    assert found["a"] == f"named in {results / 'gate' / 'gate.json'}"


def test_a_real_report_names_its_runs(results: Path, tmp_path: Path) -> None:
    from attnlab.bench.reporters import write_report
    from attnlab.bench.store.run_folder import read_run

    folder = put(results)
    for form in ("markdown", "csv"):
        out = tmp_path / form
        write_report([read_run(folder)], out, [form])
        assert kept(results, (out,))[folder.name] is not None, form


def test_a_file_of_kept_runs(results: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        put(results, name)
    keep = tmp_path / "keep.txt"
    keep.write_text("# releases\na  # 1.0\nresults/b/\n\n")
    assert kept(results, keep=keep) == {"a": f"named in {keep}", "b": f"named in {keep}", "c": None}
    assert kept(results, keep=tmp_path / "none.txt") == {"a": None, "b": None, "c": None}


def test_the_arms_of_a_gate_stay(results: Path) -> None:
    put(results, "arm", extra={"interleaved": "20260101-000000-gate"})
    gate = results / "gate"
    gate.mkdir()
    put(gate, "base")
    put(gate, "head")
    (gate / "gate.json").write_text("{}")
    assert kept(results) == {"arm": "an arm of a gate", "gate": "no run"}
    assert kept(gate) == {"base": "an arm of a gate", "head": "an arm of a gate"}


def test_what_is_no_run_stays(results: Path) -> None:
    (results / "notes").mkdir()
    (results / "file").write_text("text")
    put(results, "annotated")
    (results / "annotated" / "notes.txt").write_text("mine")
    (results / "later").mkdir()
    (results / "later" / "run.json").write_text('{"schema_version": 99}')
    (results / "damaged").mkdir()
    (results / "damaged" / "run.json").write_text("{")
    put(results, "timeless", started="yesterday")
    found = kept(results)
    assert "file" not in found
    assert found["notes"] == "no run"
    assert found["annotated"] == "it holds notes.txt, which is not of a run"
    assert "is of schema version 99" in str(found["later"])
    assert "is damaged" in str(found["damaged"])
    assert found["timeless"] == "it started at 'yesterday', which is no time"


def test_links_are_not_followed(results: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outside = put(elsewhere, "outside")
    (results / "link").symlink_to(outside)
    (results / "half").mkdir()
    (results / "half" / "run.json").symlink_to(outside / "run.json")
    found = kept(results)
    assert found["link"] == "a link, which is not followed"
    assert found["half"] == "its run.json is a link"
    linked = put(results, "linked")
    (linked / "failures").symlink_to(outside)
    remove(Entry(linked, None))
    assert not linked.exists()
    assert sorted(file.name for file in outside.iterdir()) == ["measurements.jsonl", "run.json"]


def test_a_run_that_is_being_written_stays(results: Path) -> None:
    with (put(results, "now") / "measurements.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert kept(results)["now"] == "another process writes to it"
    assert kept(results)["now"] is None


def test_a_run_is_removed_whole(results: Path) -> None:
    folder = put(results)
    (folder / "failures" / "x").mkdir(parents=True)
    (folder / "failures" / "x" / "y").write_text("z")
    (entry,) = look(results, AGE, (), None, NOW)
    assert entry.bytes > 1000
    remove(entry)
    assert list(results.iterdir()) == []


def test_a_report_that_cannot_be_read_stops_everything(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(results)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "summary.md").write_text("text")
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.suffix == ".md":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(StoreError, match="what it names is not known, so nothing is removed"):
        look(results, AGE, (tmp_path / "reports",), None, NOW)


def test_a_folder_that_is_none_or_a_run(results: Path) -> None:
    with pytest.raises(StoreError, match="is no folder; expected one of runs"):
        look(results / "none", AGE, (), None, NOW)
    with pytest.raises(StoreError, match="is a run; expected a folder of runs"):
        look(put(results), AGE, (), None, NOW)


@pytest.mark.parametrize(("text", "age"), [("90d", timedelta(90)), ("12h", timedelta(hours=12)), ("4w", timedelta(28))])
def test_an_age(text: str, age: timedelta) -> None:
    assert age_of(text) == age


@pytest.mark.parametrize("text", ["", "90", "0d", "-1d", "1.5d", "90 d", "d", "9999999d", "90y"])
def test_no_age(text: str) -> None:
    with pytest.raises(UsageError, match="expected a number above zero with h, d or w, such as 90d"):
        age_of(text)
