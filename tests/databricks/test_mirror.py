"""`code.sync: files`: the working tree is mirrored to a folder on Databricks, including deletions."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.databricks import mirror as databricks_mirror
from kedro_databricks_hybrid.errors import NotFoundError
from kedro_databricks_hybrid.git import work_in_progress
from tests.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "/Workspace/Users/user@example.com/tiny-files"
SETTINGS = "code:\n  folder: /Workspace/Repos/{user}/tiny\n  sync: files\ncompute:\n  cluster: sandbox\n"
__all__ = ["filed"]


@pytest.fixture
def filed(site: Site) -> Site:
    """Return a site that syncs files."""
    site.commit({"conf/base/databricks.yml": SETTINGS}, "Files")
    return site


def mirror(site: Site) -> Path:
    """Return the mirror's folder on this machine."""
    return site.sandbox.layout.workspace / "Users" / "user@example.com" / "tiny-files"


def mirrored(site: Site) -> dict[str, bytes]:
    """Return the mirror's files, without the mark file."""
    folder = mirror(site)
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != databricks_mirror.MARK}


def kept(site: Site) -> dict[str, bytes]:
    """Return the local files that git does not ignore."""
    names = site.git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    paths = {name: site.project / name for name in names if name}
    return {name: path.read_bytes() for name, path in paths.items() if path.exists()}


def sends(site: Site) -> list[str]:
    """Return the requests that sent a file."""
    return [each for each in site.requests if "import-file" in each and databricks_mirror.MARK not in each]


def test_the_mirror_is_the_working_tree(filed: Site) -> None:
    """Committed, edited and new files, notebooks and unusual names are sent; ignored files are not."""
    notebook = "# Databricks notebook source\n1\n"
    filed.write({"new ä.txt": "x\n", "-dash.txt": "y\n", "notebooks/a.py": notebook, "x.log": "ignored\n"})
    said = filed.call("push", "--no-data").output
    assert "Work in progress on main" in said
    assert mirrored(filed) == kept(filed)
    assert "x.log" not in mirrored(filed)
    assert filed.git("ls-remote", "origin") == ""


def test_links_are_followed(filed: Site) -> None:
    """Links to files, folders and other links are sent as their targets."""
    filed.write({"libs/a/one.txt": "1\n", "libs/a/deep/two.txt": "2\n", "conf/base/notes.txt": "n\n"})
    links = {
        "one.txt": "libs/a/one.txt",
        "libs/b": "a",
        "conf/shared": "../libs/b",
        "libs/a/deep/up.txt": "../one.txt",
        "notes": str(filed.project / "conf" / "base" / "notes.txt"),
        "again": "./conf/shared/deep/../one.txt",
    }
    for name, target in links.items():
        (filed.project / name).symlink_to(target)
    filed.call("push", "--no-data")
    found = mirrored(filed)
    assert {name: found.get(name) for name in ("one.txt", "again", "notes")} == {
        "one.txt": b"1\n", "again": b"1\n", "notes": b"n\n",
    }  # fmt: skip
    for folder in ("libs/a", "libs/b", "conf/shared"):
        inside = {
            name.removeprefix(f"{folder}/"): each
            for name, each in found.items()
            if name.startswith(f"{folder}/")
        }
        assert inside == {"one.txt": b"1\n", "deep/two.txt": b"2\n", "deep/up.txt": b"1\n"}
    filed.write({"libs/a/one.txt": "changed\n"})
    assert "8 files sent" in filed.call("push", "--no-data").output
    assert mirrored(filed)["conf/shared/deep/up.txt"] == b"changed\n"


REFUSED = {
    "/etc/hostname": "leads out of the repository, to /etc/hostname",
    "../../elsewhere": "leads out of the repository, to ../../elsewhere",
    "gone.txt": "leads to conf/gone.txt, which is missing or which git ignores",
    "ignored.log": "leads to conf/ignored.log, which is missing",
    "odd": "leads back to itself",
    "../conf": "leads to a folder that it is in",
    "../src/back": "leads to a folder that it is in",
}


@pytest.mark.parametrize(("target", "told"), REFUSED.items())
def test_a_link_that_cannot_be_followed_is_refused(target: str, told: str, filed: Site) -> None:
    """A link that is broken, leads out or is a loop is named before anything is sent."""
    filed.write({"conf/ignored.log": "x"})
    (filed.project / "conf" / "odd").symlink_to(target)
    (filed.project / "src" / "back").symlink_to("../conf")
    for options in ((), ("--dry-run",)):
        said = filed.call("push", "--no-data", *options, status=1).output
        assert "The symbolic link" in said
        assert told in said
        assert ".gitignore" in said
    assert sends(filed) == []


def test_a_repository_inside_is_refused(filed: Site) -> None:
    """A nested repository is refused, unless git ignores it."""
    inner = filed.project / "libs" / "inner"
    filed.git("clone", "-q", str(filed.project), str(inner))
    assert "libs/inner" in filed.call("push", "--no-data", status=1).output
    filed.write({".gitignore": "libs/inner/\n"})
    filed.call("push", "--no-data")
    assert "libs/inner/src/tiny_shop/settings.py" not in mirrored(filed)


def test_only_what_changed_is_sent_and_deletions_follow(filed: Site) -> None:
    """Only changed files are sent, and deleted files are deleted; without edits nothing is sent."""
    notebook = "# Databricks notebook source\n1\n"
    filed.write({"a.txt": "1\n", "gone.txt": "x\n", "notebooks/gone.py": notebook})
    filed.call("push", "--no-data")
    filed.requests.clear()
    filed.call("push", "--no-data")
    assert sends(filed) == []
    filed.write({"a.txt": "2\n", "gone.txt": None, "notebooks/gone.py": None})
    said = filed.call("push", "--no-data").output
    assert len(sends(filed)) == 1
    assert "1 file sent, 2 deleted" in said
    assert mirrored(filed) == kept(filed)


def test_a_file_becomes_a_notebook_and_back(filed: Site) -> None:
    """A file becomes a notebook or the reverse: the old object is deleted, another notebook stays."""
    query = "-- Databricks notebook source\nselect 1\n"
    for code, shown in (("1\n", "a.py"), ("# Databricks notebook source\n1\n", "a"), ("2\n", "a.py")):
        filed.write(
            {"notebooks/a.py": code, "notebooks/b.py": code.splitlines()[-1], "notebooks/b.sql": query}
        )
        filed.call("push", "--no-data")
        listed = filed.workspace().client.workspace.list(f"{FOLDER}/notebooks")
        assert sorted(str(each.path).rpartition("/")[2] for each in listed) == [shown, "b", "b.py"]


def test_a_folder_that_is_not_ours_is_left(filed: Site) -> None:
    """A folder with files that this tool did not write is refused and left unchanged."""
    mirror(filed).mkdir()
    (mirror(filed) / "theirs.txt").write_text("theirs\n")
    assert "files that this tool did not write" in filed.call("push", "--no-data", status=1).output
    assert (mirror(filed) / "theirs.txt").read_text() == "theirs\n"
    assert len(list(mirror(filed).iterdir())) == 1


def test_files_that_somebody_adds_there_stay(filed: Site) -> None:
    """Files that a user added to the mirror are not deleted."""
    filed.call("push", "--no-data")
    (mirror(filed) / "theirs.txt").write_text("theirs\n")
    filed.write({"requirements.txt": None})
    filed.call("push", "--no-data")
    assert set(mirrored(filed)) == {*kept(filed), "theirs.txt"}


def test_an_interrupted_sync_is_no_code_to_run(filed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interrupted push, the mirror cannot be run; the next push completes it."""
    filed.write({"a.txt": "1\n", "b.txt": "1\n"})
    filed.call("push", "--no-data")
    filed.write({"a.txt": "2\n", "c.txt": "2\n"})

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(databricks_mirror, "_prove", broken)
        with pytest.raises(AssertionError):
            filed.call("push", "--no-data")
    with pytest.raises(NotFoundError, match="interrupted"):
        databricks_mirror.get(filed.workspace(), PurePosixPath(FOLDER))
    filed.write({"c.txt": None})
    filed.call("push", "--no-data")
    assert mirrored(filed) == kept(filed)
    assert databricks_mirror.get(filed.workspace(), PurePosixPath(FOLDER)).sha is not None


def test_a_run_knows_what_it_runs(filed: Site) -> None:
    """The pushed snapshot is recognized as the current edits of the local commit, until the next edit."""
    filed.write({"a.txt": "1\n"})
    filed.call("push", "--no-data")
    sha = databricks_mirror.get(filed.workspace(), PurePosixPath(FOLDER)).sha
    assert work_in_progress.holds(filed.repository, sha, filed.repository.head())
    assert work_in_progress.holds_edits(filed.repository, sha)
    filed.write({"a.txt": "2\n"})
    assert not work_in_progress.holds_edits(filed.repository, sha)
    filed.commit({}, "Later")
    assert not work_in_progress.holds(filed.repository, sha, filed.repository.head())


def test_watching_follows_edits_and_survives_a_rebase(filed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """`push --watch` sends edits, deletions and a rebase with a conflict; Ctrl-C ends it with status 0."""
    base = filed.git("rev-parse", "HEAD")
    filed.commit({"a.txt": "main\n"}, "On main")
    filed.git("switch", "-q", "-c", "side", base)
    filed.commit({"a.txt": "side\n"}, "On side")
    steps = iter(_edits(filed))

    def pause(_: float) -> None:
        try:
            next(steps)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(time, "sleep", pause)
    said = filed.call("push", "--no-data", "--watch").output
    assert "Stopped watching" in said
    assert mirrored(filed) == kept(filed)
    assert (filed.project / "a.txt").read_text() == "both\n"


def _edits(site: Site) -> Iterator[None]:
    site.write({"b.txt": "1\n"})
    yield
    assert mirrored(site)["b.txt"] == b"1\n"
    site.write({"b.txt": None})
    site.commit({}, "Without")
    yield
    assert "b.txt" not in mirrored(site)
    assert site.repository.run("rebase", "main").returncode != 0  # a conflict
    yield
    assert b"<<<<<<<" in mirrored(site)["a.txt"]
    site.write({"a.txt": "both\n"})
    site.git("add", "a.txt")
    site.git("-c", "core.editor=true", "rebase", "--continue")
    yield


def test_files_that_vanish_while_they_are_read(filed: Site) -> None:
    """Files appear and vanish while a snapshot is taken: it succeeds."""
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            filed.write({"churn/x.txt": str(time.time())})
            (filed.project / "churn" / "x.txt").unlink()

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        taken = [work_in_progress.take(filed.repository, "ann", "main") for _ in range(5)]
    finally:
        stop.set()
        churning.join()
    assert all(each.commit.sha for each in taken)


def test_status_and_doctor_know_the_mirror(filed: Site) -> None:
    """Status says whether the mirror is missing, current or outdated; doctor names its folder."""
    assert "kedro databricks push" in filed.call("status").output
    filed.call("push", "--no-data")
    assert f"your current files, in {FOLDER}" in filed.call("status").output
    filed.write({"a.txt": "1\n"})
    assert "not your current files" in filed.call("status").output
    assert f"your files go to {FOLDER}" in filed.call("doctor", status=1).output


def test_watch_is_for_files(site: Site) -> None:
    """`push --watch` without `code.sync: files` is a usage error."""
    site.call("push", "--watch", status=2)


def test_dry_run_says_what_would_be_sent(filed: Site) -> None:
    """`push --dry-run` names files to send and to delete, and changes nothing."""
    filed.call("push", "--no-data")
    filed.write({"new.txt": "x\n", "requirements.txt": None})
    before = mirrored(filed)
    said = filed.call("push", "--no-data", "--dry-run").output
    assert "Would send new.txt" in said
    assert "Would delete requirements.txt" in said
    assert mirrored(filed) == before


def test_a_file_of_a_similar_name_survives(filed: Site) -> None:
    """A file that is already deleted on Databricks: the file of the same name without extension stays."""
    filed.write({"run.sh": "x\n", "run": "y\n"})
    filed.call("push", "--no-data")
    (mirror(filed) / "run.sh").unlink()
    filed.write({"run.sh": None})
    filed.call("push", "--no-data")
    assert (mirror(filed) / "run").read_text() == "y\n"


@pytest.mark.parametrize(
    "name", ["../other/victim.txt", "/Users/user@example.com/other/victim.txt", ".git/config"]
)
def test_a_mark_that_somebody_tampered_with_deletes_nothing(filed: Site, name: str) -> None:
    """The mark file names a path outside the mirror: push refuses it and deletes nothing."""
    filed.call("push", "--no-data")
    victim = mirror(filed).parent / "other" / "victim.txt"
    filed.write({"victim.txt": "x"}, at=victim.parent)
    mark = mirror(filed) / databricks_mirror.MARK
    known = json.loads(mark.read_text())
    mark.write_text(json.dumps({**known, "files": {**known["files"], name: "0"}}))
    said = filed.call("push", "--no-data", status=1).output
    assert f"names {name}, which this tool never sends; nothing was deleted." in said
    assert victim.exists()


def test_a_mark_that_is_none(filed: Site) -> None:
    """The mark file is invalid: push names it, and sends and deletes nothing."""
    filed.call("push", "--no-data")
    for text in ("{", "[]", '{"sha": 5, "files": {}}', '{"files": {"a": 7}}', '{"files": ["a"]}'):
        (mirror(filed) / databricks_mirror.MARK).write_text(text)
        said = filed.call("push", "--no-data", status=1).output
        assert (
            f"/tiny-files/{databricks_mirror.MARK} is not what this tool writes. Delete that folder" in said
        )


def test_beside_a_git_folder_at_home() -> None:
    """The mirror of a Git folder outside of /Repos is next to it."""
    beside = databricks_mirror.path_beside(PurePosixPath("/Workspace/Users/ann/shop"), "ann")
    assert beside == PurePosixPath("/Workspace/Users/ann/shop-files")


def test_an_empty_folder_is_taken(filed: Site) -> None:
    """An existing empty folder is used as the mirror."""
    mirror(filed).mkdir(parents=True)
    filed.call("push", "--no-data")
    assert "requirements.txt" in mirrored(filed)


def test_a_file_that_is_gone_on_both_sides(filed: Site) -> None:
    """A file that was deleted on both sides is no error."""
    filed.write({"gone.txt": "x\n"})
    filed.call("push", "--no-data")
    (mirror(filed) / "gone.txt").unlink()
    filed.write({"gone.txt": None})
    assert "1 deleted" in filed.call("push", "--no-data").output


def test_a_file_that_does_not_show(filed: Site) -> None:
    """A file is missing on Databricks after it was sent: an error names it."""

    def delete(asked: str) -> None:
        if asked == "GET /api/2.0/workspace/list":
            (mirror(filed) / "new.txt").unlink(missing_ok=True)

    filed.write({"new.txt": "x\n"})
    filed.requests.on_request = delete
    assert "new.txt was sent, but Databricks does not show it" in filed.call(
        "push", "--no-data", status=1
    ).output.replace("\n", " ")


def test_a_dry_run_names_the_first_files(filed: Site) -> None:
    """Of many files, five are named and the others counted."""
    filed.call("push", "--no-data")
    filed.write({f"many/{number}.txt": "x\n" for number in range(7)})
    said = filed.call("push", "--no-data", "--dry-run").output
    assert said.count("Would send many/") == 5
    assert "Would send 2 files more" in said


def test_watching_goes_on_after_an_error(filed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """`push --watch` reports an error once and continues; without edits it prints nothing."""

    def edits() -> Iterator[None]:
        yield
        filed.git("init", "-q", "nested")
        yield
        yield
        shutil.rmtree(filed.project / "nested")
        filed.write({"after.txt": "x\n"})
        yield
        filed.git("add", "after.txt")
        filed.commit({}, "Empty of news")
        yield

    steps = edits()

    def pause(_: float) -> None:
        if next(steps, StopIteration) is StopIteration:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pause)
    said = filed.call("push", "--no-data", "--watch").output
    assert said.count("Trying again.") == 1
    assert "Stopped watching." in said
    assert mirrored(filed)["after.txt"] == b"x\n"
