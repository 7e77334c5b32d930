"""Stored contexts, and the pipelines of a request."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from kedro_databricks_hybrid.run.local_state import ContextStore, StoredContext
from kedro_databricks_hybrid.run.request import RunRequest

PROJECT = PurePosixPath("/Workspace/Repos/me/iris")


def test_a_store_keeps_its_entries_apart(tmp_path: Path) -> None:
    """Storing or removing one context keeps the others, also after the file was unreadable."""
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
    """`--pipeline x` equals `--pipelines x`; a pipeline that is named twice runs once."""

    def names(**options: object) -> object:
        request = RunRequest("one", PROJECT, "iris", PurePosixPath("/dbfs"), dict(options), "me", {})
        return request._for_driver()["run"]["pipeline_names"]  # noqa: SLF001

    assert names(pipeline="x", pipelines=[]) == ["x"]
    assert names(pipeline=None, pipelines=["b", "a", "b"]) == ["b", "a"]
    assert names(pipeline=None, pipelines=[]) == []
