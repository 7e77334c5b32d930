"""Links in the workspace tree, on DBFS and in volumes: walking through their listings ends."""

from __future__ import annotations

import base64
import io
import zipfile
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.service.workspace import ExportFormat

from kedro_databricks_hybrid.sandbox.workspace import routes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx
    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Running

HOME = "/Users/user@example.com"

# Links by name, and what a walk finds below a folder with them and with the files a/x and b/y.
SHAPES: dict[str, tuple[dict[str, str], set[str]]] = {
    "itself": ({"loop": "."}, {"a/x", "b/y"}),
    "above": ({"a/up": "..", "a/deep/up": "../.."}, {"a/x", "b/y"}),
    "each other": (
        {"a/in": "../b", "b/in": "../a"},
        {"a/x", "b/y", "a/in/y", "b/in/x"},
    ),
    "several": ({"one": ".", "two": ".", "a/three": "..", "a/in": "../b"}, {"a/x", "b/y", "a/in/y"}),
    "links that end": ({"same": "a", "file": "a/x"}, {"a/x", "b/y", "same/x", "file"}),
}


def make(folder: Path, links: dict[str, str]) -> None:
    """Make a folder with two files and links."""
    for name in ("a/x", "b/y"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    for name, target in links.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(target)


def walked(top: str, list_folder: Callable[[str], list[tuple[str, bool]]]) -> set[str]:
    """Return the files below a folder, by the listings of all folders."""
    found, waiting, asked = set(), [top], 0
    while waiting:
        asked += 1
        assert asked < 50, waiting[0]
        for path, is_folder in list_folder(waiting.pop()):
            if is_folder:
                waiting.append(path)
            else:
                found.add(path.removeprefix(f"{top}/"))
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_every_walk_ends(
    running: Running, workspace: WorkspaceClient, http: httpx.Client, shape: str
) -> None:
    """Links that lead up are left out of listings and of exported folders; others are followed."""
    links, expected = SHAPES[shape]
    layout = running.sandbox.layout
    volume = "/Volumes/main/default/data"
    for folder in (layout.workspace / HOME[1:], layout.dbfs / "top", layout.volumes / "main/default/data"):
        make(folder, links)

    def list_volume(path: str) -> list[tuple[str, bool]]:
        answer = http.get(f"/api/2.0/fs/directories{path}").json()
        return [(each["path"], each["is_directory"]) for each in answer.get("contents", [])]

    def list_dbfs(path: str) -> list[tuple[str, bool]]:
        answer = http.get("/api/2.0/dbfs/list", params={"path": path}).json()
        return [(each["path"], each["is_dir"]) for each in answer.get("files", [])]

    def list_tree(path: str) -> list[tuple[str, bool]]:
        answer = http.get("/api/2.0/workspace/list", params={"path": path}).json()
        return [(each["path"], each["object_type"] == "DIRECTORY") for each in answer.get("objects", [])]

    assert walked(HOME, list_tree) == expected
    assert walked("/top", list_dbfs) == expected
    assert walked(volume, list_volume) == expected
    content = base64.b64decode(workspace.workspace.export(HOME, format=ExportFormat.AUTO).content or "")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert set(archive.namelist()) == expected


def test_an_export_of_very_many_objects_is_refused(
    running: Running, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export of more objects than the limit, which links can cause, is refused."""
    monkeypatch.setattr(routes, "MAX_EXPORTED", 100)
    home = running.sandbox.layout.workspace / HOME[1:]
    for level in range(6):
        (home / f"{level}").mkdir()
        for name in ("left", "right"):
            (home / f"{level}" / name).symlink_to(f"../{level + 1}")
    (home / "6").mkdir()
    answer = http.get("/api/2.0/workspace/export", params={"path": HOME, "format": "AUTO"})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "MAX_NOTEBOOK_SIZE_EXCEEDED")
