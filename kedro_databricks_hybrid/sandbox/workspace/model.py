"""The workspace tree: finds the file or folder on disk of an object by its path."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.errors import ApiError
from kedro_databricks_hybrid.sandbox.core.layout import leads_up, resolve
from kedro_databricks_hybrid.sandbox.core.users import Access, no_such_path
from kedro_databricks_hybrid.sandbox.workspace import notebook_files

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.repos.model import Repos


@dataclass(frozen=True)
class Entry:
    """One object of the workspace: its names, its path on disk, its type and its language."""

    names: tuple[str, ...]
    disk_path: Path
    kind: str
    language: str | None = None

    @property
    def path(self) -> str:
        """The path as the API shows it."""
        return "/" + "/".join(self.names)


class Tree:
    """Finds the objects that a user may see.

    Attributes:
        partial_git_info: Whether Git folders outside /Repos are shown as folders with only an id and a path.
    """

    partial_git_info = False

    def __init__(self, root: Path, access: Access, repos: Repos) -> None:
        self._root = root
        self._access = access
        self._repos = repos

    def find(self, user: User, names: tuple[str, ...]) -> Entry:
        """Return the object at a path; refuse a missing or forbidden one with 404 or 403."""
        entry = self.seek(user, names)
        if entry is None:
            raise no_such_path(names)
        return entry

    def seek(self, user: User, names: tuple[str, ...]) -> Entry | None:
        """Return the object at a path, None for a missing one.

        The name of a notebook is that of its file without the extension.
        """
        disk_path = self.disk_path(user, names)
        if disk_path.is_dir():
            is_repo = self._repos.at(names) is not None and not self.is_partial(names)
            return Entry(names, disk_path, "REPO" if is_repo else "DIRECTORY")
        if disk_path.is_file() and notebook_files.language_of(disk_path) is None:
            return Entry(names, disk_path, "FILE")
        for extension in notebook_files.EXTENSIONS if names else ():
            if len(names[-1].encode()) + len(extension) > _LONGEST_NAME:
                break
            source = self.disk_path(user, (*names[:-1], names[-1] + extension))
            if source.is_file():
                language = notebook_files.language_of(source)
                if language is not None:
                    return Entry(names, source, "NOTEBOOK", language)
        return None

    def disk_path(self, user: User, names: tuple[str, ...], *, follow: bool = True) -> Path:
        """Return the path on disk of an object, which need not exist; refuse links into others' homes."""
        self._access.check(user, names)
        disk_path = resolve(self._root, names, follow=follow)
        real_root = resolve(self._root, ())
        self._access.check(user, disk_path.relative_to(real_root).parts)
        return disk_path

    def parent(self, user: User, names: tuple[str, ...]) -> Path:
        """Return the path on disk of an object's folder; refuse a missing one."""
        parent = self.disk_path(user, names[:-1])
        if not parent.is_dir():
            raise ApiError(
                404,
                "RESOURCE_DOES_NOT_EXIST",
                f"The parent folder (/{'/'.join(names[:-1])}) does not exist.",
            )
        return parent

    def children(self, user: User, folder: Entry) -> list[Entry]:
        """Return the objects in a folder that the user may see, by name; links that lead up are left out."""
        found = []
        for name in sorted(child.name for child in folder.disk_path.iterdir()):
            if leads_up(self._root, (*folder.names, name)):
                continue
            with suppress(ApiError, FileNotFoundError):  # forbidden, or just deleted
                is_notebook = name.endswith(notebook_files.EXTENSIONS) and self._is_notebook(
                    folder.disk_path / name
                )
                shown = name.rsplit(".", 1)[0] if is_notebook else name
                entry = self.seek(user, (*folder.names, shown))
                if entry is not None:
                    found.append(entry)
        return found

    def describe(self, entry: Entry) -> dict[str, Any]:
        """Return an object as the API shows it."""
        repo = self._repos.at(entry.names) if entry.kind in {"REPO", "DIRECTORY"} else None
        number = repo.repo_id if repo is not None else _number_of(entry.path)
        shown: dict[str, Any] = {
            "object_type": entry.kind,
            "path": entry.path,
            "object_id": number,
            "resource_id": str(number),
        }
        if entry.kind in {"FILE", "NOTEBOOK"}:
            status = entry.disk_path.stat()
            shown["created_at"] = shown["modified_at"] = int(status.st_mtime * 1000)
        if entry.kind == "FILE":
            shown["size"] = status.st_size
        if entry.language is not None:
            shown["language"] = entry.language
        return shown

    def is_partial(self, names: tuple[str, ...]) -> bool:
        """Tell whether a Git folder at this path is shown as a folder, with only an id and a path."""
        return self.partial_git_info and names[:1] != ("Repos",)

    @staticmethod
    def _is_notebook(disk_path: Path) -> bool:
        return disk_path.is_file() and notebook_files.language_of(disk_path) is not None


_LONGEST_NAME = 255


def _number_of(path: str) -> int:
    """Return an id for an object, made from its path."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:6], "big") + 1
