"""State and manifests written by an earlier version are still read.

tests/transfer/earlier_state was written on 2026-11-28 by three pushes to DBFS and to a volume: one that
completed, one that was interrupted after b.csv had arrived, and one that was interrupted while large.bin was
being sent. `state` is the state folder of the data folder, `manifest` the one below the data root, and
remote_files.json lists the remote files: size in bytes, modification time in ms, of DBFS in whole seconds.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from kedro_databricks_hybrid.transfer.files import BLOCK, STATE_FOLDER, Content
from kedro_databricks_hybrid.transfer.local import Digests
from kedro_databricks_hybrid.transfer.manifest import FOLDER
from kedro_databricks_hybrid.transfer.push import Selection
from tests.transfer.conftest import DBFS, VOLUME, Site, fill, tree_of

if TYPE_CHECKING:
    from tests.transfer.bad_line import Request

WRITTEN = Path(__file__).with_name("earlier_state")
ROOTS = pytest.mark.parametrize(("kind", "root"), [("dbfs", DBFS), ("volume", VOLUME)])
REMOTE = {"01_raw/a.csv": b"a\n1\n", "01_raw/b.csv": b"b\n22\n", "01_raw/ä.csv": b"c\n1\n"}
LARGE = b"x" * 3 * BLOCK


def restore_remote(site: Site, kind: str, root: str) -> None:
    """Restore the files and the manifest below the data root."""
    folder = fill(site.folder(root), REMOTE)
    listed = json.loads((WRITTEN / kind / "remote_files.json").read_text("utf-8"))
    assert {name: len(content) for name, content in REMOTE.items()} == {
        name: size for name, (size, _) in listed.items()
    }
    for name, (_, modified) in listed.items():
        os.utime(folder / name, ns=(modified * 1_000_000, modified * 1_000_000))
    shutil.copytree(WRITTEN / kind / "manifest", folder / FOLDER)


def restore_clone(folder: Path, kind: str) -> Path:
    """Restore a data folder with its state folder."""
    data = fill(folder / "data", REMOTE)
    shutil.copytree(WRITTEN / kind / "state", data / STATE_FOLDER)
    return data


def reads_data(request: Request) -> bool:
    """Return whether a request reads a remote file other than a manifest."""
    return ".csv" in request.line and ("/dbfs/read" in request.line or "/fs/files/" in request.line)


@ROOTS
def test_the_manifest_says_what_remote_files_contain(
    site: Site, tmp_path: Path, kind: str, root: str
) -> None:
    """A clone without any state reads only b.csv, the file that the interrupted push had not recorded."""
    restore_remote(site, kind, root)
    data = fill(tmp_path / "data", REMOTE)
    plan = site.push(data, root).prepare(Selection())
    assert [str(pair.path) for pair in plan.same] == list(REMOTE)
    assert {request.line.count("b.csv") for request in site.line.requests if reads_data(request)} == {1}


@ROOTS
def test_the_state_says_which_versions_were_pushed_from_here(
    site: Site, tmp_path: Path, kind: str, root: str
) -> None:
    """Files edited since then are sent, also the one of the interrupted push; without state they conflict."""
    restore_remote(site, kind, root)
    data = restore_clone(tmp_path, kind)
    fill(data, {"01_raw/a.csv": b"a\n2\n", "01_raw/b.csv": b"b\n33\n"})
    push = site.push(data, root)
    plan = push.prepare(Selection())
    assert [str(pair.path) for pair in plan.send] == ["01_raw/a.csv", "01_raw/b.csv"]
    push.perform(plan)
    assert site.files(root) == tree_of(data)
    assert not list((data / STATE_FOLDER).glob("*.journal"))


@ROOTS
def test_an_interrupted_upload_is_cleaned_up(site: Site, tmp_path: Path, kind: str, root: str) -> None:
    """The draft of an interrupted upload is removed or its parts aborted; the file arrives whole."""
    restore_remote(site, kind, root)
    data = fill(restore_clone(tmp_path, kind), {"01_raw/large.bin": LARGE})
    (journal,) = (data / STATE_FOLDER).glob("*.unfinished")
    if root == DBFS:
        draft = json.loads(journal.read_text("utf-8").splitlines()[0])["draft"]
        fill(site.sandbox.layout.dbfs, {draft.lstrip("/"): LARGE[: 2 * BLOCK]})
    push = site.push(data, root)
    push.perform(push.prepare(Selection()))
    assert site.files(root) == {**REMOTE, "01_raw/large.bin": LARGE}
    assert not journal.exists()
    if root == DBFS:
        assert not list((site.folder(root) / STATE_FOLDER / "incoming").iterdir())
    else:
        assert [each for each in site.line.requests if each.path.endswith("/create-abort-upload-url")]


@pytest.mark.parametrize("kind", ["dbfs", "volume"])
def test_digests_of_unchanged_files_are_kept(tmp_path: Path, kind: str) -> None:
    """A file with the recorded size and times is not read again."""
    data = restore_clone(tmp_path, kind)
    for name, ((size, modified, changed), digest) in json.loads(
        (WRITTEN / kind / "state" / "digests.json").read_text("utf-8")
    ).items():
        status = SimpleNamespace(st_size=size, st_mtime_ns=modified, st_ctime_ns=changed)
        known = Digests(data).known(PurePosixPath(name), cast("os.stat_result", status))
        assert known == Content(digest, size)
