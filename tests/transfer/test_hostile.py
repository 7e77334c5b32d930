"""Data roots of a broken or hostile workspace: nothing hangs, and wrong answers are not taken for data."""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from kedro_databricks_hybrid.databricks import transport
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import (
    HybridError,
    LoginError,
    TransferError,
    UnexpectedAnswerError,
    WorkspaceError,
)
from kedro_databricks_hybrid.transfer.files import BLOCK
from kedro_databricks_hybrid.transfer.trees import protocol
from kedro_databricks_hybrid.transfer.trees.protocol import walk
from tests.transfer.conftest import DBFS, VOLUME, fill

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.transfer.bad_line import Fault, Request
    from tests.transfer.conftest import Site

HERE = PurePosixPath()


def answer(site: Site, words: str, what: Callable[[dict[str, str]], object]) -> None:
    """Answer requests whose URL contains these words with JSON that is computed from their query."""

    def fault(request: Request) -> Fault:
        if words not in request.line:
            return None
        query = parse_qs(urlsplit(request.line.split(" ")[1]).query)
        site.line.says = json.dumps(what({name: values[0] for name, values in query.items()})).encode()
        return 200

    site.line.fault = fault


@pytest.mark.parametrize("size", [2 * BLOCK, 2 * BLOCK + 1, 3 * BLOCK])
def test_an_ignored_offset_is_noticed(site: Site, tmp_path: Path, size: int) -> None:
    """The workspace ignores the offset of a read: the wrong content is an error, and reading ends."""
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    fill(site.folder(), {"a.bin": content})
    assert b"".join(site.tree().chunks(PurePosixPath("a.bin"), size)) == content
    assert site.tree().read(PurePosixPath("a.bin")) == content

    def from_the_start(query: dict[str, str]) -> object:
        data = content[: int(query["length"])]
        return {"bytes_read": len(data), "data": base64.b64encode(data).decode()}

    answer(site, "/dbfs/read", from_the_start)
    pull = site.pull(tmp_path)
    with pytest.raises(TransferError, match=r"a\.bin has \d+ bytes, but is listed with"):
        pull.perform(pull.prepare([HERE]))
    with pytest.raises(TransferError, match="but is listed with"):
        site.tree().read(PurePosixPath("a.bin"))
    assert not list(tmp_path.glob("*.bin"))


@pytest.mark.parametrize(
    ("read", "told"),
    [
        ({"bytes_read": 4, "data": "YWE="}, "has 2 bytes instead of 4"),
        ({"bytes_read": 2, "data": "Y W E="}, "is not base64"),
        ({"bytes_read": 0}, "has 0 bytes, but is listed with 4"),
    ],
)
def test_a_body_that_is_short_or_no_base64(site: Site, read: object, told: str) -> None:
    """Content that is too short or invalid base64, which Python's decoder accepts, is an error."""
    answer(site, "/dbfs/read", lambda _: read)
    with pytest.raises(HybridError, match=told):
        list(site.tree().chunks(PurePosixPath("a.csv"), 4))


@pytest.mark.parametrize("root", [DBFS, VOLUME])
def test_listings_that_are_not_of_this_folder(site: Site, root: str) -> None:
    """A listing with one name twice, or with a path outside the folder, is an error."""
    base = root.removeprefix("dbfs:")
    for paths, told in (
        ([(f"{base}/a", False), (f"{base}/a", True)], "two entries called 'a'"),
        ([("/etc/passwd", False)], "'/etc/passwd', which is not in"),
        ([(f"{base}/../b", False)], "which is not in"),
        ([(f"{base}/a\0b/c", False)], r"a\\x00b/c', which is not in"),
    ):
        entries = [
            {"path": path, "is_dir": is_folder, "is_directory": is_folder, "file_size": 1}
            for path, is_folder in paths
        ]
        answer(site, "/api/2.0/", lambda _, found=entries: {"files": found, "contents": found})  # type: ignore[misc]
        with pytest.raises(UnexpectedAnswerError, match=told):
            site.tree(root).list(HERE)


def test_pages_that_do_not_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing whose pages never end, or name themselves as the next one, is an error."""
    monkeypatch.setattr(transport, "_MOST_PAGES", 20)
    pages = itertools.count()
    answer(site, "/fs/directories", lambda _: {"contents": [], "next_page_token": str(next(pages))})
    with pytest.raises(UnexpectedAnswerError, match="has more than 20 pages"):
        site.tree(VOLUME).list(HERE)
    answer(site, "/fs/directories", lambda _: {"contents": [], "next_page_token": "same"})
    with pytest.raises(UnexpectedAnswerError, match="names the same page as the next one"):
        site.tree(VOLUME).list(HERE)
    site.line.forget()
    assert site.tree(VOLUME).list(HERE) is None


def test_folders_that_do_not_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders that nest too deeply, or are too many, are an error."""

    def within(names: list[str]) -> Callable[[dict[str, str]], object]:
        return lambda query: {
            "files": [
                {"path": f"{query['path']}/{name}{len(query['path'])}", "is_dir": True, "file_size": 0}
                for name in names
            ]
        }

    answer(site, "/dbfs/list", within(["x"]))
    with pytest.raises(UnexpectedAnswerError, match="nests more than 200 folders"):
        walk(site.tree(), HERE)
    monkeypatch.setattr(protocol, "_MOST_FOLDERS", 30)
    answer(site, "/dbfs/list", within(["x", "y"]))
    with pytest.raises(TransferError, match="more than 30 folders"):
        walk(site.tree(), HERE)


REFUSALS = [
    *(b"", b"[]", b"5", b"upstream connect error", b"\xff\xfe\x00", b"<html><title>Bad</title>", b"[" * 9999),
    *(b'{"error_code": 5, "message": {"a": 1}}', b'{"message": "\\ud800"}', b'{"error_code": ["x"]}', b"{}"),
    *(b'{"details": 7, "message": "no"}', b'{"error": 1.5, "detail": [], "status": {}}', b"x" * 100_000),
]


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_refusals_that_cannot_be_read(site: Site, status: int) -> None:
    """Refusals with an unreadable body become one short line without content of the request."""
    create = site.workspace().client.git_credentials.create
    for body in REFUSALS:
        site.line.fault, site.line.says = lambda _: status, body
        with (
            pytest.raises((WorkspaceError, LoginError)) as caught,
            translated("register the credential"),
        ):
            create("gitHub", personal_access_token="made-up-token")
        told = caught.value.message
        assert "made-up" not in told
        assert "\n" not in told
        assert len(told) < 500, told


def test_a_write_is_not_redirected(site: Site) -> None:
    """A redirect of a write is an error, since following it would send another request."""
    site.line.retry_after = "1\r\nLocation: /api/2.0/dbfs/list?path=/"
    site.line.fault = lambda request: 302 if request.method == "POST" else None
    with pytest.raises(UnexpectedAnswerError, match=r"redirects to '/api/2\.0/dbfs/list"):
        site.tree().write(PurePosixPath("a"), b"x")


@pytest.mark.parametrize("after", ["9" * 5000, "-5"])
def test_a_time_to_wait_that_makes_no_sense(site: Site, monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    """A Retry-After that is huge or negative is limited to between zero and an hour."""
    monkeypatch.setattr(transport, "_MOST_SECONDS", 0)
    site.line.retry_after = after
    site.line.fault = lambda request: 429 if request.number == 1 else None
    site.tree().write(PurePosixPath("a"), b"x")
    assert site.files() == {"a": b"x"}
