"""The methods of a data root: writing, removing, and unusual answers."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from kedro_databricks_hybrid.errors import TransferError, WorkspaceError
from kedro_databricks_hybrid.sandbox.dbfs import model as dbfs_model
from kedro_databricks_hybrid.sandbox.volumes import model as volumes_model
from kedro_databricks_hybrid.transfer.files import BLOCK
from kedro_databricks_hybrid.transfer.trees.protocol import walk
from tests.transfer.bad_line import RESET_AFTER, Fault, Request
from tests.transfer.conftest import DBFS, VOLUME, Site, fill, tree_of

ROOTS = pytest.mark.parametrize("root", [DBFS, VOLUME])
NAME = PurePosixPath("01/a.bin")


@ROOTS
@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_what_is_written_is_read(site: Site, root: str, size: int) -> None:
    """Content of any size is written and read whole, also over an older file; removing twice is no error."""
    tree = site.tree(root)
    tree.make_folder(NAME.parent)
    for content in (b"older", bytes(index % 251 for index in range(size))):
        tree.write(NAME, content)
        assert tree.read(NAME) == content
        assert site.files(root) == {"01/a.bin": content}
    tree.delete(NAME)
    tree.delete(NAME)
    assert (tree.read(NAME), site.files(root)) == (None, {})


@ROOTS
def test_content_of_another_size_than_listed_is_an_error(site: Site, root: str) -> None:
    """A file whose size differs from its listing is an error, since a program is writing to it."""
    fill(site.folder(root), {"01/a.bin": b"1234"})
    for size in (2, 6):
        with pytest.raises(TransferError, match=rf"has 4 bytes, but is listed with {size}\..*try again"):
            list(site.tree(root).chunks(NAME, size))


@ROOTS
@pytest.mark.parametrize("links", [{"loop": "."}, {"a/in": "../b", "b/in": "../a"}, {"1": ".", "2": "."}])
def test_a_link_loop_is_named(
    site: Site, root: str, links: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link loop that the workspace lists as folders is named; similar folders are no loop."""
    folder = fill(site.folder(root), {"a/x": b"", "b/y": b"", "c/c/c/c/z": b""})
    tree = site.tree(root)
    assert len(walk(tree, PurePosixPath())) == 3
    for name, target in links.items():
        (folder / name).symlink_to(target)
    for model in (dbfs_model, volumes_model):
        monkeypatch.setattr(model, "leads_up", lambda *_: False)
    with pytest.raises(
        TransferError, match=r"(/loop|/a/in/in|/[12]|/b/in/in) seems to be a link to a folder"
    ):
        walk(tree, PurePosixPath())


def test_a_root_without_permission_names_the_setting(site: Site) -> None:
    """A write is refused: the error has Databricks' message and says to ask for write access."""
    site.line.says = b'{"error_code":"PERMISSION_DENIED","message":"No WRITE VOLUME on main.default.data"}'
    site.line.fault = lambda _: 403
    with pytest.raises(WorkspaceError, match=r"No WRITE VOLUME on main.default.data\. Ask for write access"):
        site.tree(VOLUME).write(NAME, b"x")


def test_a_lost_answer_to_the_rename_is_no_failure(site: Site) -> None:
    """The rename's answer is lost: the repeated request finds no draft, but the file exists."""
    lost: list[Request] = []

    def once(request: Request) -> Fault:
        if request.path.endswith("/dbfs/move") and not lost:
            lost.append(request)
            return RESET_AFTER
        return None

    content = b"x" * (BLOCK + 1)
    site.line.fault = once
    site.tree().write(NAME, content)
    assert lost
    assert site.files() == {"01/a.bin": content}


def test_a_refused_rename_is_an_error(site: Site) -> None:
    """The rename is refused: an error, and the file does not exist."""
    site.line.says = b'{"error_code":"INVALID_PARAMETER_VALUE","message":"No."}'
    site.line.fault = lambda request: 400 if request.path.endswith("/dbfs/move") else None
    with pytest.raises(WorkspaceError, match=r"move .*01/a.bin into place: INVALID_PARAMETER_VALUE: No"):
        site.tree().write(NAME, b"x" * (BLOCK + 1))
    assert site.files() == {}


def test_a_block_that_was_confirmed_but_not_stored_is_sent_again(site: Site) -> None:
    """The size of the draft is checked before the rename: a lost block means a new upload."""
    swallowed: list[Request] = []

    def once(request: Request) -> Fault:
        if request.path.endswith("/add-block") and not swallowed:
            swallowed.append(request)
            return 200
        return None

    site.line.says = b"{}"
    site.line.fault = once
    content = b"x" * (2 * BLOCK + 1)
    site.tree().write(NAME, content)
    assert swallowed
    assert site.files() == {"01/a.bin": content}
    assert not list((site.folder() / ".kedro-hybrid" / "incoming").iterdir())


def test_a_file_that_never_arrives_whole_is_an_error(site: Site) -> None:
    """The size is wrong in every attempt: an error with both sizes; no file or draft is left."""
    site.line.says = b"{}"
    site.line.fault = lambda request: 200 if request.path.endswith("/add-block") else None
    with pytest.raises(TransferError, match=r"01/a.bin arrived with 0 bytes of 1048577\. Push again\."):
        site.tree().write(NAME, b"x" * (BLOCK + 1))
    assert site.files() == {}
    assert not list((site.folder() / ".kedro-hybrid" / "incoming").iterdir())


def test_a_draft_that_is_removed_is_sent_again(site: Site) -> None:
    """The draft is deleted before the rename: the file is sent again."""
    removed: list[str] = []

    def remove(request: Request) -> None:
        if request.path.endswith("/dbfs/close") and not removed:
            (draft,) = (site.folder() / ".kedro-hybrid" / "incoming").iterdir()
            draft.unlink()
            removed.append(draft.name)

    site.line.after = remove
    content = b"x" * (BLOCK + 1)
    site.tree().write(NAME, content)
    assert removed
    assert tree_of(site.folder()) == {"01/a.bin": content}


def test_an_account_wide_host_gets_the_workspaces_id(site: Site) -> None:
    """If a login names a workspace, its id is also sent with requests that the SDK has no method for."""
    tree = site.tree()
    tree._client.config.workspace_id = "4711"  # type: ignore[attr-defined] # noqa: SLF001 - of the login
    tree.write(NAME, b"x" * (BLOCK + 1))
    appends = [request for request in site.line.requests if request.path.endswith("/add-block")]
    assert {request.headers["x-databricks-workspace-id"] for request in appends} == {"4711"}
