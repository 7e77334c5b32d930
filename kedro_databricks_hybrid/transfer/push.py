"""Sending changed data to the data root."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import TransferError
from kedro_databricks_hybrid.transfer.plan import MANIFEST, Manifest, PushPlan, plan_push

if TYPE_CHECKING:
    from kedro_databricks_hybrid.transfer.plan import LocalFile
    from kedro_databricks_hybrid.transfer.remote import RemoteTree

CONCURRENCY = 8
"""Requests in flight: the Files API allows about ten."""


@dataclass(frozen=True)
class Pushed:
    """What a push did: files and bytes sent, files that were there already, folders made."""

    sent: int
    sent_bytes: int
    unchanged: int
    folders: int


def push(tree: RemoteTree, data: Path, files: list[LocalFile], folders: list[str]) -> Pushed:
    """Bring files and folders to the data root, only what changed, and note it beside them.

    Args:
        tree: The data root.
        data: The local data folder.
        files: Which of its files to bring.
        folders: Folders to make there even if they stay empty.

    Raises:
        TransferError: A file changed while it was read, or arrived with another size.
        WorkspaceError: Databricks refused.
    """
    plan = _plan(tree, files, folders)
    if plan.send or plan.make:
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            list(pool.map(tree.make_folder, [PurePosixPath(folder) for folder in plan.make]))
            list(pool.map(lambda file: _send(tree, data, file), plan.send))
        manifest = plan.manifest.as_bytes()
        tree.write(MANIFEST, io.BytesIO(manifest), len(manifest))
    return Pushed(len(plan.send), sum(file.size for file in plan.send), plan.unchanged, len(plan.make))


def _plan(tree: RemoteTree, files: list[LocalFile], folders: list[str]) -> PushPlan:
    manifest = Manifest.from_bytes(tree.read(MANIFEST))
    parents = {file.path.parent for file in files if str(file.path) in manifest.files}
    sizes = {remote.path: remote.size for parent in sorted(parents) for remote in tree.files(parent)}
    return plan_push(files, folders, manifest, sizes)


def _send(tree: RemoteTree, data: Path, file: LocalFile) -> None:
    try:
        with (data / file.path).open("rb") as content:
            tree.write(file.path, content, file.size)
    except FileNotFoundError as error:
        raise TransferError(f"{error.filename} vanished while it was pushed.", hint="Push again.") from error
