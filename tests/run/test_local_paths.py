"""Where the cluster's paths are replaced by local ones, and where not."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from kedro_databricks_hybrid.run.local_paths import LocalPaths


def test_only_files_that_exist_here_are_replaced(tmp_path: Path) -> None:
    """Tracebacks then open in the editor; a file that is only there keeps its name."""
    (tmp_path / "nodes.py").write_text("")
    paths = LocalPaths(PurePosixPath("/Workspace/Repos/me@x.y/iris"), tmp_path)
    text = 'File "/Workspace/Repos/me@x.y/iris/nodes.py", line 1\nFile "/Workspace/Repos/me@x.y/iris/gone.py"'
    assert paths.in_text(text) == (
        f'File "{tmp_path}/nodes.py", line 1\nFile "/Workspace/Repos/me@x.y/iris/gone.py"'
    )


def test_a_project_whose_name_begins_the_same_is_another(tmp_path: Path) -> None:
    """`iris` is no prefix of `iris-two`."""
    (tmp_path / "nodes.py").write_text("")
    paths = LocalPaths(PurePosixPath("/Workspace/iris"), tmp_path)
    assert paths.in_text("/Workspace/iris-two/nodes.py") == "/Workspace/iris-two/nodes.py"


def test_messages_of_records_are_left_alone(tmp_path: Path) -> None:
    """What the code says is what it said."""
    (tmp_path / "nodes.py").write_text("")
    paths = LocalPaths(PurePosixPath("/Workspace/iris"), tmp_path)
    record = {"event": "log", "path": "/Workspace/iris/nodes.py", "message": "/Workspace/iris/nodes.py"}
    assert paths.in_record(record)["path"] == str(tmp_path / "nodes.py")
    assert paths.in_record(record)["message"] == "/Workspace/iris/nodes.py"
