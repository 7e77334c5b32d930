"""The files of a project, in a commit or in its working tree, and temporary copies of some of them."""

from __future__ import annotations

import posixpath
import tempfile
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import GitError
from kedro_databricks_hybrid.git.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class CommitFiles:
    """The files of a commit; paths are relative to the Kedro project's folder.

    Args:
        repository: The project's repository.
        sha: The commit.
        likely: Paths that are read in advance, with one git command.
    """

    def __init__(self, repository: Repository, sha: str, likely: tuple[str, ...] = ()) -> None:
        self._repository = repository
        self._sha = sha
        self._likely = likely
        self.read = cache(self._read)
        self.identify = cache(self._identify)

    @property
    def folders_above(self) -> list[str]:
        """The folders from the project's up to the top of the repository, such as `..` and `../..`."""
        return _above(len(Path(self._repository.prefix).parts))

    @contextmanager
    def copied(self, is_wanted: Callable[[str], bool]) -> Iterator[tuple[Path, Path]]:
        """Copy files of the whole repository; yield the copies' top folder and the project's in it.

        Args:
            is_wanted: Tells by its name whether a file is copied.
        """
        repository = self._repository
        listed = repository.ask("ls-tree", "-r", "-z", "--name-only", "--full-tree", self._sha).split("\0")
        names = [name for name in listed if name and is_wanted(posixpath.basename(name))]
        contents = repository.files_at(self._sha, names, prefix="")
        with _written(contents, repository.prefix) as folders:
            yield folders

    @cached_property
    def _read_in_advance(self) -> dict[str, bytes]:
        return self._repository.files_at(self._sha, self._likely)

    def _read(self, path: str) -> bytes | None:
        """Return a file's content; None if the commit has no such file."""
        if path in self._likely:
            return self._read_in_advance.get(path)
        return self._repository.file_at(self._sha, path)

    def _identify(self, path: str) -> str | None:
        """Return the id of a file's or folder's content; None if the commit has neither."""
        return self._repository.id_at(self._sha, path)


class WorkingTreeFiles:
    """The files of a working tree; paths are relative to the Kedro project's folder.

    Args:
        project: The Kedro project's folder, in a Git repository or not.
    """

    def __init__(self, project: Path) -> None:
        self._project = project

    @property
    def folders_above(self) -> list[str]:
        """The folders from the project's up to the top of the repository, such as `..` and `../..`."""
        try:
            prefix = Repository(self._project).prefix
        except GitError:
            prefix = ""
        return _above(len(Path(prefix).parts))

    def read(self, path: str) -> bytes | None:
        """Return a file's content; None if there is no such file."""
        try:
            return (self._project / path).read_bytes()
        except OSError:
            return None

    def identify(self, path: str) -> str | None:
        """Return the path if it exists, else None: what is in it may change at any time."""
        return path if (self._project / path).exists() else None

    @contextmanager
    def copied(self, is_wanted: Callable[[str], bool]) -> Iterator[tuple[Path, Path]]:
        """Copy files of the whole repository, except ignored ones, as `CommitFiles.copied` does."""
        try:
            repository = Repository(self._project)
            found = repository.ask("ls-files", "-c", "-o", "--exclude-standard", "--full-name", "-z", ":/")
            top, prefix, names = repository.top, repository.prefix, found.split("\0")
        except GitError:
            top, prefix, names = self._project, "", [each.name for each in self._project.iterdir()]
        paths = {name: top / name for name in names if name and is_wanted(posixpath.basename(name))}
        contents = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
        with _written(contents, prefix) as folders:
            yield folders


def _above(depth: int) -> list[str]:
    return ["/".join([".."] * count) for count in range(1, depth + 1)]


@contextmanager
def _written(contents: dict[str, bytes], prefix: str) -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder).resolve()
        for name, content in contents.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield top, top / prefix
