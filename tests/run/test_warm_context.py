"""When requirements count as changed, and what is remembered of a context."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from kedro_databricks_hybrid.project.requirements import find_requirements
from kedro_databricks_hybrid.run.local_state import ContextStore, StoredContext
from kedro_databricks_hybrid.run.request import RunRequest

PROJECT = PurePosixPath("/Workspace/Repos/me/iris")


def test_the_first_requirements_file_counts() -> None:
    """The project's own folder comes before src, where older projects keep it."""
    both = {"requirements.txt": b"kedro\n", "src/requirements.txt": b"pandas\n"}
    found = find_requirements(PROJECT, both.get)
    assert found is not None
    assert found.path == PROJECT / "requirements.txt"
    older = find_requirements(PROJECT, {"src/requirements.txt": b"pandas\n"}.get)
    assert older is not None
    assert older.path == PROJECT / "src" / "requirements.txt"
    assert find_requirements(PROJECT, lambda _: None) is None


def test_included_files_count_as_well() -> None:
    """A change in a file that is included with -r or -c is a change; loops end."""
    files = {"requirements.txt": b"-r deep/more.txt\n", "deep/more.txt": b"-c pins.txt\n-r more.txt\nkedro\n"}
    before = find_requirements(PROJECT, {**files, "deep/pins.txt": b"kedro==1\n"}.get)
    after = find_requirements(PROJECT, {**files, "deep/pins.txt": b"kedro==2\n"}.get)
    assert before is not None
    assert after is not None
    assert before.digest != after.digest


def test_a_store_keeps_its_entries_apart(tmp_path: Path) -> None:
    """Putting and forgetting one leaves the others, also after a file that nobody can read."""
    store = ContextStore(tmp_path / "deep")
    store.put("a", StoredContext("1", "x"))
    store.put("b", StoredContext("2"))
    store.put("a", None)
    store.put("a", None)
    assert ContextStore(tmp_path / "deep").get("b") == StoredContext("2")
    assert store.get("a") is None
    for file in (tmp_path / "deep").iterdir():
        file.write_text("{")
    assert store.get("b") is None
    store.put("b", StoredContext("3"))
    assert store.get("b") == StoredContext("3")


def test_the_old_spelling_of_pipelines_is_understood() -> None:
    """`--pipeline x` asks for the same as `--pipelines x`; doubled names run once."""

    def names(**options: object) -> object:
        request = RunRequest("one", PROJECT, "iris", PurePosixPath("/dbfs"), dict(options), "me", {})
        return request._for_driver()["run"]["pipeline_names"]  # noqa: SLF001

    assert names(pipeline="x", pipelines=[]) == ["x"]
    assert names(pipeline=None, pipelines=["b", "a", "b"]) == ["b", "a"]
    assert names(pipeline=None, pipelines=[]) == []
