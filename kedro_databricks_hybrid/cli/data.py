"""`kedro databricks data`: push, pull and list data without code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kedro_databricks_hybrid.cli.options import (
    Command,
    Group,
    catalog_options,
    dry_run_option,
    env_option,
    json_option,
    profile_option,
    say_json,
    waiting,
    warn,
)
from kedro_databricks_hybrid.cli.output import describe_unit, in_bytes, print_table
from kedro_databricks_hybrid.cli.startup_files import startup_files_option
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import TransferError
from kedro_databricks_hybrid.git.unsafe_names import shown
from kedro_databricks_hybrid.project.project import in_data, open_project
from kedro_databricks_hybrid.transfer import local
from kedro_databricks_hybrid.transfer.plan import Unit, local_time, units_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path, PurePosixPath

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.project.project import DataFolder

_SAME_SIZE = "same size"


@click.group(cls=Group)
def data() -> None:
    """Push, pull and list data without code."""


@data.command(cls=Command)
@click.argument("paths", nargs=-1)
@profile_option
@env_option
@catalog_options
@click.option("--all", "everything", is_flag=True, help="The whole data folder.")
@click.option("--force", is_flag=True, help="Overwrite files that changed on Databricks.")
@click.option("--theirs", is_flag=True, help="Of files that changed on both sides, keep Databricks' version.")
@dry_run_option
@json_option
@click.pass_obj
def push(metadata: ProjectMetadata, /, profile: str | None, env: str | None, **options: Any) -> None:  # noqa: ANN401
    """Send changed data to Databricks: the inputs of the pipelines, or PATHS in the data folder."""
    from kedro_databricks_hybrid.cli import data_push

    as_json = options.pop("as_json")
    if options["force"] and options["theirs"]:
        raise click.UsageError("--force and --theirs exclude each other.")
    _refuse_two_selections(options)
    project = open_project(metadata, env).on(connect(profile, warn))
    result = data_push.push_data(project, data_push.PushOptions(**options))
    if as_json:
        say_json({"dry_run": options["dry_run"], **result})


@data.command(cls=Command)
@click.argument("paths", nargs=-1)
@profile_option
@env_option
@catalog_options
@click.option("--all", "everything", is_flag=True, help="Everything below the data root.")
@click.option("--force", is_flag=True, help="Overwrite files that you edited; your edits are saved first.")
@click.option("--mine", is_flag=True, help="Keep files that you edited, and exit with status 0.")
@startup_files_option
@dry_run_option
@json_option
@click.pass_obj
def pull(metadata: ProjectMetadata, /, profile: str | None, env: str | None, **options: Any) -> None:  # noqa: ANN401
    """Download results: the output of the last run, or PATHS in the data folder."""
    from kedro_databricks_hybrid.cli import data_pull

    as_json = options.pop("as_json")
    if options["force"] and options["mine"]:
        raise click.UsageError("--force and --mine exclude each other.")
    _refuse_two_selections(options)
    project = open_project(metadata, env).on(connect(profile, warn))
    result = data_pull.pull_data(project, data_pull.PullOptions(**options))
    if as_json:
        say_json({"dry_run": options["dry_run"], **result})


@data.command(name="ls", cls=Command)
@click.argument("paths", nargs=-1)
@profile_option
@env_option
@catalog_options
@json_option
@click.pass_obj
def list_data(
    metadata: ProjectMetadata,
    profile: str | None,
    env: str | None,
    paths: tuple[str, ...],
    params: dict[str, Any],
    pipelines: list[str],
    as_json: bool,
) -> None:
    """List local files and files on Databricks side by side, with sizes, times and states.

    All of them, or those in PATHS, or with --pipelines those that these pipelines read and write.
    """
    if paths and pipelines:
        raise click.UsageError("PATHS and --pipelines exclude each other.")
    project = open_project(metadata, env).on(connect(profile, warn))
    known = project.catalog(params, pipelines).data() if pipelines else None
    listed: list[tuple[str, Unit]] = []
    for folder in project.data_folders:
        chosen = [folder.path]
        if paths:
            chosen = folder.named(paths, project.data_folders)
        elif known:
            chosen = in_data(folder.path, (*known.inputs, *known.outputs))
        if chosen or not folder.prefix:
            listed += [(folder.prefix, unit) for unit in _units(folder, chosen, must_exist=bool(paths))]
    if as_json:
        say_json([_as_json(prefix, unit) for prefix, unit in listed])
        return
    rows = [_row(prefix, unit) for prefix, unit in listed]
    print_table(("path", "here", "", "there", "", "state"), rows, right=(1, 3))


def _refuse_two_selections(options: dict[str, Any]) -> None:
    given = [name for name in ("paths", "pipelines", "everything") if options[name]]
    if len(given) > 1:
        raise click.UsageError("PATHS, --pipelines and --all exclude each other.")


def _units(folder: DataFolder, chosen: Collection[Path], *, must_exist: bool) -> list[Unit]:
    """Return the files at or below some paths of a folder.

    Raises:
        TransferError: One of the paths exists on neither side, and must.
    """
    paths = [local.inside(folder.path, path) for path in chosen]
    with waiting(f"Comparing the data with {folder.tree.root}"):
        pairs = [pair.as_listed() for pair in folder.pull().pairs(paths)]
    for path in paths if must_exist else ():
        is_found = any(path == pair.path or path in pair.path.parents for pair in pairs)
        if not is_found and not (folder.path / path).exists() and folder.tree.list(path) is None:
            raise TransferError(
                f"{shown(path)} is neither here nor in {folder.tree.root}.",
                hint="`kedro databricks data ls` lists both sides.",
            )
    units = units_of(pairs, with_local=True)
    return [each for unit in units for each in (_files_of(unit) if _is_inside(unit, paths) else [unit])]


def _is_inside(unit: Unit, paths: Collection[PurePosixPath]) -> bool:
    """Return whether files of a folder that Spark wrote were asked for, rather than the whole."""
    return unit.is_folder and any(unit.path in path.parents for path in paths)


def _files_of(unit: Unit) -> list[Unit]:
    return [Unit(pair.path, (pair,)) for pair in unit.pairs]


def _row(prefix: str, unit: Unit) -> tuple[str, str, str, str, str, str]:
    sides = (*_cells(_side(unit, "here")), *_cells(_side(unit, "there")))
    return (f"{prefix}{describe_unit(unit)}", *sides, _state(unit))


def _side(unit: Unit, side: str) -> dict[str, int] | None:
    """Return the size and the time of the local or the remote files of a unit; None if there are none."""
    files = [file for pair in unit.pairs if (file := getattr(pair, side))]
    if not files:
        return None
    return {"size": sum(file.size for file in files), "modified": max(file.modified for file in files)}


def _cells(side: dict[str, int] | None) -> tuple[str, str]:
    return (in_bytes(side["size"]), local_time(side["modified"])) if side else ("-", "")


def _state(unit: Unit) -> str:
    """Return the state; if the remote content was never recorded, only the sizes can be compared."""
    return _SAME_SIZE if unit.must_be_compared else unit.state.value


def _as_json(prefix: str, unit: Unit) -> dict[str, object]:
    sides = {side: _side(unit, side) for side in ("here", "there")}
    return {"path": f"{prefix}{unit.path}", "files": len(unit.pairs), **sides, "state": _state(unit)}
