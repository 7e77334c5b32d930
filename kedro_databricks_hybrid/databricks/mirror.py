"""Mirror uncommitted files to Databricks: a folder that holds a snapshot of the working tree."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from kedro_databricks_hybrid.databricks.answers import Object, UnexpectedAnswer, fitting
from kedro_databricks_hybrid.databricks.git_folder import GitFolder
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import GitError, NotFoundError, WorkspaceError
from kedro_databricks_hybrid.git.links import followed
from kedro_databricks_hybrid.git.unsafe_names import Verdict, judge, shown
from kedro_databricks_hybrid.parallel import run_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.git.repository import Repository
    from kedro_databricks_hybrid.git.work_in_progress import Snapshot

MARK = ".kedro-hybrid-files.json"
"""The file that identifies a mirror: which snapshot it holds, and the id of each file's content."""

_NOTEBOOK_ENDINGS = {".py", ".sql", ".scala", ".r", ".ipynb"}
_NOTEBOOK_MARK = re.compile(rb"\s*(#|--|//) Databricks notebook source\s*$")
_MARK = Object({"files": {str: str}}, {"sha": str})


@dataclass(frozen=True)
class Mirrored:
    """What a mirror holds: the snapshot, None while it is being changed, and its files' blob ids."""

    sha: str | None
    files: dict[str, str]


@dataclass(frozen=True)
class Difference:
    """How a mirror differs from a snapshot: known and wanted blob ids, files to send and to delete."""

    known: Mirrored
    wanted: dict[str, str]
    changed: list[str]
    gone: list[str]

    @property
    def unchanged(self) -> int:
        """How many files the mirror has already."""
        return len(self.wanted) - len(self.changed)


def path_beside(git_folder: PurePosixPath, user: str) -> PurePosixPath:
    """Return the mirror's path: beside the Git folder, or in the user's home if that is in /Repos.

    Folders in /Repos may only contain Git folders, and a Git folder must stay clean for its next checkout.
    """
    name = f"{git_folder.name}-files"
    parts = [part for part in git_folder.parts[1:] if part != "Workspace"]
    if parts[:1] == ["Repos"]:
        return PurePosixPath("/Workspace/Users", user, name)
    return git_folder.with_name(name)


def get(workspace: Workspace, path: PurePosixPath) -> GitFolder:
    """Return the mirror in the form of a Git folder whose head commit is the snapshot.

    Raises:
        NotFoundError: Nothing was pushed there, or the push was interrupted.
    """
    mirrored = read(workspace, path)
    if mirrored is None or mirrored.sha is None:
        raise NotFoundError(
            f"{path} on Databricks does not have your files"
            f"{'' if mirrored is None else ': the last push was interrupted'}.",
            hint=f"Run `kedro databricks push{workspace.flags}`.",
        )
    return GitFolder(0, path, "your files", mirrored.sha, "")


def read(workspace: Workspace, path: PurePosixPath) -> Mirrored | None:
    """Return what a mirror holds; None if the folder does not exist or is empty.

    Raises:
        WorkspaceError: The folder has files but is not a mirror.
    """
    from databricks.sdk.service.workspace import ExportFormat

    try:
        with (
            translated(f"read {path / MARK}"),
            workspace.client.workspace.download(str(path / MARK), format=ExportFormat.AUTO) as content,
        ):
            text = workspace.client.silence.watch(content.read)
        known = fitting(json.loads(text), _MARK)
    except NotFoundError:
        _refuse_foreign(workspace, path)
        return None
    except (ValueError, RecursionError, UnexpectedAnswer) as error:
        raise WorkspaceError(
            f"{path / MARK} is not what this tool writes.",
            hint="Delete that folder on Databricks, then push again.",
        ) from error
    return Mirrored(known.get("sha"), known["files"])


def compare(
    workspace: Workspace, path: PurePosixPath, repository: Repository, snapshot: Snapshot
) -> Difference:
    """Compare a mirror with a snapshot.

    Raises:
        GitError: The snapshot has a link or a submodule whose files would be missing.
        WorkspaceError: The folder is not a mirror, or its mark was tampered with.
    """
    wanted = _files(repository, snapshot.commit.sha)
    known = read(workspace, path) or Mirrored(None, {})
    changed = [name for name, blob in wanted.items() if known.files.get(name) != blob]
    gone = [name for name in known.files if name not in wanted]
    for name in gone:
        if judge(name) is Verdict.REFUSE:
            raise WorkspaceError(
                f"{path / MARK} names {shown(name)}, which this tool never sends; nothing was deleted.",
                hint="Delete that folder on Databricks, then push again.",
            )
    return Difference(known, wanted, changed, gone)


def sync(workspace: Workspace, path: PurePosixPath, repository: Repository, snapshot: Snapshot) -> Difference:
    """Update a mirror to a snapshot: send changed files, delete those that the snapshot lacks.

    Args:
        workspace: The workspace of the mirror.
        path: The mirror's folder, created if needed.
        repository: The repository with the snapshot.
        snapshot: The working tree as a commit.

    Returns:
        The difference before the update.

    Raises:
        GitError: As `compare`.
        WorkspaceError: The folder is not a mirror, or a file did not arrive.
    """
    difference = compare(workspace, path, repository, snapshot)
    known, wanted = difference.known, difference.wanted
    changed, gone = difference.changed, difference.gone
    if known.sha == snapshot.commit.sha and not changed and not gone:
        return difference
    if known.files == {} and known.sha is None:
        _make_folders(workspace, [path])
    # If this is interrupted, the mark names every file that the folder may have.
    _write_mark(workspace, path, Mirrored(None, {**known.files, **dict.fromkeys((*changed, *gone), "")}))
    _make_folders(workspace, sorted({(path / name).parent for name in changed}))
    run_all(lambda name: _delete(workspace, path / name), gone)
    _delete_turned(workspace, path, repository, difference)
    run_all(lambda name: _send(workspace, path / name, _blob(repository, wanted[name])), changed)
    _prove(workspace, path, changed)
    _write_mark(workspace, path, Mirrored(snapshot.commit.sha, wanted))
    return difference


def _files(repository: Repository, sha: str) -> dict[str, str]:
    """Return the ids of a snapshot's files by their paths, with what its links lead to.

    Raises:
        GitError: A link leads out of the repository, or there are submodules: their files would be missing.
    """
    found: dict[str, dict[str, str]] = {"100": {}, "120": {}, "160": {}}
    for entry in repository.ask("ls-tree", "-r", "-z", "--full-tree", sha).split("\0"):
        attributes, _, name = entry.partition("\t")
        if attributes:
            found[attributes[:3]][name] = attributes.split()[2]
    files, links, submodules = found.values()
    if submodules:
        names = ", ".join(map(shown, submodules))
        raise GitError(
            f"Submodules, and repositories inside the repository, cannot be sent: {names}.",
            hint="Put their files into the repository itself, or add them to .gitignore.",
        )
    targets = {
        name: os.fsdecode(repository.run("cat-file", "blob", blob).stdout) for name, blob in links.items()
    }
    return followed(files, targets, repository.top.as_posix())


def _blob(repository: Repository, blob: str) -> bytes:
    return repository.run("cat-file", "blob", blob).stdout


def _delete_turned(
    workspace: Workspace, path: PurePosixPath, repository: Repository, difference: Difference
) -> None:
    """Delete the files that are about to become notebooks, and the notebooks that are about to become files.

    The two have different names in the workspace, so the old one would stay beside the new one.
    """
    known, wanted = difference.known.files, difference.wanted
    turned = [
        name for name in difference.changed if _may_turn(repository, name, known.get(name), wanted[name])
    ]
    kinds = _kinds(workspace, path, turned)

    def delete(name: str) -> None:
        address = path / name
        old, kind = address, "FILE"
        if not _is_notebook(name, _blob(repository, wanted[name])):
            if not _is_only_source(PurePosixPath(name), wanted):
                return
            old, kind = address.with_suffix(""), "NOTEBOOK"
        if kinds.get(old) == kind:
            with translated(f"delete {old}"):
                workspace.client.workspace.delete(str(old))

    run_all(delete, turned)


def _may_turn(repository: Repository, name: str, old: str | None, new: str) -> bool:
    """Tell whether sending a file turns a notebook into a file or the other way round."""
    if old is None or PurePosixPath(name).suffix.lower() not in _NOTEBOOK_ENDINGS:
        return False
    before = repository.run("cat-file", "blob", old) if old else None
    if before is None or before.returncode:
        return True  # the last push was interrupted, or git has removed what was sent
    return _is_notebook(name, before.stdout) is not _is_notebook(name, _blob(repository, new))


def _is_notebook(name: str, content: bytes) -> bool:
    """Tell whether Databricks makes a notebook of a file."""
    if name.lower().endswith(".ipynb"):
        return content.lstrip().startswith(b"{")
    return _NOTEBOOK_MARK.match(content.partition(b"\n")[0]) is not None


def _is_only_source(name: PurePosixPath, names: Iterable[str]) -> bool:
    """Tell whether no other file can be the notebook that a file was."""
    others = (PurePosixPath(other) for other in names)
    return not any(
        other != name
        and other.with_suffix("") == name.with_suffix("")
        and other.suffix.lower() in _NOTEBOOK_ENDINGS
        for other in others
    )


def _refuse_foreign(workspace: Workspace, path: PurePosixPath) -> None:
    try:
        with translated(f"list {path}"):
            found = list(workspace.client.workspace.list(str(path)))
    except NotFoundError:
        return
    if found:
        raise WorkspaceError(
            f"{path} on Databricks has files that this tool did not write.",
            hint="Move it away, or set another code.folder in databricks.yml.",
        )


def _make_folders(workspace: Workspace, folders: Iterable[PurePosixPath]) -> None:
    wanted = set(folders)
    above = {parent for folder in wanted for parent in folder.parents}

    def make(folder: PurePosixPath) -> None:
        with translated(f"create the folder {folder}"):
            workspace.client.workspace.mkdirs(str(folder))

    run_all(make, sorted(wanted - above))


def _write_mark(workspace: Workspace, path: PurePosixPath, mirrored: Mirrored) -> None:
    text = json.dumps({"sha": mirrored.sha, "files": mirrored.files}, sort_keys=True)
    _send(workspace, path / MARK, text.encode())


def _send(workspace: Workspace, address: PurePosixPath, content: bytes) -> None:
    with translated(f"write {address}"):
        workspace.client.api_client.do(
            "POST",
            f"/api/2.0/workspace-files/import-file/{quote(str(address).lstrip('/'))}",
            query={"overwrite": "true"},
            headers={"Content-Type": "application/octet-stream"},
            data=content,
        )


def _delete(workspace: Workspace, address: PurePosixPath) -> None:
    """Delete a file; if it is a notebook, its path in the workspace has no extension."""
    from databricks.sdk.service.workspace import ObjectType

    try:
        with translated(f"delete {address}"):
            workspace.client.workspace.delete(str(address))
    except NotFoundError:
        notebook = address.with_suffix("")
        try:
            with translated(f"delete {notebook}"):
                if workspace.client.workspace.get_status(str(notebook)).object_type == ObjectType.NOTEBOOK:
                    workspace.client.workspace.delete(str(notebook))
        except NotFoundError:
            pass


def _prove(workspace: Workspace, path: PurePosixPath, sent: list[str]) -> None:
    """Verify that every file that was sent is listed in its folder."""
    found = _kinds(workspace, path, sent)
    for address in (path / name for name in sent):
        if found.keys().isdisjoint({address, address.with_suffix("")}):
            raise WorkspaceError(f"{address} was sent, but Databricks does not show it.", hint="Push again.")


def _kinds(workspace: Workspace, path: PurePosixPath, names: list[str]) -> dict[PurePosixPath, str]:
    """Return the kinds of all objects in the folders of files."""

    def kinds(folder: PurePosixPath) -> dict[PurePosixPath, str]:
        with translated(f"list {folder}"):
            listed = list(workspace.client.workspace.list(str(folder)))
        return {
            folder / PurePosixPath(str(each.path)).name: each.object_type.value if each.object_type else ""
            for each in listed
        }

    folders = sorted({(path / name).parent for name in names})
    return {address: kind for each in run_all(kinds, folders) for address, kind in each.items()}
