"""`kedro databricks data`: push, pull and list data without code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.utils import split_string

from kedro_databricks_hybrid.cli.options import (
    Command,
    env_option,
    json_option,
    profile_option,
    say,
    say_json,
)
from kedro_databricks_hybrid.cli.output import in_bytes
from kedro_databricks_hybrid.cli.startup_files import startup_files_option
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.project.project import data_root_key, open_project
from kedro_databricks_hybrid.transfer import local
from kedro_databricks_hybrid.transfer.plan import local_time
from kedro_databricks_hybrid.transfer.pull import Pull
from kedro_databricks_hybrid.transfer.trees.open import open_tree

if TYPE_CHECKING:
    from collections.abc import Collection

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.project import Project
    from kedro_databricks_hybrid.transfer.files import LocalFile, RemoteFile
    from kedro_databricks_hybrid.transfer.plan import Pair

_pipelines_option = click.option(
    "--pipelines", metavar="NAMES", default="", callback=split_string, help="Data of these pipelines only."
)
_dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
_SAME_SIZE = "same size"


@click.group()
def data() -> None:
    """Push, pull and list data alone."""


@data.command(cls=Command)
@click.argument("paths", nargs=-1)
@profile_option
@env_option
@_pipelines_option
@click.option("--all", "everything", is_flag=True, help="The whole data folder.")
@click.option("--force", is_flag=True, help="Send yours also where the files there changed.")
@click.option("--theirs", is_flag=True, help="Leave the ones there where both changed, and send the rest.")
@_dry_run_option
@json_option
@click.pass_obj
def push(metadata: ProjectMetadata, /, profile: str | None, env: str | None, **options: Any) -> None:  # noqa: ANN401
    """Send the data that changed: what the pipelines read, or PATHS in the data folder."""
    from kedro_databricks_hybrid.cli import data_push

    as_json = options.pop("as_json")
    if options["force"] and options["theirs"]:
        raise click.UsageError("--force and --theirs exclude each other.")
    _only_one(options)
    project = open_project(metadata, env)
    told = data_push.push_data(project, connect(profile), data_push.PushOptions(**options))
    if as_json:
        say_json({"dry_run": options["dry_run"], **told})


@data.command(cls=Command)
@click.argument("paths", nargs=-1)
@profile_option
@env_option
@_pipelines_option
@click.option("--all", "everything", is_flag=True, help="Everything below the data root.")
@click.option("--force", is_flag=True, help="Take theirs also where you edited; your edits are saved first.")
@click.option("--mine", is_flag=True, help="Be content with yours where you edited, and take the rest.")
@startup_files_option
@_dry_run_option
@json_option
@click.pass_obj
def pull(metadata: ProjectMetadata, /, profile: str | None, env: str | None, **options: Any) -> None:  # noqa: ANN401
    """Bring results here: what the last run wrote, or PATHS in the data folder."""
    from kedro_databricks_hybrid.cli import data_pull

    as_json = options.pop("as_json")
    if options["force"] and options["mine"]:
        raise click.UsageError("--force and --mine exclude each other.")
    _only_one(options)
    project = open_project(metadata, env)
    told = data_pull.pull_data(project, connect(profile), data_pull.PullOptions(**options))
    if as_json:
        say_json({"dry_run": options["dry_run"], **told})


@data.command(name="ls", cls=Command)
@click.argument("paths", nargs=-1)
@profile_option
@env_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_data(
    metadata: ProjectMetadata, profile: str | None, env: str | None, paths: tuple[str, ...], as_json: bool
) -> None:
    """List data here and there side by side: size, time, and how the two relate."""
    print_data(open_project(metadata, env), connect(profile), paths, as_json=as_json)


def _only_one(options: dict[str, Any]) -> None:
    given = [name for name in ("paths", "pipelines", "everything") if options[name]]
    if len(given) > 1:
        raise click.UsageError("PATHS, --pipelines and --all exclude each other.")


def print_data(project: Project, workspace: Workspace, paths: Collection[str], *, as_json: bool) -> None:
    """Print each file with both its sides."""
    tree = open_tree(workspace, project.data_root(workspace))
    chosen = local.named(project.data, paths) if paths else [project.data]
    pull = Pull(tree, project.data, data_root_key(workspace, tree.root))
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
    return (in_bytes(file.size), local_time(file.modified)) if file else ("-", "")


def _state(pair: Pair) -> str:
    """Name the state; where nobody noted the remote content, sizes are all that is known."""
    return _SAME_SIZE if pair.must_be_compared else pair.state.value


def _as_json(pair: Pair) -> dict[str, object]:
    def side(file: LocalFile | RemoteFile | None) -> dict[str, int] | None:
        return {"size": file.size, "modified": file.modified} if file else None

    return {
        "path": str(pair.path),
        "here": side(pair.here),
        "there": side(pair.there),
        "state": _state(pair),
    }
