"""Uncommitted files on Databricks: a folder of its own that mirrors a snapshot of the working tree."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kedro_databricks_hybrid.databricks.git_folder import GitFolder
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import NotFoundError, WorkspaceError
from kedro_databricks_hybrid.git.unsafe_names import Verdict, judge, shown
from kedro_databricks_hybrid.parallel import run_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.git.repository import Repository
    from kedro_databricks_hybrid.git.work_in_progress import Snapshot

MARK = ".kedro-hybrid-files.json"
"""The file that tells a folder of ours: which snapshot it mirrors, and the id of each file's content."""


@dataclass(frozen=True)
class Mirrored:
    """What a folder mirrors: the snapshot, None while it is being changed, and its files' ids in git."""

    sha: str | None
    files: dict[str, str]


@dataclass(frozen=True)
class Difference:
    """How a mirror differs from a snapshot: what is there and wanted by the ids in git, and what to do."""

    known: Mirrored
    wanted: dict[str, str]
    changed: list[str]
    gone: list[str]

    @property
    def unchanged(self) -> int:
        """How many files are there already."""
        return len(self.wanted) - len(self.changed)


def path_beside(git_folder: PurePosixPath, user: str) -> PurePosixPath:
    """Return where the files lie: beside the Git folder, or at home if that is in /Repos.

    Folders of /Repos hold Git folders alone, and a Git folder must stay clean for its next checkout.
    """
    name = f"{git_folder.name}-files"
    parts = [part for part in git_folder.parts[1:] if part != "Workspace"]
    if parts[:1] == ["Repos"]:
        return PurePosixPath("/Workspace/Users", user, name)
    return git_folder.with_name(name)


def get(workspace: Workspace, path: PurePosixPath) -> GitFolder:
    """Return the mirror as a run sees it: like a Git folder that is at the snapshot.

    Raises:
        NotFoundError: Nothing was synced there, or not to the end.
    """
    mirrored = read(workspace, path)
    if mirrored is None or mirrored.sha is None:
        raise NotFoundError(
            f"{path} on Databricks does not hold your files"
            f"{'' if mirrored is None else ': the last push was interrupted'}.",
            hint=f"Run `kedro databricks push{workspace.flags}`.",
        )
    return GitFolder(0, path, "your files", mirrored.sha, "")


def read(workspace: Workspace, path: PurePosixPath) -> Mirrored | None:
    """Return what a folder mirrors, None where there is no folder.

    Raises:
        WorkspaceError: There is a folder that is none of ours.
    """
    from databricks.sdk.service.workspace import ExportFormat

    try:
        with (
            translated(f"read {path / MARK}"),
            workspace.client.workspace.download(str(path / MARK), format=ExportFormat.AUTO) as content,
        ):
            known: dict[str, Any] = json.loads(content.read())
    except NotFoundError:
        _refuse_foreign(workspace, path)
        return None
    return Mirrored(known["sha"], known["files"])


def compare(
    workspace: Workspace, path: PurePosixPath, repository: Repository, snapshot: Snapshot
) -> Difference:
    """Compare what a folder mirrors with a snapshot.

    Raises:
        WorkspaceError: The folder is none of ours, or its mark was tampered with.
    """
    wanted = _files(repository, snapshot.commit.sha)
    known = read(workspace, path) or Mirrored(None, {})
    changed = [name for name, blob in wanted.items() if known.files.get(name) != blob]
    gone = [name for name in known.files if name not in wanted]
    for name in gone:
        if judge(name) is Verdict.REFUSE:
            raise WorkspaceError(
                f"{path / MARK} names {shown(name)}, which this tool cannot have sent; nothing was deleted.",
                hint="Delete that folder on Databricks, then push again.",
            )
    return Difference(known, wanted, changed, gone)


def sync(workspace: Workspace, path: PurePosixPath, repository: Repository, snapshot: Snapshot) -> Difference:
    """Make a folder mirror a snapshot: only what changed is sent, what is gone here is deleted there.

    Args:
        workspace: Where the folder lies.
        path: The folder, which is made if need be.
        repository: The repository that holds the snapshot.
        snapshot: The working tree as a commit.

    Returns:
        What was done.

    Raises:
        WorkspaceError: The folder is none of ours, or a file did not arrive.
    """
    difference = compare(workspace, path, repository, snapshot)
    known, wanted = difference.known, difference.wanted
    changed, gone = difference.changed, difference.gone
    if known.sha == snapshot.commit.sha and not changed and not gone:
        return difference
    if known.files == {} and known.sha is None:
        _make_folders(workspace, [path])
    # Whatever happens from here on, the mark names every file that may be there.
    _write_mark(workspace, path, Mirrored(None, {**known.files, **dict.fromkeys((*changed, *gone), "")}))
    _make_folders(workspace, sorted({(path / name).parent for name in changed}))
    run_all(lambda name: _delete(workspace, path / name), gone)
    run_all(lambda name: _send(workspace, path / name, _blob(repository, wanted[name])), changed)
    _prove(workspace, path, changed)
    _write_mark(workspace, path, Mirrored(snapshot.commit.sha, wanted))
    return difference


def _files(repository: Repository, sha: str) -> dict[str, str]:
    found = {}
    for entry in repository.ask("ls-tree", "-r", "-z", "--full-tree", sha).split("\0"):
        facts, _, name = entry.partition("\t")
        if facts.startswith("100"):  # neither links nor submodules
            found[name] = facts.split()[2]
    return found


def _blob(repository: Repository, blob: str) -> bytes:
    return repository.run("cat-file", "blob", blob).stdout


def _refuse_foreign(workspace: Workspace, path: PurePosixPath) -> None:
    try:
        with translated(f"list {path}"):
            found = list(workspace.client.workspace.list(str(path)))
    except NotFoundError:
        return
    if found:
        raise WorkspaceError(
            f"{path} on Databricks holds files that are not this tool's.",
            hint="Move it away, or set another code.folder in conf/base/databricks.yml.",
        )


def _make_folders(workspace: Workspace, folders: Iterable[PurePosixPath]) -> None:
    wanted = set(folders)
    above = {parent for folder in wanted for parent in folder.parents}

    def make(folder: PurePosixPath) -> None:
        with translated(f"make the folder {folder}"):
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
    """Delete a file, which the workspace knows without its ending if it is a notebook."""
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
    """List the folders that files were sent to, and miss none of them."""

    def names(folder: PurePosixPath) -> set[str]:
        with translated(f"list {folder}"):
            listed = list(workspace.client.workspace.list(str(folder)))
        return {PurePosixPath(str(each.path)).name for each in listed}

    folders = sorted({(path / name).parent for name in sent})
    there = dict(zip(folders, run_all(names, folders), strict=True))
    for name in sent:
        address = path / name
        if there[address.parent].isdisjoint({address.name, address.stem}):
            raise WorkspaceError(f"{address} was sent, but Databricks does not show it.", hint="Push again.")
