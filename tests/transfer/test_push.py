"""Which files a push sends, leaves as they are and refuses, on a sandbox over HTTP."""

from __future__ import annotations

import hashlib
import os
import random
import re
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from urllib.parse import unquote

import pytest

from kedro_databricks_hybrid.errors import TransferError, WorkspaceError
from kedro_databricks_hybrid.transfer import local, upload
from kedro_databricks_hybrid.transfer.plan import OnConflict
from kedro_databricks_hybrid.transfer.push import Push, Pushed, Selection
from tests.transfer.conftest import DBFS, VOLUME, Site, fill, tree_of

ROOTS = pytest.mark.parametrize("root", [DBFS, VOLUME])


def pushed(push: Push, selection: Selection | None = None) -> Pushed:
    """Prepare and perform."""
    return push.perform(push.prepare(selection or Selection()))


@ROOTS
def test_everything_arrives_unchanged(site: Site, data: Path, root: str) -> None:
    """Small, empty and large files, unusual names, and every layer folder, byte for byte."""
    (data / "02_intermediate").mkdir()
    done = pushed(site.push(data, root))
    assert site.files(root) == tree_of(data)
    assert (done.sent, done.sent_bytes) == (4, sum(len(each) for each in tree_of(data).values()))
    assert (site.folder(root) / "02_intermediate").is_dir()


@ROOTS
@pytest.mark.usefixtures("settled")
def test_what_is_unchanged_is_not_sent(site: Site, data: Path, root: str) -> None:
    """A second push reads the listings and the manifest, and writes nothing."""
    pushed(site.push(data, root))
    push = site.push(data, root)
    site.line.forget()
    plan = push.prepare(Selection())
    push.perform(plan)
    assert (plan.send, len(plan.same)) == ((), 4)
    assert {request.method for request in site.line.requests} == {"GET"}
    folders = 1 + sum(1 for path in data.rglob("*") if path.is_dir() and ".kedro-hybrid" not in path.parts)
    assert len(site.line.requests) <= folders + 3


@ROOTS
@pytest.mark.usefixtures("settled")
def test_one_change_is_one_file(site: Site, data: Path, root: str) -> None:
    """Only the changed file is sent, by one request."""
    pushed(site.push(data, root))
    fill(data, {"01_raw/a.csv": b"new"})
    push = site.push(data, root)
    site.line.forget()
    assert pushed(push).sent == 1
    assert site.files(root) == tree_of(data)
    writes = [
        request.line for request in site.line.requests if "a.csv" in request.line or "/put" in request.line
    ]
    assert len(writes) == (2 if root == DBFS else 1)  # DBFS names no file in the address: the manifest's too


@ROOTS
def test_a_file_removed_there_is_sent_again(site: Site, data: Path, root: str) -> None:
    """The listing decides, not the manifest."""
    pushed(site.push(data, root))
    (site.folder(root) / "01_raw" / "a.csv").unlink()
    assert pushed(site.push(data, root)).sent == 1
    assert site.files(root) == tree_of(data)


@ROOTS
def test_a_file_changed_there_is_left_alone(site: Site, data: Path, root: str) -> None:
    """A file that another clone changed stays, although this clone has an older one of equal size."""
    pushed(site.push(data, root))
    file = fill(site.folder(root), {"01_raw/a.csv": b"a,b\n9,9\n"}) / "01_raw/a.csv"
    os.utime(file, (file.stat().st_mtime + 1,) * 2)  # another time, of any precision
    done = pushed(site.push(data, root))
    assert [str(pair.path) for pair in done.plan.changed_there] == ["01_raw/a.csv"]
    assert site.files(root)["01_raw/a.csv"] == b"a,b\n9,9\n"


@ROOTS
def test_a_change_on_both_sides_is_refused_with_both_sizes(site: Site, data: Path, root: str) -> None:
    """No file is sent, not even the others, and the message has both sizes and the options."""
    pushed(site.push(data, root))
    fill(data, {"01_raw/a.csv": b"mine", "01_raw/other.csv": b"other"})
    fill(site.folder(root), {"01_raw/a.csv": b"theirs!"})
    before = site.files(root)
    with pytest.raises(TransferError, match=r"a.csv \(here 4 bytes .*, there 7 bytes .*--force.*--theirs"):
        site.push(data, root).prepare(Selection())
    assert site.files(root) == before


def test_force_sends_mine_and_theirs_leaves_theirs(site: Site, data: Path) -> None:
    """--force sends files in conflict, --theirs leaves them; both send the other files."""
    pushed(site.push(data))
    fill(data, {"01_raw/a.csv": b"mine", "01_raw/other.csv": b"other"})
    fill(site.folder(), {"01_raw/a.csv": b"theirs!"})
    pushed(site.push(data), Selection(on_conflict=OnConflict.THEIRS))
    assert site.files()["01_raw/a.csv"] == b"theirs!"
    assert site.files()["01_raw/other.csv"] == b"other"
    pushed(site.push(data), Selection(on_conflict=OnConflict.MINE))
    assert site.files() == tree_of(data)


@pytest.mark.usefixtures("settled")
def test_files_copied_to_the_root_by_hand_count_as_pushed(site: Site, data: Path) -> None:
    """Equal files that were copied there count as pushed; a different one is a conflict."""
    fill(site.folder(), tree_of(data))
    assert pushed(site.push(data)).sent == 0
    site.line.forget()
    assert pushed(site.push(data)).sent == 0
    assert not [request for request in site.line.requests if request.path.endswith("/read")][2:]


def test_two_clones_do_not_undo_each_other(site: Site, data: Path, tmp_path: Path) -> None:
    """The second clone's old file does not replace the first one's new file, and no entries get lost."""
    other = fill(tmp_path / "clone" / "data", tree_of(data))
    pushed(site.push(data))
    pushed(site.push(other))
    fill(data, {"01_raw/a.csv": b"newer"})
    pushed(site.push(data))
    fill(other, {"01_raw/b.csv": b"from the other"})
    done = pushed(site.push(other))
    assert done.sent == 1
    assert [str(pair.path) for pair in done.plan.changed_there] == ["01_raw/a.csv"]
    assert site.files() == {**tree_of(data), "01_raw/b.csv": b"from the other"}


@pytest.mark.usefixtures("settled")
def test_pushes_at_the_same_time_keep_both_manifests(site: Site, data: Path, tmp_path: Path) -> None:
    """Two pushes that began with the same manifest are both recorded: nothing is sent or compared again."""
    other = fill(tmp_path / "clone" / "data", {"01_raw/b.csv": b"b"})
    first, second = site.push(data), site.push(other)
    plans = first.prepare(Selection()), second.prepare(Selection())
    first.perform(plans[0])
    second.perform(plans[1])
    site.line.forget()
    for clone in (data, other):
        assert pushed(site.push(clone)).sent == 0
    assert not [request for request in site.line.requests if request.method != "GET"]


def test_many_pushes_keep_the_manifest_in_few_files(site: Site, data: Path) -> None:
    """Every few pushes, one of them merges manifest files."""
    for number in range(12):
        fill(data, {"01_raw/a.csv": f"{number}".encode()})
        pushed(site.push(data))
    assert len(list((site.folder() / ".kedro-hybrid" / "manifest").iterdir())) <= 5
    assert pushed(site.push(data)).sent == 0


def test_local_outputs_never_replace_the_clusters(site: Site, data: Path) -> None:
    """A local output is sent only if no remote file exists, or with --force."""
    fill(data, {"02_intermediate/out.csv": b"local", "02_intermediate/new.csv": b"local"})
    fill(site.folder(), {"02_intermediate/out.csv": b"cluster"})
    selection = Selection(results=[data / "02_intermediate"])
    done = pushed(site.push(data), selection)
    assert [str(pair.path) for pair in done.plan.results] == ["02_intermediate/out.csv"]
    assert site.files()["02_intermediate/out.csv"] == b"cluster"
    assert site.files()["02_intermediate/new.csv"] == b"local"


def test_each_changed_file_is_read_once(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file is hashed while it is sent; one that has not changed for a while is not read at all."""
    sizes = {"01_raw/small.csv": 4096, "01_raw/large.bin": 3_000_001}
    data = fill(tmp_path / "data", {name: b"x" * size for name, size in sizes.items()})
    for path in data.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    monkeypatch.setattr(local, "_TOO_FRESH_NS", -(10**18))
    hashed: list[int] = []

    class Counting:
        def __init__(self) -> None:
            self._digest = sha256()

        def update(self, piece: bytes) -> None:
            hashed.append(len(piece))
            self._digest.update(piece)

        def hexdigest(self) -> str:
            return self._digest.hexdigest()

    def counting(piece: bytes = b"") -> Counting:
        one = Counting()
        if piece:
            one.update(piece)
        return one

    sha256 = hashlib.sha256
    for module in (local, upload, upload):
        monkeypatch.setattr(module, "hashlib", SimpleNamespace(sha256=counting))
    pushed(site.push(data))
    assert sum(hashed) == sum(sizes.values())
    hashed.clear()
    pushed(site.push(data))
    assert hashed == []
    fill(data, {"01_raw/small.csv": b"changed"})
    pushed(site.push(data))
    assert sum(hashed) == len(b"changed")


def test_requests_are_ten_at_a_time(site: Site, tmp_path: Path) -> None:
    """Many files are sent at the same time, but no more than the API allows."""
    data = fill(tmp_path / "data", {f"01_raw/{number}.csv": b"x" for number in range(60)})
    site.line.delay = 0.02
    pushed(site.push(data))
    assert 5 <= site.line.most_at_once <= 10


def test_git_ignores_the_state_folder(site: Site, data: Path) -> None:
    """The state folder has a .gitignore for itself, and is never sent."""
    pushed(site.push(data))
    assert (data / ".kedro-hybrid" / ".gitignore").read_text() == "*\n"
    assert not list((data / ".kedro-hybrid").glob("*.journal"))
    assert not (site.folder() / ".kedro-hybrid" / ".gitignore").exists()


def test_links_that_leave_are_refused(site: Site, data: Path, tmp_path: Path) -> None:
    """The error names a file or folder that is a link to outside the data folder, and nothing is sent."""
    fill(tmp_path / "outside", {"secret.csv": b"secret"})
    (data / "01_raw" / "link.csv").symlink_to(tmp_path / "outside" / "secret.csv")
    with pytest.raises(TransferError, match=r"link.csv is a link to .*outside the data folder"):
        site.push(data).prepare(Selection())
    (data / "01_raw" / "link.csv").unlink()
    (data / "01_raw" / "linked").symlink_to(tmp_path / "outside")
    with pytest.raises(TransferError, match="linked is a link to"):
        site.push(data).prepare(Selection())
    assert not site.folder().exists()


def test_links_inside_are_followed(site: Site, data: Path) -> None:
    """A link within the data folder is sent as a file, a link to a folder as its files."""
    (data / "01_raw" / "again.csv").symlink_to(data / "01_raw" / "a.csv")
    (data / "02_same").symlink_to("01_raw/deep")
    pushed(site.push(data))
    assert site.files()["01_raw/again.csv"] == b"a,b\n1,2\n"
    assert len([name for name in site.files() if name.startswith("02_same/er/")]) == 1


def test_paths_that_leave_are_refused(site: Site, data: Path) -> None:
    """`..` does not lead out of the data folder."""
    with pytest.raises(TransferError, match="is not in the data folder"):
        site.push(data).prepare(Selection(chosen=[data / ".." / "pyproject.toml"]))


def test_a_file_that_cannot_be_read_is_refused(data: Path) -> None:
    """The error names it before anything is sent, though no file has been read yet."""
    (data / "01_raw" / "a.csv").chmod(0)
    answer, words = os.pipe()
    child = os.fork()
    if child == 0:  # a process of its own, since root may read everything
        os.chdir(data.parent)
        if os.getuid() == 0:
            data.parent.chmod(0o755)
            os.setuid(65534)
        try:
            local.find_files(Path("data"))
        except TransferError as error:
            os.write(words, str(error).encode())
        finally:
            os._exit(0)
    os.close(words)
    os.waitpid(child, 0)
    with os.fdopen(answer) as told:
        assert re.search(r"a.csv cannot be read: Permission denied. Fix", told.read())


def test_names_that_databricks_refuses_are_refused(site: Site, data: Path) -> None:
    """A name that is not Unicode or has a line break is shown escaped, and nothing is sent."""
    strange = os.fsdecode(os.fsencode(data / "01_raw") + b"/caf\xe9.csv")
    with open(strange, "wb"):  # noqa: PTH123 - such a name is no Path for all of pathlib
        pass
    with pytest.raises(TransferError, match="not valid Unicode"):
        site.push(data).prepare(Selection())
    os.unlink(strange)  # noqa: PTH108
    (data / "01_raw" / "two\nlines.csv").touch()
    with pytest.raises(TransferError, match=r"'01_raw/two\\nlines.csv' contains a control character"):
        site.push(data).prepare(Selection())
    assert not site.folder().exists()


def test_a_file_too_large_for_a_volume_is_refused_at_once(site: Site, data: Path) -> None:
    """6 GB are refused before they are read; DBFS has no such limit."""
    with (data / "01_raw" / "huge.bin").open("wb") as file:
        file.truncate(6_000_000_000)
    with pytest.raises(TransferError, match=r"huge.bin has 6.0 GB, but .* 5 GiB at most"):
        site.push(data, VOLUME).prepare(Selection())
    assert not site.folder(VOLUME).exists()


def test_a_volume_that_does_not_exist_is_named(site: Site, data: Path) -> None:
    """The message has the volume and how to create it."""
    with pytest.raises(TransferError, match=r"main/default/nothing does not exist.*CREATE VOLUME main"):
        site.push(data, "/Volumes/main/default/nothing/shop").prepare(Selection())


def test_a_disabled_dbfs_root_leads_to_volumes(site: Site, data: Path) -> None:
    """The message quotes Databricks and names the setting."""
    site.sandbox.public_dbfs_root = False
    with pytest.raises(WorkspaceError, match=r"DBFS root is disabled.*init --volume=.* sets data.root"):
        site.push(data).prepare(Selection())


def test_the_data_roots_own_path_is_asked_for(site: Site) -> None:
    """Push reads the status of the data root, as some workspaces return that of `/` and refuse the rest."""
    site.tree().check()
    asked = [line for each in site.line.requests if "/dbfs/get-status" in (line := each.line)]
    assert len(asked) == 1
    assert unquote(asked[0].split()[1]).endswith(f"path={DBFS.removeprefix('dbfs:')}")


def test_a_root_without_write_access_is_named(site: Site, data: Path) -> None:
    """The first write is refused: push fails, and no file is sent."""
    site.line.fault = lambda request: 403 if request.method == "PUT" else None
    with pytest.raises(WorkspaceError, match=r"make the folder|Could not write"):
        pushed(site.push(data, VOLUME))
    assert site.files(VOLUME) == {}


def test_paths_restrict_a_push(site: Site, data: Path) -> None:
    """Only the given paths are sent, and datasets that do not exist yet are no error."""
    pushed(site.push(data), Selection(chosen=[data / "01_raw" / "deep", data / "01_raw" / "missing.csv"]))
    assert list(site.files()) == ["01_raw/deep/er/name with spaces, ä.csv"]


def test_spark_checksums_are_not_data(site: Site, data: Path) -> None:
    """Checksum files of a local Spark are not sent."""
    fill(data, {"01_raw/.a.csv.crc": b"crc", "01_raw/.gitkeep": b""})
    plan = site.push(data).prepare(Selection())
    assert PurePosixPath("01_raw/.a.csv.crc") not in [pair.path for pair in plan.send]
    assert len(plan.send) == 4


def test_a_large_file_to_a_volume_is_sent_in_parts_and_arrives_whole(site: Site, tmp_path: Path) -> None:
    """A file above 50 MiB is sent in parts; sent again after a change, it replaces the old one."""
    data = tmp_path / "data"
    for seed in (1, 2):
        content = random.Random(seed).randbytes(1000) * 60_000  # noqa: S311 - any bytes do
        fill(data, {"01_raw/large.bin": content})
        pushed(site.push(data, VOLUME))
        assert site.files(VOLUME)["01_raw/large.bin"] == content
    assert any("/parts" in each.path or "upload-part" in each.path for each in site.line.requests)
