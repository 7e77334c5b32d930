"""Edits made in the Git folder: seen, named, saved here, and given up only with consent."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid import git_folder, git_folder_edits, rescue
from kedro_databricks_hybrid.errors import DirtyGitFolderError, GitError
from kedro_databricks_hybrid.git_folder import Target

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.git_folder_edits import Edits
    from tests.code.site import Site

NOTEBOOK = "# Databricks notebook source\nprint(1)\n"
JUPYTER = (
    '{"cells": [{"cell_type": "code", "source": ["1"], "metadata": {}, "outputs": [], '
    '"execution_count": null}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
)
ODD_NAMES = ("with space.txt", "-leading.txt", "ä ✓.txt", "sub/deep er/x.txt")


def path_of(site: Site) -> PurePosixPath:
    """Return the Git folder's path."""
    return PurePosixPath(site.path)


def edits(site: Site) -> Edits:
    """Compare the site's Git folder with its head commit."""
    workspace = site.workspace()
    return git_folder_edits.read(workspace, git_folder.get(workspace, path_of(site)), site.repository)


def test_a_fresh_git_folder_has_no_edits(site: Site) -> None:
    """Neither notebooks, nor odd names, nor Windows line endings, nor executables look edited."""
    site.commit(
        {
            **dict.fromkeys(ODD_NAMES, "x\n"),
            "notebooks/a.py": NOTEBOOK,
            "notebooks/b.ipynb": JUPYTER,
            "windows.txt": b"a\r\nb\r\n",
            "empty.txt": b"",
            "run.sh": "#!/bin/sh\n",
        }
    )
    (site.project / "run.sh").chmod(0o755)
    site.commit({}, "Executable")
    site.call("push", "--no-data")
    assert edits(site).paths == {}


def test_every_kind_of_edit_is_named(site: Site) -> None:
    """Changed, new and deleted files, and notebooks by the names of their files; ignored ones are none."""
    site.commit({**dict.fromkeys(ODD_NAMES, "x\n"), "notebooks/a.py": NOTEBOOK, "gone.txt": "x\n"})
    site.call("push", "--no-data")
    site.write(
        {
            **dict.fromkeys(ODD_NAMES, "y\n"),
            "notebooks/a.py": NOTEBOOK + "print(2)\n",
            "gone.txt": None,
            "new file.txt": "new\n",
            "server.log": "ignored\n",
            "data/02_intermediate/big/x.csv": "ignored\n",
            "src/tiny_shop/__pycache__/x.pyc": b"ignored",
        },
        at=site.files,
    )
    assert edits(site).paths == {
        **dict.fromkeys(ODD_NAMES, "M"),
        "notebooks/a.py": "M",
        "gone.txt": "D",
        "new file.txt": "A",
    }


def test_looking_leaves_the_repository_as_it_was(pushed: Site) -> None:
    """Comparing writes no object, no ref and nothing into the index."""
    pushed.write({"new.txt": "only there\n"}, at=pushed.files)
    before = pushed.git("count-objects", "-v"), pushed.git("for-each-ref"), pushed.git("status", "--short")
    assert edits(pushed).paths == {"new.txt": "A"}
    assert before == (
        pushed.git("count-objects", "-v"),
        pushed.git("for-each-ref"),
        pushed.git("status", "--short"),
    )


def test_push_names_the_files_that_stand_in_the_way(pushed: Site) -> None:
    """A conflicting edit ends the push with the file, a new file beside it, and the command that saves."""
    pushed.write({"requirements.txt": "theirs\n", "notes.txt": "x\n"}, at=pushed.files)
    pushed.commit({"requirements.txt": "mine\n"})
    said = pushed.call("push", "--no-data", status=1).output
    assert "requirements.txt" in said
    assert "notes.txt (new)" in said
    assert "kedro databricks push --save" in said
    assert (pushed.files / "requirements.txt").read_text() == "theirs\n"


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_save_alone_brings_the_edits_home_and_discards_nothing(pushed: Site, verb: str) -> None:
    """The branch holds them as a commit on the folder's commit; files and branch here stay."""
    base = pushed.git("rev-parse", "HEAD")
    pushed.write({"requirements.txt": "theirs\n", "ä new.txt": "x\n"}, at=pushed.files)
    pushed.commit({"requirements.txt": "mine\n"})
    pushed.git("push", "-q", "origin", "main")
    said = pushed.call(verb, *["--no-data"] * (verb == "push"), "--save", status=1).output
    branch = pushed.git("for-each-ref", "--format=%(refname:short)", f"refs/heads/{rescue.BRANCHES}/")
    assert branch in said
    assert f"kedro databricks {verb} --force" in said
    assert pushed.git("rev-parse", f"{branch}^") == base
    assert pushed.git("show", f"{branch}:requirements.txt") == "theirs"
    assert pushed.git("show", f"{branch}:ä new.txt") == "x"
    assert (pushed.files / "requirements.txt").read_text() == "theirs\n"
    assert pushed.git("status", "--porcelain") == ""
    assert pushed.git("branch", "--show-current") == "main"


def test_saving_twice_makes_one_branch(pushed: Site) -> None:
    """The same edits are the same branch."""
    pushed.write({"notes.txt": "x\n"}, at=pushed.files)
    pushed.call("push", "--no-data", "--save")
    said = pushed.call("push", "--no-data", "--save").output
    branches = pushed.git("for-each-ref", "--format=%(refname:short)", f"refs/heads/{rescue.BRANCHES}/")
    assert len(branches.splitlines()) == 1
    assert branches in said


def test_force_saves_then_discards(pushed: Site, tmp_path: Path) -> None:
    """Edits of every kind are here as a patch that applies elsewhere; the folder holds the commit alone."""
    binary, edited = bytes(range(256)) * 9, b"\x00\xff\r\n" * 99
    pushed.commit(
        {
            "requirements.txt": "kedro\n",
            "logo.png": binary,
            "gone.txt": "x\n",
            "windows.txt": b"a\r\n",
            "notebooks/a.py": NOTEBOOK,
            "notebooks/b.ipynb": JUPYTER,
        }
    )
    pushed.call("push", "--no-data")
    base = pushed.git("rev-parse", "HEAD")
    theirs: dict[str, str | bytes | None] = {
        "requirements.txt": "theirs\n", "logo.png": edited, "gone.txt": None, "windows.txt": b"a\r\nb\r\n",
        "notebooks/a.py": NOTEBOOK + "print(2)\n", "notes.txt": "x\n", "-new dir/ä.bin": edited,
    }  # fmt: skip
    pushed.write(theirs, at=pushed.files)
    head = pushed.commit({"requirements.txt": "mine\n"})
    said = pushed.call("push", "--no-data", "--force").output
    assert "Saved the edits" in said
    assert pushed.repo().head_commit_id == head
    assert (pushed.files / "requirements.txt").read_text() == "mine\n"
    assert not (pushed.files / "notes.txt").exists()
    branch = pushed.git("for-each-ref", "--format=%(refname:short)", f"refs/heads/{rescue.BRANCHES}/")
    elsewhere = tmp_path / "elsewhere"
    pushed.git("clone", "-q", str(pushed.remote), str(elsewhere))
    pushed.git("switch", "-q", "--detach", base, at=elsewhere)
    pushed.git("format-patch", "-q", "-1", "--binary", "-o", str(tmp_path), branch)
    pushed.git("apply", "--whitespace=nowarn", str(next(tmp_path.glob("*.patch"))), at=elsewhere)
    for name, content in theirs.items():
        if content is None:
            assert not (elsewhere / name).exists()
        else:
            expected = content.encode() if isinstance(content, str) else content
            assert (elsewhere / name).read_bytes() == expected, name


def test_force_without_edits_says_so(pushed: Site) -> None:
    """Nothing is saved and no branch appears."""
    assert "Nothing was edited" in pushed.call("push", "--no-data", "--force").output
    assert pushed.git("for-each-ref", f"refs/heads/{rescue.BRANCHES}/") == ""


def test_edits_that_go_on_are_not_discarded(pushed: Site) -> None:
    """What was edited between saving and discarding stays."""
    workspace = pushed.workspace()
    folder = git_folder.get(workspace, path_of(pushed))
    pushed.write({"requirements.txt": "theirs\n"}, at=pushed.files)
    saved = rescue.save(workspace, pushed.repository, folder)
    assert saved is not None
    pushed.write({"requirements.txt": "theirs, later\n"}, at=pushed.files)
    with pytest.raises(DirtyGitFolderError, match="edited again"):
        rescue.discard(workspace, pushed.repository, folder, Target("main"), saved)
    assert (pushed.files / "requirements.txt").read_text() == "theirs, later\n"


def test_edits_on_a_colleagues_commit(pushed: Site) -> None:
    """The folder's commit is fetched where it is not here, and no branch of ours moves."""
    colleague = pushed.project.parent / "colleague"
    pushed.git("clone", "-q", str(pushed.remote), str(colleague))
    pushed.write({"theirs.txt": "one\n"}, at=colleague)
    pushed.git("add", ".", at=colleague)
    pushed.git("commit", "-q", "-m", "Theirs", at=colleague)
    pushed.git("push", "-q", at=colleague)
    pushed.call("pull")
    pushed.write({"theirs.txt": "edited\n"}, at=pushed.files)
    before = pushed.git("for-each-ref", "refs/remotes")
    said = pushed.call("pull", "--save").output
    assert "theirs.txt" in said
    assert pushed.git("for-each-ref", "refs/remotes") == before


def test_a_commit_that_nobody_else_has(pushed: Site) -> None:
    """A commit that was made on Databricks and not pushed is told apart from edits."""
    workspace = pushed.workspace()
    found = git_folder.get(workspace, path_of(pushed))
    folder = git_folder.GitFolder(found.repo_id, found.path, found.branch, "0" * 40, found.url)
    with pytest.raises(GitError, match="not here"):
        rescue.save(workspace, pushed.repository, folder)
