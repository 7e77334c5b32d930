"""What a repository can hold and a Git folder cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import GitError

if TYPE_CHECKING:
    from kedro_databricks_hybrid.git import Repository

_POINTER = "version https://git-lfs.github.com/spec/v1"
_LARGEST_POINTER = 1024


@dataclass(frozen=True)
class Unsupported:
    """Paths in a commit that a Git folder does not bring, or not as they are here."""

    submodules: tuple[str, ...]
    lfs_files: tuple[str, ...]


def find(repository: Repository, sha: str) -> Unsupported:
    """Look through a commit for submodules and for files that are kept in Git LFS."""
    submodules, small = [], set()
    for entry in repository.ask("ls-tree", "-r", "-l", "-z", "--full-tree", sha).split("\0"):
        facts, _, path = entry.partition("\t")
        mode, _, _, size = facts.split() if facts else ("", "", "", "-")
        if mode == "160000":
            submodules.append(path)
        elif size.isdigit() and int(size) <= _LARGEST_POINTER:
            small.add(path)
    found = repository.run(
        "-C", str(repository.top), "grep", "--no-color", "-l", "-z", "-F", "-e", _POINTER, sha
    )
    named = found.stdout.decode("utf-8", "surrogateescape").split("\0")
    pointers = [name.removeprefix(f"{sha}:") for name in named if name]
    return Unsupported(tuple(submodules), tuple(path for path in pointers if path in small))


def refuse_submodules(found: Unsupported) -> None:
    """Refuse a commit with submodules.

    Raises:
        GitError: It has some; they are named.
    """
    if found.submodules:
        raise GitError(
            f"This commit has submodules, which Git folders do not bring: {', '.join(found.submodules[:5])}.",
            hint="Put their files into the repository itself, or install them from requirements.txt.",
        )
