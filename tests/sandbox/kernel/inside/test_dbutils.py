"""`dbutils.fs` and `dbutils.widgets`, called directly; kernel/test_environment.py calls them in a kernel."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.sandbox.kernel.inside import dbutils as module
from kedro_databricks_hybrid.sandbox.kernel.inside.dbfs_mount import MISSING_VARIABLE
from kedro_databricks_hybrid.sandbox.kernel.inside.dbutils import (
    DBUtils,
    ExecutionError,
    FileSystem,
    Widgets,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def fs() -> FileSystem:
    """Return `dbutils.fs`."""
    return DBUtils().fs


@pytest.fixture
def dbfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a folder in place of /dbfs, which only kernels have, and return it."""
    monkeypatch.setattr(module, "DBFS", str(tmp_path))
    return tmp_path


def test_a_listing_tells_files_from_folders(fs: FileSystem, dbfs: Path) -> None:
    """In a listing, folders end with a slash and have size 0; Spark's checksum files are hidden."""
    assert fs.mkdirs("dbfs:/data/sub")
    fs.put("/data/a.txt", "é")
    (dbfs / "data/.a.txt.crc").touch()
    file, folder = fs.ls("dbfs:/data")
    assert (file.path, file.name, file.size) == ("dbfs:/data/a.txt", "a.txt", 2)
    assert (folder.path, folder.name, folder.size) == ("dbfs:/data/sub/", "sub/", 0)
    assert [(one.isDir(), one.isFile()) for one in (file, folder)] == [(False, True), (True, False)]
    assert fs.ls("/data/a.txt") == [file]
    os.utime(dbfs / "data/a.txt", (1.75, 1.75))
    assert fs.ls("dbfs:/data/a.txt")[0].modificationTime == 1000


@pytest.mark.parametrize(
    ("variables", "refusal"),
    [
        ({}, "no cloud storage|Directory not mounted: /mnt/a"),
        ({MISSING_VARIABLE: "1"}, r"DBUtilsCore\.(mount|updateMount|unmount)\(\) is not whitelisted"),
    ],
)
def test_mounts(
    fs: FileSystem, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], refusal: str
) -> None:
    """Nothing can be mounted; compute without /dbfs refuses these functions and the list of mounts."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ExecutionError, match=refusal):
        fs.mount("s3a://bucket", "/mnt/a", extra_configs={})
    with pytest.raises(ExecutionError, match=refusal):
        fs.updateMount(source="s3a://bucket", mount_point="/mnt/a")
    with pytest.raises(ExecutionError, match=refusal):
        fs.unmount("/mnt/a")
    if not variables:
        assert [mount.mountPoint for mount in fs.mounts()] == ["/Volumes", "/"]
        return
    with pytest.raises(ExecutionError, match=r"DBUtilsCore\.mounts\(\) is not whitelisted"):
        fs.mounts()


def test_a_text_is_not_overwritten_unasked(
    fs: FileSystem, dbfs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`put` overwrites only with the option, which the error names; it prints the number of bytes."""
    fs.put("/a", "one")
    with pytest.raises(FileExistsError, match=r"dbfs:/a already exists. Use overwrite=True"):
        fs.put("/a", "two")
    assert fs.put("/a", "three", overwrite=True)
    assert (dbfs / "a").read_text() == "three"
    assert capsys.readouterr().out == "Wrote 3 bytes.\nWrote 5 bytes.\n"
    assert fs.head("/a", 2) == "th"


def test_folders_are_copied_and_moved_when_asked(fs: FileSystem, dbfs: Path) -> None:
    """Folders are copied and moved only with `recurse`; a file can be copied into a folder."""
    fs.put("/data/sub/a.txt", "x")
    with pytest.raises(IsADirectoryError, match=r"dbfs:/data is a directory\. Use recurse=True"):
        fs.cp("/data", "/copy")
    assert fs.cp("/data", "/copy", recurse=True)
    assert fs.cp("/data/sub/a.txt", "dbfs:/copy")
    assert fs.mv("/data", "/moved", recurse=True)
    assert sorted(str(path.relative_to(dbfs)) for path in dbfs.rglob("*.txt")) == [
        "copy/a.txt",
        "copy/sub/a.txt",
        "moved/sub/a.txt",
    ]
    assert not (dbfs / "data").exists()


def test_a_folder_is_removed_when_asked(fs: FileSystem, dbfs: Path) -> None:
    """A folder with content is removed only with `recurse`; removing a missing path returns False."""
    fs.put("/data/a.txt", "x")
    (dbfs / "data/.a.txt.crc").touch()
    fs.mkdirs("/empty")
    with pytest.raises(OSError, match=r"dbfs:/data is not empty\. Use recurse=True"):
        fs.rm("/data")
    assert fs.rm("/data/a.txt")
    assert list((dbfs / "data").iterdir()) == []
    assert (fs.rm("/data"), fs.rm("/empty"), fs.rm("/empty")) == (True, True, False)


@pytest.mark.parametrize("path", ["/nothing", "dbfs:/nothing"])
def test_a_path_that_is_not_there(fs: FileSystem, dbfs: Path, path: str) -> None:
    """A missing path: each function raises Databricks' error, which names it."""
    assert dbfs.exists()
    for call in (fs.ls, fs.head, lambda one: fs.cp(one, "/x"), lambda one: fs.mv(one, "/x")):
        with pytest.raises(FileNotFoundError, match="No such file or directory: dbfs:/nothing"):
            call(path)


def test_other_schemes(fs: FileSystem, dbfs: Path) -> None:
    """`file:` paths are local to the kernel; other schemes are refused."""
    assert fs.put(f"file:{dbfs}/a", "x")
    assert [one.path for one in fs.ls(f"file:{dbfs}")] == [f"file:{dbfs}/a"]
    with pytest.raises(FileNotFoundError, match="file:/no/such"):
        fs.ls("file:/no/such")
    with pytest.raises(ValueError, match="No file system for the scheme of s3://bucket/a"):
        fs.head("s3://bucket/a")


@pytest.mark.parametrize("path", ["/Volumes/no/such", "dbfs:/Volumes/no/such", "/Workspace/no/such"])
def test_volumes_and_the_workspace_are_not_dbfs(fs: FileSystem, dbfs: Path, path: str) -> None:
    """/Volumes and /Workspace are absolute paths, not below /dbfs."""
    (dbfs / path.removeprefix("dbfs:").lstrip("/")).mkdir(parents=True)
    with pytest.raises(FileNotFoundError):
        fs.ls(path)


def test_widgets() -> None:
    """A default must be a choice; a value is kept when the widget is defined again; all can be removed."""
    widgets = Widgets()
    widgets.text("size", "1")
    widgets.dropdown("kind", "a", ["a", "b"], "Kind")
    widgets.combobox("size", "2", ["2"])
    with pytest.raises(ValueError, match="The default value 'c' of widget kind is not among its choices"):
        widgets.multiselect("kind", "c", ["a", "b"])
    assert widgets.getAll() == {"size": "1", "kind": "a"}
    widgets.remove("size")
    with pytest.raises(ValueError, match="No input widget named size is defined"):
        widgets.get("size")
    widgets.removeAll()
    assert widgets.getAll() == {}
