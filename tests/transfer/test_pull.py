"""Which files a pull downloads, how it replaces local ones, and which it leaves as they are."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.errors import TransferError
from kedro_databricks_hybrid.transfer import pull
from kedro_databricks_hybrid.transfer.local import PART_SUFFIX
from kedro_databricks_hybrid.transfer.progress import Progress
from kedro_databricks_hybrid.transfer.pull import InterruptedPullError, Pull, Pulled
from kedro_databricks_hybrid.transfer.push import Selection
from tests.transfer.bad_line import CUT, RESET_BEFORE
from tests.transfer.conftest import DBFS, VOLUME, Site, fill, tree_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.transfer.bad_line import Request

ROOTS = pytest.mark.parametrize("root", [DBFS, VOLUME])
ALL = PurePosixPath()
SPARK = {
    "02_intermediate/table/_SUCCESS": b"",
    "02_intermediate/table/part-0.parquet": b"one",
    "02_intermediate/table/species=setosa/part-1.parquet": b"two" * 100,
}


def _refused(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def pulled(pull: Pull, *paths: str, force: bool = False) -> Pulled:
    """Prepare and perform."""
    return pull.perform(pull.prepare([PurePosixPath(path) for path in paths] or [ALL], force=force))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Return a data folder that does not exist yet."""
    return tmp_path / "mine" / "data"


@ROOTS
@pytest.mark.usefixtures("settled")
def test_everything_is_received_unchanged(site: Site, data: Path, mine: Path, root: str) -> None:
    """Small, empty and large files and folders of parts, byte for byte; a second pull downloads nothing."""
    fill(site.folder(root), {**tree_of(data), **SPARK})
    assert pulled(site.pull(mine, root)).files == 7
    assert tree_of(mine) == site.files(root)
    site.line.forget()
    assert pulled(site.pull(mine, root)).files == 0
    assert not [request for request in site.line.requests if request.path.endswith("/dbfs/read")]


@ROOTS
def test_a_path_may_be_a_file_a_folder_or_nothing(site: Site, mine: Path, root: str) -> None:
    """Only the given paths are downloaded: a file, a folder; a missing path is no error."""
    fill(site.folder(root), {**SPARK, "01_raw/a.csv": b"a", "01_raw/b.csv": b"b"})
    assert pulled(site.pull(mine, root), "01_raw/a.csv", "02_intermediate/table", "03_none").files == 4
    assert tree_of(mine) == {**SPARK, "01_raw/a.csv": b"a"}


def test_a_root_that_does_not_exist_has_nothing(site: Site, mine: Path) -> None:
    """An empty root is no error, and no local folder is made."""
    assert pulled(site.pull(mine)).files == 0
    assert not (mine / "01_raw").exists()


@ROOTS
def test_a_local_edit_stays_unless_forced(site: Site, mine: Path, root: str) -> None:
    """A local edit stays, whether the remote file changed or not; --force saves and replaces it."""
    fill(site.folder(root), {"08/a.json": b"1", "08/b.json": b"1"})
    pulled(site.pull(mine, root))
    fill(mine, {"08/a.json": b"mine"})
    fill(site.folder(root), {"08/b.json": b"22"})
    done = pulled(site.pull(mine, root))
    assert ([str(unit.path) for unit in done.plan.kept], done.files) == (["08/a.json"], 1)
    assert tree_of(mine) == {"08/a.json": b"mine", "08/b.json": b"22"}
    forced = pulled(site.pull(mine, root), force=True)
    assert tree_of(mine) == {"08/a.json": b"1", "08/b.json": b"22"}
    assert forced.saved is not None
    assert tree_of(forced.saved / "08") == {"a.json": b"mine"}


def test_edits_saved_in_one_second_have_separate_folders(
    site: Site, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second pull does not replace what the first one saved."""
    monkeypatch.setattr(time, "strftime", lambda *_: "20261124-100000")
    fill(site.folder(), {"08/a.json": b"theirs"})
    saved = []
    for edit in (b"first", b"second"):
        fill(mine, {"08/a.json": edit})
        saved.append(pulled(site.pull(mine), force=True).saved)
    held = [tree_of(folder)["08/a.json"] for folder in saved if folder]
    assert held == [b"first", b"second"]


def test_an_equal_local_file_counts_as_pulled(site: Site, mine: Path) -> None:
    """A result that was computed locally, with the same bytes, is neither downloaded nor kept as an edit."""
    fill(site.folder(), {"08/a.json": b"same"})
    fill(mine, {"08/a.json": b"same"})
    done = pulled(site.pull(mine))
    assert (done.files, done.plan.kept) == (0, ())


def test_a_pulled_file_is_no_conflict_for_a_push(site: Site, mine: Path) -> None:
    """A pulled file that was edited locally counts as changed here, and is sent."""
    fill(site.folder(), {"08/a.json": b"1"})
    pulled(site.pull(mine))
    fill(mine, {"08/a.json": b"edited"})
    push = site.push(mine)
    assert push.perform(push.prepare(Selection())).sent == 1
    assert site.files() == tree_of(mine)


def test_a_folder_of_parts_is_replaced_whole(site: Site, mine: Path) -> None:
    """Parts that the new table does not have are removed; an equal part is not downloaded again."""
    fill(site.folder(), SPARK)
    pulled(site.pull(mine))
    (site.folder() / "02_intermediate/table/part-0.parquet").unlink()
    fill(site.folder(), {"02_intermediate/table/part-9.parquet": b"nine"})
    done = pulled(site.pull(mine))
    assert done.files == 1
    assert tree_of(mine) == site.files()


def test_a_folder_of_parts_written_here_stays(site: Site, mine: Path) -> None:
    """A table of a local run counts as a local edit as a whole; with --force it is saved as a whole."""
    fill(site.folder(), SPARK)
    local = {"02_intermediate/table/_SUCCESS": b"", "02_intermediate/table/part-local.parquet": b"local"}
    fill(mine, local)
    assert len(pulled(site.pull(mine)).plan.kept) == 1
    assert tree_of(mine) == local
    forced = pulled(site.pull(mine), force=True)
    assert tree_of(mine) == SPARK
    assert forced.saved is not None
    assert tree_of(forced.saved) == {"02_intermediate/table/part-local.parquet": b"local"}


@pytest.mark.parametrize(
    ("local", "remote"),
    [
        ({"02/table/a.csv": b"mine"}, {"02/table": b"a file"}),
        ({"02/table": b"mine"}, {"02/table/_SUCCESS": b"", "02/table/part-0": b"one"}),
    ],
    ids=["file for a folder", "folder for a file"],
)
def test_a_file_or_folder_in_the_way_is_an_edit(
    site: Site, mine: Path, local: dict[str, bytes], remote: dict[str, bytes]
) -> None:
    """A local file in place of a remote folder, or the reverse, counts as an edit: kept, or saved."""
    fill(site.folder(), remote)
    fill(mine, local)
    done = pulled(site.pull(mine))
    assert ([str(unit.path) for unit in done.plan.kept], tree_of(mine)) == (["02/table"], local)
    forced = pulled(site.pull(mine), force=True)
    assert tree_of(mine) == remote
    assert forced.saved is not None
    assert tree_of(forced.saved) == local


def test_a_reader_never_sees_half_a_table(site: Site, mine: Path) -> None:
    """While two versions of a table are exchanged, its path always leads to one of them, whole."""
    generations = [
        {f"02/table/part-{generation}-{part}": bytes([generation]) for part in range(20)}
        for generation in range(6)
    ]
    seen: set[frozenset[str]] = set()
    stop = threading.Event()
    looks: list[int] = []

    def look() -> None:
        table = mine / "02/table"
        while not stop.is_set():
            with contextlib.suppress(FileNotFoundError):
                before = table.stat().st_ino
                names = frozenset(os.listdir(table))  # noqa: PTH208 - one call, one folder
                if table.stat().st_ino == before:
                    seen.add(names)
                    looks.append(1)

    reader = threading.Thread(target=look)
    reader.start()
    for generation in generations:
        for old in (site.folder() / "02/table").glob("*"):
            old.unlink()
        fill(site.folder(), generation)
        pulled(site.pull(mine))
    stop.set()
    reader.join()
    whole = {frozenset(Path(name).name for name in generation) for generation in generations}
    assert seen <= whole
    assert len(looks) > 100


def test_a_single_file_of_spark_has_no_stale_checksum(site: Site, mine: Path) -> None:
    """The checksum file that a local Spark wrote for the old content is removed."""
    fill(site.folder(), {"02/a.txt": b"new"})
    fill(mine, {"02/a.txt": b"old", "02/.a.txt.crc": b"of old"})
    pulled(site.pull(mine), "02/a.txt", force=True)
    assert tree_of(mine) == {"02/a.txt": b"new"}


def test_drafts_of_an_interrupted_pull_are_removed(site: Site, mine: Path) -> None:
    """Drafts have recognizable names, are never pushed, and are removed by the next pull."""
    fill(site.folder(), {"01/a.csv": b"a"})
    half = f"0000aaaa.1111bbbb{PART_SUFFIX}"
    fill(mine, {f"01/.{half}": b"half", f"01/.{half[1:]}": b"no draft"})
    fill(mine, {".kedro-hybrid/0000aaaa.pulling": b"", f"01/.2222cccc.1111bbbb{PART_SUFFIX}/part-0": b"half"})
    push = site.push(mine)
    assert [str(pair.path) for pair in push.prepare(Selection(layers=False)).send] == [f"01/.{half[1:]}"]
    pulled(site.pull(mine))
    assert tree_of(mine) == {"01/a.csv": b"a", f"01/.{half[1:]}": b"no draft"}
    assert list((mine / ".kedro-hybrid").glob("*.pulling")) == []


NEIGHBOURS = {
    f"08/{name}": name.encode()
    for name in ("model.pkl", "model.pkl.json", "model.pkl.0000aaaa", "[a]*", "[a]*.b", "x" * 250)
}


def test_drafts_do_not_share_names(site: Site, mine: Path) -> None:
    """Names that begin with another name, contain a pattern or have the maximum length are received."""
    fill(site.folder(), NEIGHBOURS)
    with pull.Drafts(mine).locked() as drafts:
        made = [drafts.beside(mine / name) for name in NEIGHBOURS for _ in (1, 2)]
        for draft in made:
            draft.touch()
        assert len({draft for draft in made if draft.exists()}) == 2 * len(NEIGHBOURS)
    assert pulled(site.pull(mine)).files == len(NEIGHBOURS)
    assert tree_of(mine) == NEIGHBOURS


def test_two_pulls_at_once_share_nothing(site: Site, mine: Path) -> None:
    """While one pull is within a file, then within a table, another downloads everything: both succeed."""
    fill(site.folder(), {**NEIGHBOURS, **SPARK})

    class Interleaved(Progress):
        seen = 0

        def advance(self, count: int) -> None:
            super().advance(count)
            self.seen += 1
            if self.seen in {1, len(NEIGHBOURS) + 1}:
                pulled(site.pull(mine), force=True)

    both = Pull(site.tree(), mine, DBFS, Interleaved())
    assert pulled(both).files == len(NEIGHBOURS) + len(SPARK)
    assert tree_of(mine) == {**NEIGHBOURS, **SPARK}


@ROOTS
@pytest.mark.parametrize("fault", [CUT, RESET_BEFORE])
def test_a_lost_answer_is_requested_again(site: Site, data: Path, mine: Path, root: str, fault: str) -> None:
    """Answers that are cut off or lost are requested again, and no byte is missing."""
    fill(site.folder(root), tree_of(data))
    site.line.fault = lambda request: fault if request.number in {4, 7, 9} else None
    pulled(site.pull(mine, root))
    assert tree_of(mine) == tree_of(data)


@ROOTS
@pytest.mark.parametrize("now", [b"", b"longer than before"])
def test_a_file_that_changes_during_the_download_is_not_taken(
    site: Site, mine: Path, root: str, now: bytes
) -> None:
    """A remote file changes its size during the download: the error names it, and nothing is written."""
    fill(site.folder(root), {"01/a.csv": b"before"})
    pull = site.pull(mine, root)
    plan = pull.prepare([ALL])
    fill(site.folder(root), {"01/a.csv": now})
    with pytest.raises(TransferError, match=r"a.csv has \d+ bytes, but is listed with 6. .*try again later"):
        pull.perform(plan)
    assert tree_of(mine) == {}


def test_ctrl_c_keeps_what_was_received(site: Site, mine: Path) -> None:
    """The message counts files, the exit status is 130, and the next pull downloads the others."""

    class Interrupting(Progress):
        def file_done(self) -> None:
            super().file_done()
            raise KeyboardInterrupt

    fill(site.folder(), {"01/a.csv": b"a", "02/table/part-0": b"one"})
    pull = Pull(site.tree(), mine, DBFS, Interrupting())
    with pytest.raises(InterruptedPullError, match=r"after 1 of 2 files. Pull again") as caught:
        pulled(pull)
    assert caught.value.exit_status == 130
    pulled(site.pull(mine))
    assert tree_of(mine) == site.files()


def test_files_in_the_state_folder_are_refused(site: Site, mine: Path) -> None:
    """A remote file must not be written to the state folder."""
    fill(site.folder(), {"01/.kedro-hybrid/x.json": b"{}"})
    with pytest.raises(TransferError, match=r"01/.kedro-hybrid/x.json cannot be pulled"):
        site.pull(mine).prepare([ALL])


@pytest.mark.parametrize(
    "lacks",
    [
        {"sys": SimpleNamespace(platform="darwin")},
        {"ctypes": SimpleNamespace(CDLL=lambda *_, **__: object())},
        {"os": SimpleNamespace(**{**vars(os), "link": _refused})},
    ],
    ids=["no swap on this system", "no swap in this libc", "no links on this disk"],
)
def test_tables_are_replaced_whole_everywhere(
    site: Site, mine: Path, monkeypatch: pytest.MonkeyPatch, lacks: dict[str, object]
) -> None:
    """Without exchanging paths or hard links the result is the same, and no draft is left."""
    for name, less in lacks.items():
        monkeypatch.setattr(pull, name, less)
    fill(site.folder(), SPARK)
    pulled(site.pull(mine))
    fill(site.folder(), {"02_intermediate/table/part-0.parquet": b"another"})
    pulled(site.pull(mine))
    assert tree_of(mine) == site.files()


def test_a_path_that_cannot_be_written_is_an_error(site: Site, mine: Path) -> None:
    """The error names the file that is in the way of a folder."""
    fill(site.folder(), {"01/a.csv": b"a"})
    fill(mine, {"01": b"a file where a folder must be"})
    with pytest.raises(TransferError, match=r"01 cannot be written: File exists\. Move or delete"):
        pulled(site.pull(mine))


@pytest.mark.parametrize(
    "path", ["08/.git/config", "08/x/.GIT /config", "08/git~1/config", "08/.g\u200cit/config"]
)
def test_a_git_repository_is_never_pulled(site: Site, mine: Path, path: str) -> None:
    """Files that make git run a program are refused: nothing is pulled."""
    fill(site.folder(), {path: b"[core]\n\tfsmonitor = evil\n", "08/a.csv": b"a"})
    with pytest.raises(TransferError, match=r"config cannot be pulled.*Delete or rename it on Databricks"):
        site.pull(mine).prepare([ALL], may_take=lambda _: True)
    assert tree_of(mine) == {}


def test_start_up_files_need_consent(site: Site, mine: Path) -> None:
    """The user is asked only about new ones; other files are downloaded; a table is taken whole or not."""
    startup = {"08/.envrc": b"x", "08/conftest.py": b"y", "02_intermediate/table/evil.pth": b"z"}
    fill(site.folder(), {**SPARK, **startup, "08/a.csv": b"a"})
    fill(mine, {"08/.envrc": b"x"})
    done = pulled(site.pull(mine))
    assert [str(unit.path) for unit in done.plan.left_out] == ["02_intermediate/table", "08/conftest.py"]
    assert done.files == 1
    assert tree_of(mine) == {"08/.envrc": b"x", "08/a.csv": b"a"}
    asked: list[list[str]] = []

    def yes(paths: Sequence[PurePosixPath]) -> bool:
        asked.append([str(path) for path in paths])
        return True

    pull = site.pull(mine)
    assert pull.perform(pull.prepare([ALL], may_take=yes)).files == 2 + len(SPARK)
    assert tree_of(mine) == site.files()
    assert asked == [["02_intermediate/table/evil.pth", "08/conftest.py"]]
    assert site.pull(mine).prepare([ALL]).left_out == ()


@pytest.mark.parametrize("root", [DBFS, VOLUME])
@pytest.mark.parametrize("is_settled", [True, False])
def test_times_in_whole_seconds(site: Site, data: Path, root: str, is_settled: bool) -> None:
    """A file may change within the second of its listing and keep size and time: it counts as unknown.

    The sandbox's DBFS tells whole seconds; a volume's files have them here.
    """
    second = time.time() // 1 + (-1000 if is_settled else 1000)
    first, later = (0.25, 0.75) if root == DBFS else (0, 0)

    def set_times(_: Request) -> None:
        for path in site.folder(root).rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                os.utime(path, (second + first,) * 2)

    site.line.after = set_times
    push = site.push(data, root)
    push.perform(push.prepare(Selection()))
    site.line.after = lambda _: None
    changed = site.folder(root) / "01_raw" / "a.csv"
    changed.write_bytes(b"a,b\n3,4\n")
    os.utime(changed, (second + later,) * 2)
    downloads = site.pull(data, root).prepare([PurePosixPath("01_raw")]).downloads
    changed_there = site.push(data, root).prepare(Selection()).changed_there
    for pairs in (downloads, changed_there):
        assert (PurePosixPath("01_raw/a.csv") in [pair.path for pair in pairs]) is not is_settled
