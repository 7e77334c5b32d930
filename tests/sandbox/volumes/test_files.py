"""Files in volumes, through the SDK's Files API."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import AlreadyExists, BadRequest, InvalidParameterValue, NotFound
from databricks.sdk.errors.base import DatabricksError

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Running

VOLUME = "/Volumes/main/default/data"


@pytest.fixture
def volume(running: Running) -> Path:
    """Return the folder of the default volume."""
    return running.sandbox.layout.volumes / "main/default/data"


def put(
    workspace: WorkspaceClient, name: str, content: bytes = b"x", *, overwrite: bool | None = None
) -> None:
    """Write a file into the volume."""
    workspace.files.upload(f"{VOLUME}/{name}", io.BytesIO(content), overwrite=overwrite)


def get(workspace: WorkspaceClient, name: str) -> bytes:
    """Read a file of the volume."""
    answer = workspace.files.download(f"{VOLUME}/{name}")
    assert answer.contents is not None
    with answer.contents as contents:
        return contents.read()


@pytest.mark.parametrize(
    "name", ["a.bin", "deep/er/a.bin", "with space & 100%.txt", "été/日本.csv", "a+b=c?.txt"]
)
def test_upload_and_download(workspace: WorkspaceClient, volume: Path, name: str) -> None:
    """Any name and content; missing folders are created."""
    content = bytes(range(256)) * 100
    put(workspace, name, content)
    assert (volume / name).read_bytes() == content
    assert get(workspace, name) == content


def test_an_empty_file(workspace: WorkspaceClient) -> None:
    """An empty file is stored and read."""
    put(workspace, "empty", b"")
    assert get(workspace, "empty") == b""


def test_overwrite(workspace: WorkspaceClient) -> None:
    """Overwrite is the default; with false a file gives 409; a folder is never overwritten."""
    put(workspace, "a", b"1")
    put(workspace, "a", b"2")
    put(workspace, "a", b"3", overwrite=True)
    with pytest.raises(AlreadyExists):
        put(workspace, "a", b"4", overwrite=False)
    assert get(workspace, "a") == b"3"
    workspace.files.create_directory(f"{VOLUME}/folder")
    with pytest.raises(AlreadyExists):
        put(workspace, "folder", b"5")
    with pytest.raises(AlreadyExists):
        put(workspace, "a/b", b"6")


def test_statuses(http: httpx.Client) -> None:
    """Success has no body, an error has one."""
    address = f"/api/2.0/fs/files{VOLUME}/a"
    put_answer = http.put(address, content=b"x")
    assert (put_answer.status_code, put_answer.content) == (204, b"")
    assert http.put(address, content=b"x", params={"overwrite": "false"}).status_code == 409
    assert http.head(address).headers["content-length"] == "1"
    assert http.delete(address).status_code == 204
    missing = http.get(address)
    assert (missing.status_code, missing.json()["error_code"]) == (404, "NOT_FOUND")
    assert http.head(address).status_code == 404


def test_metadata(workspace: WorkspaceClient) -> None:
    """A file's size and time are in headers."""
    put(workspace, "a", b"12345")
    metadata = workspace.files.get_metadata(f"{VOLUME}/a")
    assert metadata.content_length == 5
    assert metadata.last_modified is not None
    with pytest.raises(NotFound):
        workspace.files.get_metadata(f"{VOLUME}/missing")


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-2", 206, b"abc"),
        ("bytes=3-", 206, b"def"),
        ("bytes=-2", 206, b"ef"),
        ("bytes=4-100", 206, b"ef"),
        ("bytes=6-9", 416, None),
        ("lines=1-2", 400, None),
    ],
)
def test_ranges(
    workspace: WorkspaceClient, http: httpx.Client, asked: str, status: int, expected: bytes | None
) -> None:
    """A range returns a part of a file, or is refused."""
    put(workspace, "a", b"abcdef")
    answer = http.get(f"/api/2.0/fs/files{VOLUME}/a", headers={"Range": asked})
    assert answer.status_code == status
    assert expected is None or answer.content == expected


def test_if_unmodified_since(workspace: WorkspaceClient, http: httpx.Client) -> None:
    """If-Unmodified-Since refuses a file that has changed since."""
    put(workspace, "a", b"abcdef")
    address = f"/api/2.0/fs/files{VOLUME}/a"
    for date, status in [
        ("Mon, 01 Jan 2001 00:00:00 GMT", 412),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 200),
        ("no date", 200),
    ]:
        assert http.get(address, headers={"If-Unmodified-Since": date}).status_code == status


def test_directories(workspace: WorkspaceClient) -> None:
    """Directories are created with parents, repeatedly without error, and deleted only if empty."""
    path = f"{VOLUME}/a/b"
    workspace.files.create_directory(path)
    workspace.files.create_directory(path)
    workspace.files.get_directory_metadata(path)
    with pytest.raises(BadRequest, match="not empty") as refusal:
        workspace.files.delete_directory(f"{VOLUME}/a")
    assert [info.reason for info in refusal.value.get_error_info()] == ["FILES_API_DIRECTORY_IS_NOT_EMPTY"]
    workspace.files.delete_directory(path)
    with pytest.raises(NotFound):
        workspace.files.get_directory_metadata(path)
    with pytest.raises(NotFound):
        workspace.files.delete_directory(path)


def test_a_directory_over_a_file(workspace: WorkspaceClient) -> None:
    """A directory over a file, or below one, is refused with 409."""
    put(workspace, "a")
    for path in ("a", "a/b"):
        with pytest.raises(AlreadyExists, match="existing file"):
            workspace.files.create_directory(f"{VOLUME}/{path}")


def test_list(workspace: WorkspaceClient) -> None:
    """Files have a size and a time, folders do not; a file and a missing folder are refused."""
    put(workspace, "b.txt", b"12")
    put(workspace, "a/x")
    listed = list(workspace.files.list_directory_contents(VOLUME))
    assert [(entry.name, entry.is_directory, entry.file_size) for entry in listed] == [
        ("a", True, None),
        ("b.txt", False, 2),
    ]
    assert listed[1].path == f"{VOLUME}/b.txt"
    assert [entry.name for entry in workspace.files.list_directory_contents(f"{VOLUME}/a")] == ["x"]
    for path in ("b.txt", "missing"):
        with pytest.raises(NotFound):
            list(workspace.files.list_directory_contents(f"{VOLUME}/{path}"))


def test_list_in_pages(workspace: WorkspaceClient, http: httpx.Client) -> None:
    """The SDK follows the tokens; a page is never larger than a thousand."""
    for number in range(7):
        put(workspace, f"{number}")
    names = [entry.name for entry in workspace.files.list_directory_contents(VOLUME, page_size=3)]
    assert names == [str(number) for number in range(7)]
    address = f"/api/2.0/fs/directories{VOLUME}"
    assert len(http.get(address, params={"page_size": 5000}).json()["contents"]) == 7
    assert http.get(address, params={"page_token": "nonsense"}).status_code == 400


def test_delete(workspace: WorkspaceClient) -> None:
    """Deleting a missing file, or a folder as a file, is refused."""
    put(workspace, "folder/a")
    workspace.files.delete(f"{VOLUME}/folder/a")
    for path in ("folder/a", "folder"):
        with pytest.raises(NotFound):
            workspace.files.delete(f"{VOLUME}/{path}")


def test_checksum_files_of_spark_do_not_show(workspace: WorkspaceClient, volume: Path) -> None:
    """Listings hide them, and a folder with nothing else counts as empty."""
    put(workspace, "d/part-0.csv")
    (volume / "d/.part-0.csv.crc").write_text("checksum")
    assert [entry.name for entry in workspace.files.list_directory_contents(f"{VOLUME}/d")] == ["part-0.csv"]
    put(workspace, "d/part-0.csv", b"2")
    assert not (volume / "d/.part-0.csv.crc").exists()


@pytest.mark.parametrize(
    "path", ["/Volumes", "/Volumes/main/default", "/FileStore/a", "/Workspace/a", f"{VOLUME}/../../x", VOLUME]
)
def test_paths_that_are_no_file_of_a_volume(http: httpx.Client, path: str) -> None:
    """Paths outside of a volume are refused with 400, however they are written."""
    escaped = path.replace("..", "%2e%2e")
    answer = http.put(f"/api/2.0/fs/files{escaped}", content=b"x")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_a_volume_that_does_not_exist(workspace: WorkspaceClient) -> None:
    """A missing volume: the error names the missing part."""
    with pytest.raises(NotFound, match=r"Volume 'main\.default\.other' does not exist"):
        workspace.files.upload("/Volumes/main/default/other/a", io.BytesIO(b"x"))
    with pytest.raises(NotFound, match=r"Catalog 'nowhere' does not exist"):
        list(workspace.files.list_directory_contents("/Volumes/nowhere/default/data"))


def test_the_root_of_a_volume_stays(workspace: WorkspaceClient) -> None:
    """The root folder of a volume cannot be deleted."""
    with pytest.raises(InvalidParameterValue):
        workspace.files.delete_directory(VOLUME)


def test_a_link_that_leads_out(workspace: WorkspaceClient, volume: Path, tmp_path: Path) -> None:
    """A link that leads out is neither followed nor listed, but can be deleted."""
    (tmp_path / "secret").write_text("secret")
    (volume / "link").symlink_to(tmp_path / "secret")
    (volume / "folder").symlink_to(tmp_path)
    for call in (
        lambda: get(workspace, "link"),
        lambda: get(workspace, "folder/secret"),
        lambda: put(workspace, "link"),
        lambda: put(workspace, "folder/new"),
        lambda: workspace.files.delete(f"{VOLUME}/folder/secret"),
    ):
        with pytest.raises(DatabricksError):
            call()
    assert list(workspace.files.list_directory_contents(VOLUME)) == []
    workspace.files.delete(f"{VOLUME}/link")
    assert (tmp_path / "secret").read_text() == "secret"


def test_sixteen_at_once(workspace: WorkspaceClient, volume: Path) -> None:
    """Parallel uploads all arrive, whole."""

    def upload(number: int) -> None:
        put(workspace, f"many/{number % 8}/{number}.bin", bytes([number]) * 100_000)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(upload, range(64)))
    for number in range(64):
        assert (volume / f"many/{number % 8}/{number}.bin").read_bytes() == bytes([number]) * 100_000
