"""The workspace tree, through the SDK."""

from __future__ import annotations

import base64
import io
import os
import threading
import time
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from databricks.sdk.errors import (
    BadRequest,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)
from databricks.sdk.service.workspace import ExportFormat, ImportFormat, Language, ObjectType

from kedro_databricks_hybrid.sandbox.workspace import routes
from tests.sandbox.objects import HOME, SOURCE, encoded, put

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.workspace import WorkspaceAPI

    from tests.sandbox.conftest import Running


@pytest.fixture
def api(workspace: WorkspaceClient) -> WorkspaceAPI:
    """Return the SDK's workspace client."""
    return workspace.workspace


@pytest.fixture
def home(running: Running) -> Path:
    """Return the path on disk of the user's home."""
    return running.sandbox.layout.workspace / HOME.lstrip("/")


def test_the_folders_of_a_new_workspace(api: WorkspaceAPI) -> None:
    """/Users, /Repos and /Shared exist, with the user's folder in the first two."""
    assert {entry.path for entry in api.list("/")} == {"/Repos", "/Shared", "/Users"}
    for path in ("/", HOME, "/Repos/user@example.com", "/Shared"):
        assert api.get_status(path).object_type == ObjectType.DIRECTORY


def test_workspace_may_stand_before_any_path(api: WorkspaceAPI) -> None:
    """/Workspace/x and /x are the same object with the same id; answers have the requested path."""
    put(api, f"/Workspace{HOME}/a.txt")
    path = f"{HOME}/a.txt"
    for asked, shown in (
        (path, path),
        (f"/Workspace{path}", f"/Workspace{path}"),
        (f"//Workspace/{path}", path),
    ):
        assert api.get_status(asked) == replace(api.get_status(path), path=shown)
        assert [entry.path for entry in api.list(asked.removesuffix("/a.txt"))] == [shown]
        with pytest.raises(ResourceDoesNotExist, match=rf"Path \({asked}/no\) doesn't exist\."):
            api.get_status(f"{asked}/no")
    assert api.get_status("/Workspace").path == "/Workspace"


def test_a_missing_path(api: WorkspaceAPI) -> None:
    """A missing path gives the API's message."""
    for call in (lambda: api.get_status("/Shared/no"), lambda: list(api.list("/Shared/no"))):
        with pytest.raises(ResourceDoesNotExist, match=r"Path \(/Shared/no\) doesn't exist\."):
            call()
    with pytest.raises(ResourceDoesNotExist):
        api.delete("/Shared/no")
    with pytest.raises(ResourceDoesNotExist):
        api.export("/Shared/no")


def test_a_path_is_needed(http: httpx.Client) -> None:
    """A request without a path names the missing parameter."""
    answer = http.get("/api/2.0/workspace/get-status")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "path" in answer.json()["message"]


def test_import_over_an_existing_object(api: WorkspaceAPI) -> None:
    """Import replaces an object only with overwrite, only of the same type, and never a folder."""
    put(api, f"{HOME}/a.txt", "1")
    with pytest.raises(ResourceAlreadyExists):
        put(api, f"{HOME}/a.txt", "2")
    put(api, f"{HOME}/a.txt", "3", overwrite=True)
    assert base64.b64decode(api.export(f"{HOME}/a.txt").content or "") == b"3"
    api.mkdirs(f"{HOME}/folder")
    with pytest.raises(ResourceAlreadyExists):
        put(api, f"{HOME}/folder", "4", overwrite=True)
    put(api, f"{HOME}/note", "5")
    with pytest.raises(InvalidParameterValue, match="type mismatch"):
        put(api, f"{HOME}/note.py", SOURCE, overwrite=True)


def test_import_needs_the_parent(api: WorkspaceAPI) -> None:
    """Import does not create a missing parent folder."""
    with pytest.raises(ResourceDoesNotExist, match="parent folder"):
        put(api, f"{HOME}/no/a.txt")


@pytest.mark.parametrize(("size", "fits"), [(10 * 1024 * 1024, True), (10 * 1024 * 1024 + 1, False)])
def test_ten_megabytes_is_the_limit_of_an_import(api: WorkspaceAPI, size: int, fits: bool) -> None:
    """Import accepts at most ten megabytes, counted before base64."""
    if fits:
        put(api, f"{HOME}/big", b"x" * size)
        assert api.get_status(f"{HOME}/big").size == size
    else:
        with pytest.raises(BadRequest) as refusal:
            put(api, f"{HOME}/big", b"x" * size)
        assert refusal.value.error_code == "MAX_NOTEBOOK_SIZE_EXCEEDED"


def test_the_sdks_upload_and_download(workspace: WorkspaceClient) -> None:
    """The SDK uploads a multipart form and downloads raw bytes."""
    workspace.workspace.upload(f"{HOME}/a.bin", io.BytesIO(b"\x00\xff"), format=ImportFormat.AUTO)
    with workspace.workspace.download(f"{HOME}/a.bin") as file:
        assert file.read() == b"\x00\xff"


def test_export_a_folder(api: WorkspaceAPI) -> None:
    """A folder is exported as a zip: only notebooks as SOURCE, everything as AUTO."""
    put(api, f"{HOME}/note.py", SOURCE)
    api.mkdirs(f"{HOME}/data")
    put(api, f"{HOME}/data/a.txt", "1")
    for kind, names in [
        (ExportFormat.SOURCE, ["note.py"]),
        (ExportFormat.AUTO, ["data/a.txt", "note.py"]),
    ]:
        content = base64.b64decode(api.export(HOME, format=kind).content or "")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert sorted(archive.namelist()) == names


def test_mkdirs(api: WorkspaceAPI) -> None:
    """Mkdirs creates parents, accepts an existing folder, and refuses the path of a file."""
    api.mkdirs(f"{HOME}/a/b")
    api.mkdirs(f"{HOME}/a/b")
    put(api, f"{HOME}/file", "x")
    for path in (f"{HOME}/file", f"{HOME}/file/b"):
        with pytest.raises(ResourceAlreadyExists):
            api.mkdirs(path)


def test_plain_folders_do_not_go_under_repos(api: WorkspaceAPI) -> None:
    """A folder of /Repos holds Git folders only."""
    api.mkdirs("/Repos/team")
    for call in (
        lambda: api.mkdirs("/Repos/team/plain"),
        lambda: put(api, "/Repos/team/a.txt"),
        lambda: put(api, "/Repos/a.txt"),
    ):
        with pytest.raises(BadRequest, match="Top-level folder can only contain repos") as refusal:
            call()
        assert refusal.value.error_code == "DIRECTORY_PROTECTED"


def test_delete(api: WorkspaceAPI, home: Path) -> None:
    """Deleting a folder with content requires `recursive`."""
    put(api, f"{HOME}/note.py", SOURCE)
    api.delete(f"{HOME}/note")
    api.mkdirs(f"{HOME}/a/b")
    with pytest.raises(BadRequest, match="not empty") as refusal:
        api.delete(f"{HOME}/a")
    assert refusal.value.error_code == "DIRECTORY_NOT_EMPTY"
    api.delete(f"{HOME}/a/b")
    api.delete(f"{HOME}/a", recursive=True)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "path", ["/", "/Users", "/Repos", "/Shared", HOME, "/Repos/user@example.com", "/Workspace"]
)
def test_what_cannot_be_deleted(api: WorkspaceAPI, running: Running, path: str) -> None:
    """The folders that every workspace has cannot be deleted."""
    with pytest.raises(PermissionDenied):
        api.delete(path, recursive=True)
    assert (running.sandbox.layout.workspace / HOME.lstrip("/")).is_dir()


def test_import_file(http: httpx.Client, api: WorkspaceAPI) -> None:
    """Import of raw bytes: 404 without the parent, 409 over a file, 400 over a notebook."""
    base = "/api/2.0/workspace-files/import-file"
    assert http.post(f"{base}{HOME}/a%20b.bin", content=b"\x00").status_code == 200
    assert api.get_status(f"{HOME}/a b.bin").size == 1
    again = http.post(f"{base}{HOME}/a%20b.bin", content=b"12")
    assert (again.status_code, again.json()["error_code"]) == (409, "ALREADY_EXISTS")
    assert http.post(f"{base}{HOME}/a%20b.bin?overwrite=true", content=b"12").status_code == 200
    orphan = http.post(f"{base}{HOME}/no/a", content=b"1")
    assert orphan.status_code == 404
    assert orphan.json()["message"] == f"The parent folder ({HOME}/no) does not exist."
    put(api, f"{HOME}/note.py", SOURCE)
    notebook = http.post(f"{base}{HOME}/note?overwrite=true", content=b"1")
    assert notebook.status_code == 400
    assert notebook.json()["message"].endswith("already exists.")


def test_somebody_elses_home(running: Running, api: WorkspaceAPI) -> None:
    """Another user's home cannot be read, written, listed or reached by a link."""
    put(api, f"{HOME}/secret.txt", "secret")
    other = running.workspace("other@example.com").workspace
    for call in (
        lambda: other.get_status(f"{HOME}/secret.txt"),
        lambda: list(other.list(HOME)),
        lambda: other.export(f"/Workspace{HOME}/secret.txt"),
        lambda: put(other, f"{HOME}/new.txt"),
        lambda: other.mkdirs(f"{HOME}/new"),
        lambda: other.delete(f"{HOME}/secret.txt"),
        lambda: other.delete(HOME, recursive=True),
    ):
        with pytest.raises(PermissionDenied):
            call()
    assert [entry.path for entry in other.list("/Users")] == ["/Users/other@example.com"]
    mine = running.sandbox.layout.workspace / "Users/other@example.com"
    (mine / "link").symlink_to(running.sandbox.layout.workspace / HOME.lstrip("/"))
    with pytest.raises(PermissionDenied):
        other.export("/Users/other@example.com/link/secret.txt")
    assert list(other.list("/Users/other@example.com")) == []


def test_a_home_of_nobody_cannot_be_made(api: WorkspaceAPI) -> None:
    """Mkdirs cannot create a home folder; only a new user gets one."""
    with pytest.raises(NotFound):
        api.mkdirs("/Users/nobody@example.com/a")


def test_a_link_that_leads_out(api: WorkspaceAPI, home: Path, tmp_path: Path) -> None:
    """A link that leads out can only be deleted."""
    (tmp_path / "secret").write_text("secret")
    (home / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(PermissionDenied):
        api.export(f"{HOME}/link")
    with pytest.raises(PermissionDenied):
        put(api, f"{HOME}/link", "x", overwrite=True)
    assert list(api.list(HOME)) == []
    assert (tmp_path / "secret").read_text() == "secret"


def test_a_folder_that_changes_while_it_is_listed(http: httpx.Client, running: Running) -> None:
    """Listing a folder works while files in it are created and deleted."""
    layout = running.sandbox.layout
    folders = [
        layout.workspace / HOME.lstrip("/"),
        layout.dbfs / "tmp",
        layout.volumes / "main/default/data",
    ]
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for folder in folders:
                for name in ("a.py", "b.txt"):
                    (folder / name).write_text(SOURCE)
                    (folder / name).unlink()
            time.sleep(0.0002)  # let the server have its turn

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(50):
            for address in (
                f"/api/2.0/workspace/list?path={HOME}",
                "/api/2.0/dbfs/list?path=/tmp",
                "/api/2.0/fs/directories/Volumes/main/default/data",
            ):
                assert http.get(address).status_code == 200
    finally:
        stop.set()
        thread.join()


def test_an_import_cannot_replace_the_root(api: WorkspaceAPI) -> None:
    """The root folder is refused as the path of an import."""
    with pytest.raises(InvalidParameterValue, match="root folder cannot be replaced"):
        put(api, "/", overwrite=True)


def test_a_file_needs_a_name(http: httpx.Client) -> None:
    """A raw import to a path of slashes is refused."""
    answer = http.post("/api/2.0/workspace-files/import-file/%2F", content=b"1")
    assert (answer.status_code, answer.json()["message"]) == (400, "A file name is required.")


def test_a_name_that_is_too_long_for_its_disk(api: WorkspaceAPI) -> None:
    """A notebook's file name on disk has an extension, which may make it too long."""
    kind: dict[str, Any] = {"format": ImportFormat.SOURCE, "language": Language.PYTHON}
    for name in ("n" * 253, "n" * 255):
        with pytest.raises(InvalidParameterValue, match="name is too long"):
            api.import_(f"{HOME}/{name}", content=encoded("1"), **kind)
        with pytest.raises(ResourceDoesNotExist):
            api.get_status(f"{HOME}/{name}")
    with pytest.raises(InvalidParameterValue, match="is too long"):
        api.get_status("/n" * 1600)


def test_what_is_too_large_to_export(api: WorkspaceAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a zip, and a notebook that is too large only in another format are not exported."""
    monkeypatch.setattr(routes, "MAX_BYTES", 300)
    put(api, f"{HOME}/note.py", SOURCE)
    api.mkdirs(f"{HOME}/data")
    for name in ("a", "b"):
        put(api, f"{HOME}/data/{name}", os.urandom(200))
    assert api.export(f"{HOME}/data/a", format=ExportFormat.AUTO).content
    for path, kind in ((f"{HOME}/data", ExportFormat.AUTO), (f"{HOME}/note", ExportFormat.JUPYTER)):
        with pytest.raises(BadRequest, match="larger than the limit"):
            api.export(path, format=kind)
    monkeypatch.setattr(routes, "MAX_BYTES", 100)
    with pytest.raises(BadRequest, match="larger than the limit"):
        api.export(f"{HOME}/data/a", format=ExportFormat.AUTO)


def test_uploads_that_are_too_large(
    http: httpx.Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A raw file and a form are refused before they are kept."""
    monkeypatch.setattr(routes, "MAX_FILE_BYTES", 10)
    monkeypatch.setattr(routes, "MAX_BYTES", 10)
    base = "/api/2.0/workspace"
    file = http.post(f"{base}-files/import-file{HOME}/a", content=b"x" * 11)
    form = {"path": f"{HOME}/b", "format": "AUTO"}
    large = http.post(f"{base}/import", data=form, files={"content": b"x" * 70_000})
    codes = [(answer.status_code, answer.json()["error_code"]) for answer in (file, large)]
    assert codes == [(400, "MAX_FILE_SIZE_EXCEEDED"), (400, "MAX_NOTEBOOK_SIZE_EXCEEDED")]
    assert list(running.workspace().workspace.list(HOME)) == []
    assert list(running.sandbox.layout.scratch.iterdir()) == []


def test_a_folder_has_no_other_format(api: WorkspaceAPI) -> None:
    """A folder is exported only as SOURCE or AUTO."""
    with pytest.raises(InvalidParameterValue, match="Format JUPYTER is not supported for folders"):
        api.export(HOME, format=ExportFormat.JUPYTER)


def test_git_info_of_what_is_in_no_git_folder(http: httpx.Client) -> None:
    """Git details of an object outside of a Git folder are missing, without an error."""
    asked = {"path": HOME, "return_git_info": "true"}
    shown = http.get("/api/2.0/workspace/get-status", params=asked).raise_for_status().json()
    assert (shown["path"], "git_info" in shown) == (HOME, False)


def test_a_link_to_nothing_can_be_deleted(api: WorkspaceAPI, home: Path) -> None:
    """A broken link can be deleted."""
    (home / "link").symlink_to("nothing")
    api.delete(f"{HOME}/link")
    assert not (home / "link").is_symlink()
