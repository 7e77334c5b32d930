"""The workspace tree: finds the file or folder on disk of an object by its path."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core import notebook_files
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid, missing
from kedro_databricks_hybrid.sandbox.core.groups import ADMINS, EVERYBODY
from kedro_databricks_hybrid.sandbox.core.layout import leads_up, names_of, resolve
from kedro_databricks_hybrid.sandbox.core.permissions import (
    EDIT,
    GROUP,
    KINDS,
    MANAGE,
    READ,
    USER,
    Permission,
    Secured,
)
from kedro_databricks_hybrid.sandbox.core.users import no_such_path, path_of

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.core.permissions import Kind, Permissions
    from kedro_databricks_hybrid.sandbox.core.users import Access, User
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

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, perhaps a Git folder."""
        return self.kind in {"DIRECTORY", "REPO"}

    @property
    def format(self) -> str:
        """The format in which a notebook came: SOURCE or JUPYTER."""
        return notebook_files.format_of(self.disk_path)


@dataclass(frozen=True)
class Upload:
    """A received file, and the object that it becomes.

    Attributes:
        file: The file, which is moved into the workspace.
        names: The path of the object: a notebook has no extension.
        disk_name: The name of its file in the workspace.
        kind: FILE or NOTEBOOK.
        existing: The object at that path, None if it is free.
    """

    file: Path
    names: tuple[str, ...]
    disk_name: str
    kind: str
    existing: Entry | None


class Tree:
    """Finds the objects that a user may see.

    Attributes:
        partial_git_info: Whether Git folders outside /Repos are shown as folders with only an id and a path.
    """

    partial_git_info = False

    def __init__(self, root: Path, access: Access, permissions: Permissions, repos: Repos) -> None:
        self._root = root
        self._access = access
        self._permissions = permissions
        self._repos = repos

    def find(self, user: User, path: str) -> Entry:
        """Return the object at a path; refuse a missing or forbidden one with 404 or 403."""
        entry = self.seek(user, names_of(path))
        if entry is None:
            raise no_such_path(path)
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
                continue
            source = self.disk_path(user, (*names[:-1], names[-1] + extension))
            if source.is_file():
                language = notebook_files.language_of(source)
                if language is not None:
                    return Entry(names, source, "NOTEBOOK", language)
        return None

    def disk_path(
        self, user: User, names: tuple[str, ...], level: str = READ, *, follow: bool = True
    ) -> Path:
        """Return the path on disk of an object, which need not exist; refuse links into others' homes."""
        self._access.check(user, names, level)
        disk_path = resolve(self._root, names, follow=follow)
        real_root = resolve(self._root, ())
        self._access.check(user, disk_path.relative_to(real_root).parts, level)
        return disk_path

    def check_place(self, names: tuple[str, ...]) -> None:
        """Refuse what is in /Repos, but in none of its Git folders."""
        if names[:1] == ("Repos",) and self._repos.around(names) is None:
            raise ApiError(400, "DIRECTORY_PROTECTED", "Top-level folder can only contain repos")

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
        found = {}
        for name in sorted(child.name for child in folder.disk_path.iterdir()):
            if leads_up(self._root, (*folder.names, name)):
                continue
            with suppress(ApiError, FileNotFoundError):  # forbidden, or just deleted
                shown = name.rsplit(".", 1)[0] if self._is_notebook(folder.disk_path / name) else name
                entry = self.seek(user, (*folder.names, shown))
                if entry is not None:
                    found[entry.path] = entry
        return [found[path] for path in sorted(found)]

    def receive(self, user: User, names: tuple[str, ...], file: Path, disk_name: str) -> Upload:
        """Return what a received file becomes: a notebook if its content is one, else a file.

        Args:
            user: The user who sends it.
            names: The path that the user asked for.
            file: The received file.
            disk_name: The name under which it is stored: that of the path, or with a notebook's extension.

        Raises:
            ApiError: The folder is missing or forbidden, or an .ipynb file is no notebook.
        """
        if not names:
            raise invalid("The root folder cannot be replaced.")
        self.check_place(names)
        self.parent(user, names)
        if notebook_files.language_of(file, disk_name) is None:
            if notebook_files.is_jupyter(disk_name):
                notebook_files.cells_of(file.read_bytes(), "JUPYTER", "PYTHON")  # says why not
            upload = Upload(file, names, names[-1], "FILE", self.seek(user, names))
        else:
            names = (*names[:-1], disk_name.rsplit(".", 1)[0])
            upload = Upload(file, names, disk_name, "NOTEBOOK", self.seek(user, names))
        if upload.existing is None:
            self.disk_path(user, names[:-1], MANAGE)
        else:
            self.disk_path(user, names, EDIT)
        return upload

    def store(self, user: User, upload: Upload) -> None:
        """Move a received file into the workspace; it replaces the object that exists there."""
        folder, disk_name = upload.names[:-1], upload.disk_name
        disk_path = self.disk_path(user, (*folder, disk_name))
        if disk_path.is_file() and self._is_notebook(disk_path) != (upload.kind == "NOTEBOOK"):
            other = self.disk_path(user, (*folder, notebook_files.other_name(disk_name)))
            if upload.kind == "NOTEBOOK":
                disk_path = other
            else:
                disk_path.rename(other)
        upload.file.replace(disk_path)
        existing = upload.existing
        if existing is not None and existing.disk_path != disk_path:
            existing.disk_path.unlink(missing_ok=True)

    def describe(self, entry: Entry) -> dict[str, Any]:
        """Return an object as the API shows it."""
        repo = self._repos.at(entry.names) if entry.is_folder else None
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

    def secured(self, kind: Kind, object_id: str) -> Secured:
        """Return the object with an id as one with permissions, which it shares with all that is in it."""
        names = self._names_of(int(object_id)) if object_id.isdecimal() else None
        if names is None:
            raise missing(f"{kind.name.capitalize()} {object_id[:100]} does not exist.")
        inherited = [
            (f"/directories/{_number_of(path_of(above))}", one)
            for above in (names[:length] for length in range(len(names)))
            for one in self._permissions.of(path_of(above), self._initial(above))
        ]
        address = f"/{next(name for name, one in KINDS.items() if one is kind)}/{object_id}"
        return Secured(kind, path_of(names), address, self._initial(names), tuple(inherited))

    def _initial(self, names: tuple[str, ...]) -> tuple[Permission, ...]:
        """Return the permissions that an object has from the start."""
        if not names:
            return (Permission(GROUP, ADMINS, MANAGE),)
        owner = self._access.owner_of(names)
        if owner is not None:
            return (Permission(USER, owner, MANAGE),) if len(names) == 2 else ()
        return (Permission(GROUP, EVERYBODY, MANAGE),) if names == ("Shared",) or names[0] == "Repos" else ()

    def _names_of(self, number: int) -> tuple[str, ...] | None:
        """Return the path of the object with an id, None if there is none."""
        for repo in self._repos.all():
            if repo.repo_id == number:
                return repo.names
        for folder, _, files in os.walk(self._root):
            names = Path(folder).relative_to(self._root).parts
            for path in (names, *((*names, file) for file in files)):
                extension = notebook_files.extension_in(path[-1]) if path else None
                as_notebook = (*path[:-1], path[-1].removesuffix(extension)) if extension else path
                for each in (path, as_notebook):
                    if _number_of(path_of(each)) == number:
                        return each
        return None

    def is_partial(self, names: tuple[str, ...]) -> bool:
        """Tell whether a Git folder at this path is shown as a folder, with only an id and a path."""
        return self.partial_git_info and names[:1] != ("Repos",)

    @staticmethod
    def _is_notebook(disk_path: Path) -> bool:
        return (
            notebook_files.extension_in(disk_path.name) is not None
            and disk_path.is_file()
            and notebook_files.language_of(disk_path) is not None
        )


_LONGEST_NAME = 255


def _number_of(path: str) -> int:
    """Return an id for an object, made from its path."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:6], "big") + 1
