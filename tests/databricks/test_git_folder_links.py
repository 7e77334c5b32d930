"""Symbolic links in the Git folder: a committed link is no edit, however it is listed; loops are named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.databricks import git_folder, git_folder_edits, git_folder_rescue
from kedro_databricks_hybrid.errors import GitError
from kedro_databricks_hybrid.sandbox.workspace import model

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.site import Site

NOTEBOOK = "# Databricks notebook source\nprint(1)\n"
FILES: dict[str, str | bytes | None] = {
    "lib/a.txt": "a\n",
    "lib/inner/b.txt": "b\n",
    "lib/note.py": NOTEBOOK,
    "data/ignored/c.txt": "c\n",
    ".gitignore": "/data/ignored/\n",
}
LINKS = {
    "file.txt": "lib/a.txt",
    "again.txt": "file.txt",
    "note.py": "lib/note.py",
    "folder": "lib",
    "through.txt": "folder/inner/b.txt",
    "out": "/etc/hostname",
    "nowhere": "nothing",
    "loop": ".",
    "lib/up": "../lib",
    "here/in": "../there",
    "there/in": "../here",
    "there/x.txt": "../lib/a.txt",
}


@pytest.fixture
def linked(site: Site) -> Site:
    """Return a site with committed links to files, notebooks and folders, some in loops, some leading out."""
    site.write(FILES)
    for name, target in LINKS.items():
        (site.project / name).parent.mkdir(exist_ok=True)
        (site.project / name).symlink_to(target)
    site.commit({})
    site.call("push", "--no-data")
    return site


def edits(site: Site) -> dict[str, str]:
    """Return what was edited in the site's Git folder."""
    workspace = site.workspace()
    folder = git_folder.get(workspace, PurePosixPath(site.path))
    return git_folder_edits.read(workspace, folder, site.repository).paths


def _as_they_are(link: Path) -> None:
    pass


def _as_files(link: Path) -> None:
    """Replace a link by a file with its target, as git does where links are not supported."""
    text = str(link.readlink())
    link.unlink()
    link.write_text(text)


def _as_copies(link: Path) -> None:
    """Replace a link by a copy of its target, with other times."""
    target = Path(os.path.realpath(link))
    link.unlink()
    if target.is_dir():
        shutil.copytree(target, link, symlinks=True)
    elif target.exists():
        shutil.copyfile(target, link)


@pytest.mark.parametrize("shown", [_as_they_are, Path.unlink, _as_files, _as_copies])
def test_a_committed_link_is_no_edit(linked: Site, shown: Callable[[Path], None]) -> None:
    """A link that is listed as its target, as a text file or not at all is no edit; real edits are found."""
    for name in LINKS:
        if shown is not _as_copies or name not in {"loop", "lib/up", "here/in", "there/in", "out"}:
            shown(linked.files / name)
    assert edits(linked) == {}
    linked.write({"lib/a.txt": "edited\n", "new.txt": "new\n"}, at=linked.files)
    if shown is not _as_copies:
        assert edits(linked) == {"lib/a.txt": "M", "new.txt": "A"}


def test_what_replaces_a_link_is_an_edit(linked: Site) -> None:
    """A file or folder in place of a link is an edit, and is saved with the others."""
    for name in ("file.txt", "folder", "here/in"):
        (linked.files / name).unlink()
    linked.write(
        {
            "file.txt": "edited\n",
            "folder/a.txt": "a\n",
            "folder/note.py": NOTEBOOK,
            "folder/inner/b.txt": "edited\n",
            "here/in/y.txt": "new\n",
        },
        at=linked.files,
    )
    expected = {
        "file.txt": "T",
        "folder": "D",
        "folder/a.txt": "A",
        "folder/inner/b.txt": "A",
        "folder/note.py": "A",
        "here/in": "D",
        "here/in/y.txt": "A",
    }
    assert edits(linked) == expected
    linked.call("pull", "--save")
    (branch,) = linked.git(
        "for-each-ref", "--format=%(refname:short)", f"refs/heads/{git_folder_rescue.BRANCHES}/"
    ).split()
    changed = linked.git("diff", "--name-status", "--no-renames", "HEAD", branch).splitlines()
    assert {line.split("\t")[1]: line.split("\t")[0] for line in changed} == expected
    assert linked.git("show", f"{branch}:folder/inner/b.txt") == "edited"


@pytest.mark.parametrize("links", [{"loop": "."}, {"a/in": "../b", "b/in": "../a"}, {"one": ".", "two": "."}])
def test_a_link_loop_is_named(pushed: Site, monkeypatch: pytest.MonkeyPatch, links: dict[str, str]) -> None:
    """The workspace lists a link loop as folders: status and pull name the link to delete."""
    monkeypatch.setattr(model, "leads_up", lambda *_: False)
    for name, target in links.items():
        pushed.write({f"{name.partition('/')[0]}/file.txt": "x"} if "/" in name else {}, at=pushed.files)
        (pushed.files / name).symlink_to(target)
    with pytest.raises(GitError, match="seems to be a link to a folder above it"):
        edits(pushed)
    first = next(iter(links))
    shown = pushed.call("status").output
    assert f"tiny/{first}" in shown
    assert "Delete that link on Databricks." in pushed.call("pull", "--save", status=1).output


def test_folders_of_one_name_are_no_loop(pushed: Site) -> None:
    """Nested folders of the same name are not taken for a loop."""
    pushed.write({"a/a/a/a/a.txt": "x", "b/b/b/b/b/b.txt": "x", "b/b/x": "x"}, at=pushed.files)
    assert edits(pushed).keys() == {"a/a/a/a/a.txt", "b/b/b/b/b/b.txt", "b/b/x"}
