"""Large files with the SDK: in parts, in parallel, by signed URLs."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import httpx
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import AlreadyExists

from kedro_databricks_hybrid.sandbox.volumes import upload_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.conftest import Running

FILE = "/Volumes/main/default/data/large.bin"
CONTENT = bytes(range(256)) * 4096 * 3  # three megabytes
BASE = "/api/2.0/fs"


@pytest.fixture
def in_parts(running: Running) -> WorkspaceClient:
    """Return a client that sends files above one megabyte in parts of half a megabyte."""
    config = Config(host=running.url, token=running.sandbox.user.token, retry_timeout_seconds=5)
    config.files_ext_multipart_upload_min_stream_size = 1024 * 1024
    config.files_ext_multipart_upload_default_part_size = 512 * 1024
    config.files_ext_multipart_upload_part_size_options = [512 * 1024]
    return WorkspaceClient(config=config)


def part_url(http: httpx.Client, token: str) -> str:
    """Return the signed address of the first part."""
    body = {"path": FILE, "session_token": token, "start_part_number": 1, "count": 1}
    return str(http.post(f"{BASE}/create-upload-part-urls", json=body).json()["upload_part_urls"][0]["url"])


def begin(http: httpx.Client) -> str:
    """Begin an upload and return its token."""
    answer = http.post(f"{BASE}/files{FILE}", params={"action": "initiate-upload"})
    return str(answer.json()["multipart_upload"]["session_token"])


def complete(http: httpx.Client, token: str, parts: list[dict[str, object]]) -> httpx.Response:
    """Complete the upload."""
    params = {"action": "complete-upload", "upload_type": "multipart", "session_token": token}
    return http.post(f"{BASE}/files{FILE}", params=params, json={"parts": parts})


@pytest.mark.parametrize("use_parallel", [False, True])
def test_a_large_stream(
    in_parts: WorkspaceClient, running: Running, use_parallel: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A large stream is stored with the same content, and no parts are left."""
    with caplog.at_level(logging.DEBUG, logger="databricks.sdk"):
        in_parts.files.upload(FILE, io.BytesIO(CONTENT), use_parallel=use_parallel)
    assert sum("create-upload-part-urls" in record.getMessage() for record in caplog.records) >= 1
    layout = running.sandbox.layout
    assert (layout.volumes / FILE.removeprefix("/Volumes/")).read_bytes() == CONTENT
    assert list(layout.scratch.iterdir()) == []


def test_a_large_stream_in_chunks(
    in_parts: WorkspaceClient, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """Chunks, as on Google Cloud: a connection that breaks after one does not damage the file."""
    running.sandbox.uploads = "resumable"
    running.sandbox.faults.add("reset-after", method="PUT", path="/storage/*", nth=2)
    with caplog.at_level(logging.DEBUG, logger="databricks.sdk"):
        in_parts.files.upload(FILE, io.BytesIO(CONTENT), use_parallel=False)
    said = [record.getMessage() for record in caplog.records]
    assert sum("Uploading chunk: bytes" in line for line in said) >= 6
    layout = running.sandbox.layout
    assert (layout.volumes / FILE.removeprefix("/Volumes/")).read_bytes() == CONTENT
    assert list(layout.scratch.iterdir()) == []
    with pytest.raises(AlreadyExists):
        in_parts.files.upload(FILE, io.BytesIO(CONTENT), overwrite=False)


def test_chunks(http: httpx.Client, running: Running) -> None:
    """A repeated chunk is skipped; a chunk that leaves a gap or has no range is refused."""
    running.sandbox.uploads = "resumable"
    answer = http.post(f"{BASE}/files{FILE}", params={"action": "initiate-upload", "overwrite": "false"})
    body = {"path": FILE, "session_token": answer.json()["resumable_upload"]["session_token"]}
    url = http.post(f"{BASE}/create-resumable-upload-url", json=body).json()["resumable_upload_url"]["url"]

    def put(span: str, content: bytes) -> tuple[int, str | None]:
        done = httpx.put(url, content=content, headers={"Content-Range": span})
        return done.status_code, done.headers.get("Range")

    assert put("bytes */*", b"") == (308, None)
    assert put("bytes 0-2/*", b"abc") == (308, "bytes=0-2")
    assert put("bytes 1-3/*", b"bcd") == (308, "bytes=0-3")
    assert put("bytes */*", b"") == (308, "bytes=0-3")
    for span, content in (("bytes 5-5/*", b"x"), ("bytes 4-9/*", b"x"), ("", b"x"), ("bytes 4-5/5", b"xy")):
        assert put(span, content)[0] == 400
    http.put(f"{BASE}/files{FILE}", content=b"meanwhile")
    assert put("bytes 4-4/5", b"e")[0] == 412
    assert http.get(f"{BASE}/files{FILE}").content == b"meanwhile"
    assert list(running.sandbox.layout.scratch.iterdir()) == []


def test_a_large_file_there_and_back(in_parts: WorkspaceClient, tmp_path: Path) -> None:
    """A large file is uploaded from disk and downloaded to disk, in parallel."""
    (tmp_path / "there").write_bytes(CONTENT)
    in_parts.files.upload_from(FILE, str(tmp_path / "there"), use_parallel=True)
    in_parts.files.download_to(FILE, str(tmp_path / "back"), use_parallel=True)
    assert (tmp_path / "back").read_bytes() == CONTENT


def test_a_large_file_that_may_not_overwrite(in_parts: WorkspaceClient) -> None:
    """An upload that must not overwrite is refused before any part is sent."""
    in_parts.files.upload(FILE, io.BytesIO(b"small"))
    with pytest.raises(AlreadyExists):
        in_parts.files.upload(FILE, io.BytesIO(CONTENT), overwrite=False)


def test_a_signed_address_needs_no_token(http: httpx.Client, running: Running) -> None:
    """The key in the address replaces the token."""
    token = begin(http)
    url = part_url(http, token)
    tag = httpx.put(url, content=b"abc").headers["etag"]
    assert httpx.put(url[:-4] + "xx/1", content=b"abc").status_code == 403
    assert httpx.get(f"{running.url}/storage/nothing").status_code == 403
    assert complete(http, token, [{"part_number": 1, "etag": tag}]).status_code == 200
    assert http.get(f"{BASE}/files{FILE}").content == b"abc"
    assert httpx.put(url, content=b"late").status_code == 403


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [{"part_number": 1, "etag": "wrong"}],
        [{"part_number": 2, "etag": "wrong"}],
        [{"part_number": [], "etag": {}}],
        ["part"],
        [None],
    ],
)
def test_parts_that_do_not_fit(http: httpx.Client, parts: list[dict[str, object]]) -> None:
    """Wrong parts create no file."""
    token = begin(http)
    httpx.put(part_url(http, token), content=b"abc")
    assert complete(http, token, parts).status_code == 400
    assert http.head(f"{BASE}/files{FILE}").status_code == 404


def test_an_upload_is_its_users_alone(http: httpx.Client, running: Running) -> None:
    """Another user cannot use an upload."""
    token = begin(http)
    other = running.http("other@example.com")
    body = {"path": FILE, "session_token": token}
    assert other.post(f"{BASE}/create-upload-part-urls", json=body).status_code == 404
    assert complete(other, token, []).status_code == 404


def test_an_upload_that_is_given_up(http: httpx.Client, running: Running) -> None:
    """Aborting an upload removes its parts."""
    token = begin(http)
    httpx.put(part_url(http, token), content=b"abc")
    body = {"path": FILE, "session_token": token}
    url = http.post(f"{BASE}/create-abort-upload-url", json=body).json()["abort_upload_url"]["url"]
    assert httpx.delete(url).status_code == 204
    assert list(running.sandbox.layout.scratch.iterdir()) == []
    assert complete(http, token, []).status_code == 404


def test_an_upload_is_kept_for_a_while_only(
    http: httpx.Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an hour, here at once, an upload and its parts are deleted; download URLs expire too."""
    token = begin(http)
    httpx.put(part_url(http, token), content=b"abc")
    http.put(f"{BASE}/files/Volumes/main/default/data/small", content=b"x")
    asked = {"path": "/Volumes/main/default/data/small"}
    url = http.post(f"{BASE}/create-download-url", params=asked).json()["url"]
    assert httpx.get(url).content == b"x"
    monkeypatch.setattr(upload_model, "UPLOAD_SECONDS", -1.0)
    assert httpx.get(url).status_code == 403
    assert complete(http, token, []).status_code == 404
    assert list(running.sandbox.layout.scratch.iterdir()) == []


def test_actions_and_numbers_that_are_refused(http: httpx.Client) -> None:
    """An unknown action, an invalid part number, and too few or too many URLs are refused."""
    answer = http.post(f"{BASE}/files{FILE}", params={"action": "dance"})
    assert (answer.status_code, answer.json()["message"]) == (400, "Unknown action 'dance'.")
    body = {"path": FILE, "session_token": begin(http)}
    for fields, words in (
        ({"start_part_number": 0}, "Part numbers are from 1 to"),
        ({"count": 0}, "count must be between 1 and"),
        ({"count": 10**6}, "count must be between 1 and"),
    ):
        answer = http.post(f"{BASE}/create-upload-part-urls", json={**body, **fields})
        assert answer.status_code == 400
        assert words in answer.json()["message"]


@pytest.mark.parametrize(("is_folder", "status"), [(True, 412), (False, 404)])
def test_chunks_for_a_place_that_is_no_longer_one(
    http: httpx.Client, running: Running, is_folder: bool, status: int
) -> None:
    """The target became a folder, or its volume was deleted: the last chunk is refused, nothing is kept."""
    running.sandbox.uploads = "resumable"
    answer = http.post(f"{BASE}/files{FILE}", params={"action": "initiate-upload"})
    body = {"path": FILE, "session_token": answer.json()["resumable_upload"]["session_token"]}
    url = http.post(f"{BASE}/create-resumable-upload-url", json=body).json()["resumable_upload_url"]["url"]
    if is_folder:
        http.put(f"{BASE}/directories{FILE}").raise_for_status()
    else:
        http.delete("/api/2.1/unity-catalog/volumes/main.default.data").raise_for_status()
    done = httpx.put(url, content=b"abc", headers={"Content-Range": "bytes 0-2/3"})
    assert done.status_code == status, done.text
    assert list(running.sandbox.layout.scratch.iterdir()) == []
