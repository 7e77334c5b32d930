"""A server on a machine with faults, or with files that an earlier server left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.sandbox.__main__ import main
from kedro_databricks_hybrid.sandbox.core.atomic import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from tests.sandbox.conftest import Running

TOKENS = "/api/2.0/token/create"


def test_a_file_that_cannot_be_replaced(tmp_path: Path) -> None:
    """A file cannot be replaced: the error is raised, and no partial file is left."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "folder", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), RuntimeError("a bug")])
def test_a_fault_is_answered(
    running: Running, http: httpx.Client, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """An unexpected error gives an internal error that names only the log; the next request works."""

    def fails(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("kedro_databricks_hybrid.sandbox.core.store.write_atomically", fails)
        answer = http.post(TOKENS, json={})
    assert answer.status_code == 500
    assert answer.json() == {
        "error_code": "INTERNAL_ERROR",
        "message": "Internal error of the sandbox; see server.log in its home.",
    }
    assert http.post(TOKENS, json={}).status_code == 200
    assert running.server.thread.is_alive()


def test_a_folder_that_is_removed_meanwhile(running: Running, http: httpx.Client) -> None:
    """A request whose folder was deleted gets 404."""
    running.sandbox.layout.scratch.rmdir()
    answer = http.put("/api/2.0/fs/files/Volumes/main/default/data/a", content=b"x")
    assert (answer.status_code, answer.json()["message"]) == (404, "The path was deleted during the request")


def test_what_an_earlier_server_left_on_its_way(
    tmp_path: Path, start_sandbox: Callable[..., Running]
) -> None:
    """Unfinished uploads and clones are deleted at the start; targets of links are kept."""
    scratch, kept = tmp_path / "home" / "scratch", tmp_path / "kept"
    (scratch / "clone" / ".git").mkdir(parents=True)
    (scratch / "upload").write_text("half")
    kept.mkdir()
    (scratch / "link").symlink_to(kept)
    start_sandbox("home")
    assert list(scratch.iterdir()) == []
    assert kept.is_dir()


def test_a_user_who_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An invalid user name: one line with an example, and exit status 1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.umask", lambda _: None)  # this process keeps its own
        assert main(["--home", str(tmp_path / "home"), "--user", "../me"]) == 1
    said = capsys.readouterr().err
    assert said == "'../me' cannot be a user name: use an address such as user@example.com\n"


@pytest.mark.parametrize("name", ["tokens.json", "runs.json", "runs.db"])
def test_damaged_state_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Damaged state of any API family is named in one line."""
    (tmp_path / "home/state").mkdir(parents=True)
    (tmp_path / "home/state" / name).write_text("{ damaged" * 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.umask", lambda _: None)  # this process keeps its own
        assert main(["--home", str(tmp_path / "home")]) == 1
    said = capsys.readouterr().err
    assert f"{name} is damaged: " in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("method", "path", "fields", "words"),
    [
        ("GET", "/api/2.2/jobs/list", {"expand_tasks": "perhaps"}, "'expand_tasks' must be a boolean"),
        ("POST", "/sandbox/switches", {"uploads": "pigeon"}, "uploads must be one of: "),
        (
            "POST",
            "/api/2.0/repos",
            {"url": "http://[::1/r.git", "provider": "gitHub"},
            "Invalid Git repository URL 'http://[::1/r.git'",
        ),
    ],
)
def test_fields_that_are_refused(
    http: httpx.Client, method: str, path: str, fields: dict[str, str], words: str
) -> None:
    """Invalid fields give 400, with the field or the value in the message."""
    answer = http.get(path, params=fields) if method == "GET" else http.post(path, json=fields)
    assert answer.status_code == 400
    assert words in answer.json()["message"]


def test_a_body_that_is_nested_too_deeply(http: httpx.Client) -> None:
    """A body that is nested too deeply is refused as malformed; a few levels are accepted."""
    for depth, status in ((150, 200), (250, 400)):
        nested = "[" * depth + "]" * depth
        answer = http.post(TOKENS, content=f'{{"x": {nested}}}')
        assert answer.status_code == status
