"""Find the inputs of pipelines that exist neither locally nor on Databricks."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.parallel import run_all
from kedro_databricks_hybrid.transfer import local

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path, PurePosixPath

    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree


@dataclass(frozen=True)
class MissingInput:
    """A dataset whose file or folder is missing on both sides.

    Args:
        dataset: The dataset's name.
        path: Its path, relative to the data folder and the data root.
        nearest: The most similar path that exists.
    """

    dataset: str
    path: PurePosixPath
    nearest: PurePosixPath | None

    def __str__(self) -> str:
        there = f"; there is {self.nearest}" if self.nearest else ""
        return f"{self.dataset} ({self.path}{there})"


def find_missing(tree: RemoteTree, data: Path, inputs: Mapping[str, Collection[Path]]) -> list[MissingInput]:
    """Return the inputs that are missing on both sides.

    Args:
        tree: The data root.
        data: The local data folder.
        inputs: Local paths in the data folder, by the names of their datasets.
    """
    wanted = {
        local.inside(data, path): name
        for name, paths in inputs.items()
        for path in paths
        if not os.path.lexists(path)
    }
    folders = sorted({path.parent for path in wanted})
    listings = dict(zip(folders, run_all(tree.list, folders), strict=True))
    found = []
    for path, name in sorted(wanted.items()):
        listing = listings[path.parent]
        there = [*(each.path for each in listing.files), *listing.folders] if listing else []
        if path not in there:
            found.append(MissingInput(name, path, _nearest(path, data, there)))
    return found


def _nearest(path: PurePosixPath, data: Path, there: list[PurePosixPath]) -> PurePosixPath | None:
    """Return the path most similar to a missing one, with the same folder as far as that exists."""
    folder = path.parent
    while not there and folder.parts and not (data / folder).is_dir():
        folder = folder.parent
    here = [folder / entry.name for entry in (data / folder).iterdir()] if (data / folder).is_dir() else []
    name = path.relative_to(folder).parts[0]
    known = {each.name: each for each in (*there, *here) if not each.name.startswith(".")}
    near = difflib.get_close_matches(name, known, n=1)
    return known[near[0]] if near else None
