"""Listing data on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_databricks_hybrid.cli.command import say, say_json
from kedro_databricks_hybrid.cli.sizes import in_bytes
from kedro_databricks_hybrid.transfer import local, roots
from kedro_databricks_hybrid.transfer.facts import clock
from kedro_databricks_hybrid.transfer.project_data import place
from kedro_databricks_hybrid.transfer.pull import Pull

if TYPE_CHECKING:
    from collections.abc import Collection

    from kedro_databricks_hybrid.cli.project import Project
    from kedro_databricks_hybrid.transfer.files import LocalFile, RemoteFile
    from kedro_databricks_hybrid.transfer.plan import Pair
    from kedro_databricks_hybrid.workspace import Workspace

_UNKNOWN = "same size"


def list_data(project: Project, workspace: Workspace, paths: Collection[str], *, as_json: bool) -> None:
    """Print each file with both its sides."""
    tree = roots.tree(workspace, project.data_root(workspace))
    chosen = local.named(project.data, paths) if paths else [project.data]
    pull = Pull(tree, project.data, place(workspace, tree.root))
    pairs = pull.pairs([local.inside(project.data, path) for path in chosen])
    if as_json:
        say_json([_as_json(pair) for pair in pairs])
        return
    rows = [("path", "here", "", "there", "", "state"), *(_row(pair) for pair in pairs)]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for row in rows:
        cells = [
            cell.rjust(width) if column in {1, 3} else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        say("  ".join(cells).rstrip())


def _row(pair: Pair) -> tuple[str, str, str, str, str, str]:
    return (str(pair.path), *_cells(pair.here), *_cells(pair.there), _state(pair))


def _cells(file: LocalFile | RemoteFile | None) -> tuple[str, str]:
    return (in_bytes(file.size), clock(file.modified)) if file else ("-", "")


def _state(pair: Pair) -> str:
    """Name the state; where nobody noted the remote content, sizes are all that is known."""
    return _UNKNOWN if pair.must_be_compared else pair.state.value


def _as_json(pair: Pair) -> dict[str, object]:
    def side(file: LocalFile | RemoteFile | None) -> dict[str, int] | None:
        return {"size": file.size, "modified": file.modified} if file else None

    return {
        "path": str(pair.path),
        "here": side(pair.here),
        "there": side(pair.there),
        "state": _state(pair),
    }
