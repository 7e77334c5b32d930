"""DBFS, with the SDK and with requests of the legacy command line."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import (
    BadRequest,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.files import DbfsAPI

from kedro_databricks_hybrid.sandbox.dbfs import model as files
from kedro_databricks_hybrid.sandbox.dbfs import routes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx
    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Running

MEGABYTE = 1024 * 1024


@pytest.fixture
def dbfs(workspace: WorkspaceClient) -> DbfsAPI:
    """Return the SDK's DBFS client, each call of which is one request."""
    return DbfsAPI(workspace.api_client)  # type: ignore[no-untyped-call]


@pytest.fixture
def root(running: Running) -> Path:
    """Return the folder behind dbfs:/."""
    return running.sandbox.layout.dbfs


def put(dbfs: DbfsAPI, path: str, content: bytes = b"x", **options: bool) -> None:
    """Write a small file."""
    dbfs.put(path, contents=base64.b64encode(content).decode(), **options)


def read(dbfs: DbfsAPI, path: str, **part: int) -> tuple[int | None, bytes]:
    """Return the size in the answer and the content."""
    answer = dbfs.read(path, **part)
    assert answer.data is not None
    return answer.bytes_read, base64.b64decode(answer.data)


def created(dbfs: DbfsAPI, path: str, **options: bool) -> int:
    """Begin a file and return its handle."""
    handle = dbfs.create(path, **options).handle
    assert handle is not None
    return handle


def test_put_makes_parents_and_can_be_read(dbfs: DbfsAPI, root: Path) -> None:
    """Put creates parent folders; the file is on disk and read byte for byte."""
    put(dbfs, "/root/projects/iris/a.bin", b"\x00\xff")
    assert (root / "root/projects/iris/a.bin").read_bytes() == b"\x00\xff"
    assert read(dbfs, "/root/projects/iris/a.bin") == (2, b"\x00\xff")


def test_the_scheme_may_be_written(dbfs: DbfsAPI) -> None:
    """`dbfs:/x` is the same path as `/x`."""
    put(dbfs, "dbfs:/a.txt")
    assert dbfs.get_status("/a.txt").path == "/a.txt"


def test_put_over_an_existing_file(dbfs: DbfsAPI) -> None:
    """Put over a file is refused without overwrite; over a folder always."""
    put(dbfs, "/d/a.txt", b"1")
    with pytest.raises(ResourceAlreadyExists) as refusal:
        put(dbfs, "/d/a.txt", b"2")
    assert refusal.value.error_code == "RESOURCE_ALREADY_EXISTS"
    put(dbfs, "/d/a.txt", b"3", overwrite=True)
    assert read(dbfs, "/d/a.txt") == (1, b"3")
    with pytest.raises(ResourceAlreadyExists):
        put(dbfs, "/d", b"4", overwrite=True)
    with pytest.raises(ResourceAlreadyExists):
        put(dbfs, "/d/a.txt/b", b"5", overwrite=True)


def test_statuses_of_refusals(http: httpx.Client) -> None:
    """RESOURCE_ALREADY_EXISTS has status 400, RESOURCE_DOES_NOT_EXIST 404."""
    body = {"path": "/a", "contents": ""}
    assert http.post("/api/2.0/dbfs/put", json=body).status_code == 200
    assert http.post("/api/2.0/dbfs/put", json=body).status_code == 400
    answer = http.get("/api/2.0/dbfs/get-status", params={"path": "/b"})
    assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize(("size", "fits"), [(MEGABYTE, True), (MEGABYTE + 1, False)])
def test_a_megabyte_is_the_limit_of_a_put(dbfs: DbfsAPI, size: int, fits: bool) -> None:
    """Put accepts at most one megabyte, counted before base64."""
    if fits:
        put(dbfs, "/a", b"x" * size)
        assert dbfs.get_status("/a").file_size == size
    else:
        with pytest.raises(BadRequest) as refusal:
            put(dbfs, "/a", b"x" * size)
        assert refusal.value.error_code == "MAX_BLOCK_SIZE_EXCEEDED"


def test_contents_that_are_not_base64(http: httpx.Client) -> None:
    """Put of contents that are not base64 is refused."""
    answer = http.post("/api/2.0/dbfs/put", json={"path": "/a", "contents": "no base64!"})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "MALFORMED_REQUEST")


def test_put_as_a_multipart_form(http: httpx.Client, dbfs: DbfsAPI) -> None:
    """Put as a multipart form, as the legacy command line sends it, accepts larger files."""
    content = b"y" * (3 * MEGABYTE)
    answer = http.post(
        "/api/2.0/dbfs/put", data={"path": "/form.bin", "overwrite": "true"}, files={"file": ("f", content)}
    )
    assert answer.status_code == 200
    assert dbfs.get_status("/form.bin").file_size == len(content)


def test_json_with_another_content_type(http: httpx.Client, dbfs: DbfsAPI) -> None:
    """JSON with the content type text/json, as the legacy command line sends it, is accepted."""
    body = json.dumps({"path": "/from-legacy"})
    answer = http.post("/api/2.0/dbfs/mkdirs", content=body, headers={"Content-Type": "text/json"})
    assert answer.status_code == 200
    assert dbfs.get_status("/from-legacy").is_dir


def test_upload_in_blocks(dbfs: DbfsAPI, root: Path) -> None:
    """Create, add-block and close: the file does not exist before close."""
    handle = created(dbfs, "/big.bin")
    dbfs.add_block(handle, base64.b64encode(b"a" * MEGABYTE).decode())
    dbfs.add_block(handle, base64.b64encode(b"b").decode())
    assert not (root / "big.bin").exists()
    dbfs.close(handle)
    assert (root / "big.bin").read_bytes() == b"a" * MEGABYTE + b"b"
    with pytest.raises(ResourceDoesNotExist, match="handle"):
        dbfs.close(handle)
    with pytest.raises(ResourceDoesNotExist, match="handle"):
        dbfs.add_block(handle, "")


def test_a_block_that_is_too_large(dbfs: DbfsAPI) -> None:
    """A block of more than one megabyte is refused."""
    handle = created(dbfs, "/big.bin")
    with pytest.raises(BadRequest) as refusal:
        dbfs.add_block(handle, base64.b64encode(b"a" * (MEGABYTE + 1)).decode())
    assert refusal.value.error_code == "MAX_BLOCK_SIZE_EXCEEDED"


def test_a_handle_is_its_users_alone(running: Running, dbfs: DbfsAPI) -> None:
    """Another user cannot write to a handle."""
    handle = created(dbfs, "/a")
    with pytest.raises(ResourceDoesNotExist):
        running.workspace("other@example.com").dbfs.close(handle)
    dbfs.close(handle)


def test_create_over_an_existing_file(dbfs: DbfsAPI) -> None:
    """Create over a file is refused at once, without overwrite."""
    put(dbfs, "/a", b"1")
    with pytest.raises(ResourceAlreadyExists):
        dbfs.create("/a")
    dbfs.close(created(dbfs, "/a", overwrite=True))
    assert dbfs.get_status("/a").file_size == 0


def test_the_sdks_own_upload_and_download(workspace: WorkspaceClient) -> None:
    """The SDK uploads and downloads a file in blocks."""
    content = bytes(range(256)) * 10_000
    workspace.dbfs.upload("/sdk.bin", io.BytesIO(content), overwrite=True)
    with workspace.dbfs.download("/sdk.bin") as file:
        assert file.read() == content


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, 3, b"abc"), (3, 100, b"def"), (6, 10, b""), (99, 1, b""), (2, 0, b"")],
)
def test_read_a_part(dbfs: DbfsAPI, offset: int, length: int, expected: bytes) -> None:
    """Read returns a part of a file; past the end it is empty, without an error."""
    put(dbfs, "/a", b"abcdef")
    assert read(dbfs, "/a", offset=offset, length=length) == (len(expected), expected)


def test_read_gives_half_a_megabyte_unless_told(dbfs: DbfsAPI) -> None:
    """Read without a length returns half a megabyte."""
    put(dbfs, "/a", b"x" * MEGABYTE)
    assert dbfs.read("/a").bytes_read == MEGABYTE // 2
    assert dbfs.read("/a", length=MEGABYTE).bytes_read == MEGABYTE
    with pytest.raises(BadRequest) as refusal:
        dbfs.read("/a", length=MEGABYTE + 1)
    assert refusal.value.error_code == "MAX_READ_SIZE_EXCEEDED"


@pytest.mark.parametrize("options", [{"offset": -1}, {"length": -1}])
def test_read_refuses_negative_numbers(dbfs: DbfsAPI, options: dict[str, int]) -> None:
    """Read refuses a negative offset or length, as documented."""
    put(dbfs, "/a")
    with pytest.raises(InvalidParameterValue):
        dbfs.read("/a", **options)


def test_read_refuses_folders_and_missing_files(dbfs: DbfsAPI) -> None:
    """Read of a folder and of a missing file are refused with different codes."""
    with pytest.raises(InvalidParameterValue):
        dbfs.read("/FileStore")
    with pytest.raises(ResourceDoesNotExist):
        dbfs.read("/missing")


def test_list(dbfs: DbfsAPI) -> None:
    """List returns folders, files with sizes, and a file as itself; a missing path is refused."""
    put(dbfs, "/d/b.txt", b"12")
    dbfs.mkdirs("/d/a")
    listed = [(info.path, info.is_dir, info.file_size) for info in dbfs.list("/d")]
    assert listed == [("/d/a", True, 0), ("/d/b.txt", False, 2)]
    assert [info.path for info in dbfs.list("/d/b.txt")] == ["/d/b.txt"]
    assert list(dbfs.list("/d/a")) == []
    with pytest.raises(ResourceDoesNotExist):
        list(dbfs.list("/missing"))


def test_mkdirs_over_a_file(dbfs: DbfsAPI) -> None:
    """Mkdirs over a file, or below one, is refused; an existing folder is accepted."""
    put(dbfs, "/a")
    for path in ("/a", "/a/b"):
        with pytest.raises(ResourceAlreadyExists) as refusal:
            dbfs.mkdirs(path)
        assert str(refusal.value) == f"Cannot create directory {path} because /a is an existing file."
    dbfs.mkdirs("/FileStore")


def test_delete(dbfs: DbfsAPI, root: Path) -> None:
    """Deleting a missing path is accepted; a folder with content requires `recursive`."""
    dbfs.delete("/missing")
    put(dbfs, "/d/e/a")
    with pytest.raises(BadRequest, match="must be true to delete a non-empty directory") as refusal:
        dbfs.delete("/d")
    assert refusal.value.error_code == "IO_ERROR"
    dbfs.delete("/d/e/a")
    dbfs.delete("/d/e")
    dbfs.delete("/d", recursive=True)
    assert not (root / "d").exists()
    with pytest.raises(InvalidParameterValue):
        dbfs.delete("/", recursive=True)


def test_move(dbfs: DbfsAPI) -> None:
    """Files and folders can be moved, but not over an existing path."""
    put(dbfs, "/d/a", b"1")
    put(dbfs, "/e", b"2")
    with pytest.raises(ResourceAlreadyExists):
        dbfs.move("/d/a", "/e")
    dbfs.move("/d", "/new/place")
    assert read(dbfs, "/new/place/a") == (1, b"1")
    with pytest.raises(NotFound):
        dbfs.move("/d", "/elsewhere")
    with pytest.raises(InvalidParameterValue):
        dbfs.move("/new", "/new/inside")


def test_checksum_files_of_spark_do_not_show(dbfs: DbfsAPI, root: Path) -> None:
    """Spark's checksum files are hidden, do not count as content, and are deleted with their data."""
    put(dbfs, "/d/part-0.csv", b"1")
    for name in (".part-0.csv.crc", "._SUCCESS.crc"):
        (root / "d" / name).write_text("checksum")
    assert [info.path for info in dbfs.list("/d")] == ["/d/part-0.csv"]
    put(dbfs, "/d/part-0.csv", b"2", overwrite=True)
    assert not (root / "d/.part-0.csv.crc").exists()
    dbfs.delete("/d/part-0.csv")
    dbfs.delete("/d")
    assert not (root / "d").exists()


def test_the_root_can_be_disabled(running: Running, dbfs: DbfsAPI, http: httpx.Client) -> None:
    """With a disabled root, as in new workspaces, the error names the path; `/` can be listed."""
    running.sandbox.public_dbfs_root = False
    with pytest.raises(
        PermissionDenied, match=r"Public DBFS root is disabled\. Access is denied on path: /File"
    ):
        dbfs.mkdirs("/FileStore/a")
    assert http.get("/api/2.0/dbfs/list", params={"path": "/"}).status_code == 200


def test_volumes_are_not_served_here(dbfs: DbfsAPI, http: httpx.Client) -> None:
    """The DBFS API refuses what the Files API serves."""
    answer = http.get("/api/2.0/dbfs/list", params={"path": "/Volumes/main"})
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    assert answer.json()["message"] == "No operations allowed on this path."


def test_a_link_that_leads_out(dbfs: DbfsAPI, root: Path, tmp_path: Path) -> None:
    """A link that leads out is not followed or listed; deleting it keeps its target."""
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to(tmp_path)
    for call in (
        lambda: dbfs.read("/link/secret"),
        lambda: list(dbfs.list("/link")),
        lambda: put(dbfs, "/link/new", b"x"),
        lambda: dbfs.delete("/link/secret"),
    ):
        with pytest.raises(DatabricksError):
            call()
    assert "/link" not in [info.path for info in dbfs.list("/")]
    dbfs.delete("/link", recursive=True)
    assert (tmp_path / "secret").exists()
    assert not (root / "link").is_symlink()


def test_a_delete_of_very_many_files(
    running: Running, workspace: WorkspaceClient, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request deletes only some of very many files; the SDK repeats it until all are deleted."""
    monkeypatch.setattr(files, "MAX_DELETED_FILES", 4)
    root = running.sandbox.layout.dbfs
    for number in range(10):
        (root / "many" / str(number % 3)).mkdir(parents=True, exist_ok=True)
        (root / "many" / str(number % 3) / str(number)).touch()
    answer = http.post("/api/2.0/dbfs/delete", json={"path": "/many", "recursive": True})
    assert (answer.status_code, answer.json()["error_code"]) == (503, "PARTIAL_DELETE")
    assert sum(path.is_file() for path in (root / "many").rglob("*")) == 6
    workspace.dbfs.delete("/many", recursive=True)
    assert not (root / "many").exists()


def test_the_root_is_no_file(dbfs: DbfsAPI) -> None:
    """The root can be neither written nor moved."""
    with pytest.raises(InvalidParameterValue, match="A file name is required"):
        put(dbfs, "/", overwrite=True)
    with pytest.raises(InvalidParameterValue, match="root folder cannot be moved"):
        dbfs.move("/", "/elsewhere")


def test_a_delete_of_as_many_files_as_may_be(
    dbfs: DbfsAPI, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting exactly the maximum of files also deletes the empty folders."""
    monkeypatch.setattr(files, "MAX_DELETED_FILES", 4)
    for number in range(4):
        put(dbfs, f"/many/{number}/file")
    dbfs.delete("/many", recursive=True)
    assert not (root / "many").exists()


def test_a_handle_that_is_idle_for_long_is_closed(
    start_sandbox: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data of an idle handle is deleted, and its next call is refused."""
    monkeypatch.setattr(routes, "IDLE_SECONDS", -1.0)
    running = start_sandbox()
    dbfs = DbfsAPI(running.workspace().api_client)  # type: ignore[no-untyped-call]
    handle = created(dbfs, "/late")
    with pytest.raises(ResourceDoesNotExist, match="No stream opened with handle"):
        dbfs.add_block(handle, base64.b64encode(b"x").decode())
    assert list(running.sandbox.layout.scratch.iterdir()) == []
