"""`dbfs:///...` paths opened locally by pandas and Kedro's datasets, through the API."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
from typing import TYPE_CHECKING

import fsspec
import pandas as pd
import pytest
from kedro_datasets.pandas import CSVDataset, ParquetDataset
from kedro_datasets.partitions import PartitionedDataset
from kedro_datasets.pickle import PickleDataset

from kedro_databricks_hybrid import filesystem
from kedro_databricks_hybrid.errors import TransferError
from kedro_databricks_hybrid.filesystem import DatabricksFileSystem
from kedro_databricks_hybrid.sandbox.dbfs import model as dbfs_model
from kedro_databricks_hybrid.sandbox.volumes import model as volumes_model
from kedro_databricks_hybrid.spark import connect
from tests.transfer.conftest import DBFS, VOLUME, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
LARGE = pd.DataFrame({"a": range(300_000)})
ROOTS = pytest.mark.parametrize("root", [DBFS, VOLUME], ids=["dbfs", "volume"])


@pytest.fixture(autouse=True)
def _logged_in(site: Site) -> Iterator[None]:
    """Log this process in to the sandbox, without cached file systems of other tests."""
    connect.use(site.workspace())
    DatabricksFileSystem.clear_instance_cache()
    yield
    connect.use(None)
    DatabricksFileSystem.clear_instance_cache()


def url(root: str, path: str) -> str:
    """Return a file's address for fsspec."""
    return f"dbfs://{root.removeprefix('dbfs:')}/{path}"


@ROOTS
def test_datasets_read_and_write_there(site: Site, root: str) -> None:
    """Small and large tables, versions and partitions are stored remotely, and nothing locally."""
    for name, table in (("small.csv", TABLE), ("large.csv", LARGE)):
        dataset = CSVDataset(filepath=url(root, name), save_args={"index": False})
        dataset.save(table)
        assert dataset.load().equals(table)
        assert site.folder(root).joinpath(name).read_text() == table.to_csv(index=False)
    parquet = ParquetDataset(filepath=url(root, "table.parquet"))
    assert not parquet.exists()
    parquet.save(TABLE)
    assert parquet.exists()
    assert parquet.load().equals(TABLE)
    from kedro.io import Version

    pickled = PickleDataset(
        filepath=url(root, "model.pkl"), version=Version(None, "2026-01-01T00.00.00.000Z")
    )
    pickled.save({"k": 1})
    assert PickleDataset(filepath=url(root, "model.pkl"), version=Version(None, None)).load() == {"k": 1}
    partitions = PartitionedDataset(
        path=url(root, "parts"),
        dataset={"type": CSVDataset, "save_args": {"index": False}},
        filename_suffix=".csv",
    )
    partitions.save({"one": TABLE, "deep/two": TABLE})
    assert {name: load().equals(TABLE) for name, load in partitions.load().items()} == {
        "one": True,
        "deep/two": True,
    }


@ROOTS
def test_a_folder_that_spark_wrote_is_one_table(site: Site, root: str) -> None:
    """A folder that Spark wrote is read as one table."""
    folder = site.folder(root) / "t.parquet"
    folder.mkdir(parents=True)
    TABLE[:1].to_parquet(folder / "part-0.parquet")
    TABLE[1:].to_parquet(folder / "part-1.parquet")
    (folder / "_SUCCESS").touch()
    assert list(ParquetDataset(filepath=url(root, "t.parquet")).load()["a"]) == [1, 2]


@ROOTS
def test_files_are_listed_appended_to_and_removed(site: Site, root: str) -> None:
    """List, append to and remove files with fsspec's interface."""
    files = fsspec.filesystem("dbfs")
    top = root.removeprefix("dbfs:")
    with files.open(f"{top}/a/b.txt", "wb") as file:
        file.write(b"one")
    with files.open(f"{top}/a/b.txt", "ab") as file:
        file.write(b" two")
    assert files.cat(f"{top}/a/b.txt") == b"one two"
    assert files.ls(f"{top}/a", detail=False) == [f"{top}/a/b.txt"]
    assert files.isdir(f"{top}/a")
    assert files.find(top) == [f"{top}/a/b.txt"]
    files.rm(f"{top}/a/b.txt")
    assert not files.exists(f"{top}/a/b.txt")
    with pytest.raises(FileNotFoundError):
        files.open(f"{top}/a/b.txt", "rb")


@ROOTS
def test_a_link_loop_is_named(site: Site, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link loop that the workspace lists as folders is an error that names it."""
    top = site.folder(root)
    (top / "a").mkdir(parents=True)
    (top / "a/loop").symlink_to("..")
    files, folder = fsspec.filesystem("dbfs"), f"{root.removeprefix('dbfs:')}/a"
    assert files.find(folder) == []
    for model in (dbfs_model, volumes_model):
        monkeypatch.setattr(model, "leads_up", lambda *_: False)
    with pytest.raises(TransferError, match=r"/a/loop/a seems to be a link to a folder above it"):
        files.find(folder)


def test_a_catalog_for_fsspecs_own_dbfs_keeps_working(site: Site) -> None:
    """`instance` and `token` in the catalog select the login, as with fsspec's own dbfs file system."""
    connect.use(None)
    credentials = {"instance": site.line.url, "token": site.sandbox.user.token}
    dataset = CSVDataset(
        filepath=url(DBFS, "theirs.csv"), save_args={"index": False}, credentials=credentials
    )
    dataset.save(TABLE)
    assert dataset.load().equals(TABLE)
    assert site.folder(DBFS).joinpath("theirs.csv").is_file()
    with pytest.raises(ValueError, match="both instance and token"):
        fsspec.filesystem("dbfs", instance=site.line.url)


def test_a_write_that_fails_leaves_what_was_there(site: Site) -> None:
    """A file is stored whole or not at all."""
    files = fsspec.filesystem("dbfs")
    path = f"{DBFS.removeprefix('dbfs:')}/kept.txt"
    files.pipe(path, b"old")
    with contextlib.suppress(KeyboardInterrupt), files.open(path, "wb") as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert files.cat(path) == b"old"


@pytest.mark.parametrize("spelling", ["dbfs:///r/x", "dbfs:/r/x", "/dbfs/r/x", "/r/x"])
def test_every_spelling_is_one_path(spelling: str) -> None:
    """A URL, Spark's path, the mount's path and the plain path are the same file."""
    assert DatabricksFileSystem._strip_protocol(spelling) == "/r/x"  # noqa: SLF001 - fsspec's own name


@ROOTS
def test_folders_copies_and_times(site: Site, root: str) -> None:
    """Folders, copies and times work, as users of fsspec other than pandas need them."""
    files, top = fsspec.filesystem("dbfs"), root.removeprefix("dbfs:")
    files.makedirs(f"{top}/deep/er")
    assert site.folder(root).joinpath("deep/er").is_dir()
    files.mkdir(f"{top}/deep/er")
    with pytest.raises(FileExistsError):
        files.makedirs(f"{top}/deep/er")
    files.pipe(f"{top}/deep/a.txt", b"text")
    files.cp_file(f"{top}/deep/a.txt", f"{top}/deep/b.txt")
    assert site.folder(root).joinpath("deep/b.txt").read_bytes() == b"text"
    before = dt.datetime.now(tz=dt.timezone.utc) - dt.timedelta(hours=1)
    assert before < files.created(f"{top}/deep/a.txt") == files.modified(f"{top}/deep/a.txt")
    with pytest.raises(OSError, match="not empty"):
        files.rmdir(f"{top}/deep")
    files.rmdir(f"{top}/deep/er")
    assert sorted(files.ls(f"{top}/deep", detail=False)) == [f"{top}/deep/a.txt", f"{top}/deep/b.txt"]
    with pytest.raises(FileNotFoundError):
        files.rmdir(f"{top}/deep/er")


@ROOTS
def test_a_folder_is_removed_with_all_below(site: Site, root: str) -> None:
    """Removing a folder removes its subfolders, so a rewritten partitioned dataset has no old partitions."""
    files, top = fsspec.filesystem("dbfs"), root.removeprefix("dbfs:")
    for name in ("parts/a.csv", "parts/deep/b.csv"):
        files.pipe(f"{top}/{name}", b"x")
    files.makedirs(f"{top}/parts/empty")
    files.rm(f"{top}/parts", recursive=True)
    assert not files.exists(f"{top}/parts")
    assert not site.folder(root).joinpath("parts").exists()


def test_the_top_is_a_folder(site: Site) -> None:
    """`dbfs:///` and a volume's own path are folders; paths that do not exist are errors."""
    files = fsspec.filesystem("dbfs")
    site.folder(DBFS).mkdir(parents=True)
    assert "/projects" in files.ls("/", detail=False)
    assert files.info("dbfs:///") == {"name": "/", "size": 0, "type": "directory"}
    volume = "/Volumes/main/default/data"
    assert files.info(volume) == {"name": volume, "size": 0, "type": "directory"}
    with pytest.raises(FileNotFoundError):
        files.info("/nowhere")


def test_modes_of_opening(site: Site) -> None:
    """Exclusive creation does not overwrite, and a file cannot be read and written at once."""
    files, path = fsspec.filesystem("dbfs"), f"{DBFS.removeprefix('dbfs:')}/new.txt"
    with files.open(path, "xb") as file:
        file.write(b"1234")
        assert (file.tell(), file.seek(1), file.write(b"-")) == (4, 1, 1)
    file.close()
    assert files.cat(path) == b"1-34"
    with pytest.raises(FileExistsError):
        files.open(path, "xb")
    with pytest.raises(ValueError, match=r"mode 'r\+b'"):
        files.open(path, "r+b")
    assert site.folder(DBFS).joinpath("new.txt").read_bytes() == b"1-34"


def test_what_is_large_is_not_kept_in_memory(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is downloaded to a temporary file, not to memory."""
    monkeypatch.setattr(filesystem, "_IN_MEMORY", 1000)
    site.folder(DBFS).mkdir(parents=True)
    site.folder(DBFS).joinpath("large.bin").write_bytes(b"0123456789" * 500)
    with fsspec.open(url(DBFS, "large.bin"), "rb") as file:
        assert not isinstance(file, io.BytesIO)
        file.seek(-3, io.SEEK_END)
        assert file.read() == b"789"
