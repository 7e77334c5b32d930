"""`kedro databricks doctor`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from kedro_databricks_hybrid.cli import other_plugins
from kedro_databricks_hybrid.cli.options import (
    Command,
    catalog_options,
    env_option,
    json_option,
    profile_option,
    say,
    say_json,
    waiting,
    warn,
)
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.doctor.checks import examine
from kedro_databricks_hybrid.doctor.finding import Finding, Level
from kedro_databricks_hybrid.project.project import open_project

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata


@click.command(cls=Command)
@profile_option
@env_option
@catalog_options
@json_option
@click.pass_obj
def doctor(
    metadata: ProjectMetadata,
    profile: str | None,
    env: str | None,
    params: dict[str, Any],
    pipelines: list[str],
    as_json: bool,
) -> None:
    """Check everything that the workflow needs, and name the command that fixes each problem.

    Red findings stop the workflow, yellow ones are warnings. The exit status is 1 if any finding is red.
    """
    log_in = partial(connect, profile, warn)
    with waiting("Checking"):
        findings = examine(metadata, lambda: open_project(metadata, env), log_in, params, pipelines)
    findings += [Finding("plugins", Level.YELLOW, each.explained()) for each in other_plugins.found()]
    if as_json:
        say_json([{**asdict(each), "level": each.level.value} for each in findings])
    else:
        for finding in findings:
            _show(finding)
    if any(each.level is Level.RED for each in findings):
        raise SystemExit(1)


def _show(finding: Finding) -> None:
    level = click.style(f"{finding.level.value:<6} ", fg=finding.level.value)
    fix = f"  ->  {finding.fix}" if finding.fix else ""
    say(f"{finding.check:<14} {finding.found}{fix}", level)
