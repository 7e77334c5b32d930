"""The workspace tree: from the path of an object to the file or folder that it is."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.errors import ApiError
from kedro_databricks_hybrid.sandbox.core.layout import resolve
from kedro_databricks_hybrid.sandbox.identity.users import Access, no_such_path
from kedro_databricks_hybrid.sandbox.workspace import notebook_files

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.identity.users import User
    from kedro_databricks_hybrid.sandbox.repos.model import Repos


@dataclass(frozen=True)
class Entry:
    """One object of the workspace: its names, its place on disk, and what it is."""

    names: tuple[str, ...]
    place: Path
    kind: str
    language: str | None = None

    @property
    def path(self) -> str:
        """The path as the API shows it."""
        return "/" + "/".join(self.names)


class Tree:
    """Finds objects, as far as a user may see them.

    Attributes:
        partial_git_info: Whether Git folders outside of /Repos show as folders with only an id and a path.
    """

    partial_git_info = False

    def __init__(self, root: Path, access: Access, repos: Repos) -> None:
        self._root = root
        self._access = access
        self._repos = repos

    def find(self, user: User, names: tuple[str, ...]) -> Entry:
        """Return the object at a path, or refuse with 404 or 403."""
        entry = self.seek(user, names)
        if entry is None:
            raise no_such_path(names)
        return entry

    def seek(self, user: User, names: tuple[str, ...]) -> Entry | None:
        """Return the object at a path, None if there is none.

        A notebook is found by its name without the extension only.
        """
        place = self.place(user, names)
        if place.is_dir():
            is_repo = self._repos.at(names) is not None and not self.is_partial(names)
            return Entry(names, place, "REPO" if is_repo else "DIRECTORY")
        if place.is_file() and notebook_files.language_of(place) is None:
            return Entry(names, place, "FILE")
        for extension in notebook_files.EXTENSIONS if names else ():
            if len(names[-1].encode()) + len(extension) > _LONGEST_NAME:
                break
            source = self.place(user, (*names[:-1], names[-1] + extension))
            if source.is_file():
                language = notebook_files.language_of(source)
                if language is not None:
                    return Entry(names, source, "NOTEBOOK", language)
        return None

    def place(self, user: User, names: tuple[str, ...], *, follow: bool = True) -> Path:
        """Return where an object is or would be; links cannot lead into somebody else's home."""
        self._access.check(user, names)
        place = resolve(self._root, names, follow=follow)
        real_root = resolve(self._root, ())
        self._access.check(user, place.relative_to(real_root).parts)
        return place

    def parent(self, user: User, names: tuple[str, ...]) -> Path:
        """Return the folder that an object is to be put in, or refuse because it is missing."""
        parent = self.place(user, names[:-1])
        if not parent.is_dir():
            raise ApiError(
                404,
                "RESOURCE_DOES_NOT_EXIST",
                f"The parent folder (/{'/'.join(names[:-1])}) does not exist.",
            )
        return parent

    def children(self, user: User, folder: Entry) -> list[Entry]:
        """Return the objects in a folder, by name; what the user may not see is left out."""
        found = []
        for name in sorted(child.name for child in folder.place.iterdir()):
            with suppress(ApiError, FileNotFoundError):  # not the user's, or it has just gone
                is_notebook = name.endswith(notebook_files.EXTENSIONS) and self._is_notebook(
                    folder.place / name
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
            status = entry.place.stat()
            shown["created_at"] = shown["modified_at"] = int(status.st_mtime * 1000)
        if entry.kind == "FILE":
            shown["size"] = status.st_size
        if entry.language is not None:
            shown["language"] = entry.language
        return shown

    def is_partial(self, names: tuple[str, ...]) -> bool:
        """Tell whether a Git folder at this path shows as a folder, with only an id and a path."""
        return self.partial_git_info and names[:1] != ("Repos",)

    @staticmethod
    def _is_notebook(place: Path) -> bool:
        return place.is_file() and notebook_files.language_of(place) is not None


_LONGEST_NAME = 255


def _number_of(path: str) -> int:
    """Return a number for an object, which stays the same as long as its path does."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:6], "big") + 1
