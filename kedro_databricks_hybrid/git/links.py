"""Symbolic links in a snapshot: a copy has what they lead to in their place. Pure."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import GitError
from kedro_databricks_hybrid.git.unsafe_names import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_STEPS = 40  # as Linux allows


def followed(files: Mapping[str, str], links: Mapping[str, str], top: str) -> dict[str, str]:
    """Return the files of a snapshot, with links to files and folders replaced by these.

    Args:
        files: The id of each file's content, by its path in the repository.
        links: The target of each link, by its path.
        top: The absolute path of the repository, for links that name it.

    Raises:
        GitError: A link leads out of the repository, to nothing in it, or to a folder that it is in.
    """
    found = dict(files)
    for name in links:
        found |= _content(name, files, links, top, ())
    return found


def _content(
    name: str, files: Mapping[str, str], links: Mapping[str, str], top: str, above: tuple[str, ...]
) -> dict[str, str]:
    """Return the files that a link stands for; `above` are the folders whose content is being listed."""
    target = _target(name, links, top)
    if target in files:
        return {name: files[target]}
    start = f"{target}/" if target else ""
    if target in above or name.startswith(start):
        raise _refused(name, "leads to a folder that it is in", "Remove it")
    inside = {path: blob for path, blob in files.items() if path.startswith(start)}
    for link in links:
        if link.startswith(start):
            inside |= _content(link, files, links, top, (*above, target))
    if not inside:
        raise _refused(name, f"leads to {shown(target)}, which is missing or which git ignores", "Remove it")
    return {f"{name}/{path[len(start) :]}": blob for path, blob in inside.items()}


def _target(name: str, links: Mapping[str, str], top: str) -> str:
    """Return the path in the repository that a link leads to, through other links."""
    left = name.split("/")
    reached: list[str] = []
    steps = 0
    while left:
        part = left.pop(0)
        if part == "..":
            if not reached:
                raise _outside(name, links)
            reached.pop()
            continue
        if part in {"", "."}:
            continue
        target = links.get("/".join([*reached, part]))
        if target is None:
            reached.append(part)
            continue
        steps += 1
        if steps > _MOST_STEPS:
            raise _refused(name, "leads back to itself", "Remove it")
        if posixpath.isabs(target):
            if not f"{target}/".startswith(f"{top}/"):
                raise _outside(name, links)
            target, reached = target[len(top) :], []
        left = [*target.split("/"), *left]
    return "/".join(reached)


def _outside(name: str, links: Mapping[str, str]) -> GitError:
    return _refused(
        name, f"leads out of the repository, to {shown(links[name])}", "Put the files in its place"
    )


def _refused(name: str, why: str, fix: str) -> GitError:
    return GitError(
        f"The symbolic link {shown(name)} {why}, so Databricks would lack it.",
        hint=f"{fix}, or add it to .gitignore.",
    )
