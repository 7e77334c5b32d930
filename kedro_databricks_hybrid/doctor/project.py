"""Checks of the project: its settings, its requirements, its repository and remote."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kedro_databricks_hybrid import code, git, project_files, unsupported
from kedro_databricks_hybrid.doctor.finding import Finding, green, red, yellow

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.cli.project import Project

_REMOTE_SECONDS = 4.0
_OWN_DISTRIBUTION = "kedro-databricks-hybrid"
# What the runtime brings itself, and what breaks when it is installed over that.
_FROM_THE_RUNTIME = {"pyspark", "databricks-connect", "delta-spark"}


def config_loader() -> Finding:
    """Tell whether settings.py makes one catalog serve both worlds."""
    if project_files.uses_our_loader():
        return green("settings.py", "CONFIG_LOADER_CLASS is DatabricksConfigLoader")
    return red(
        "settings.py",
        "CONFIG_LOADER_CLASS is not DatabricksConfigLoader, so data/... paths do not lead to Databricks",
        "kedro databricks init",
    )


def requirements(project_path: Path) -> Finding:
    """Look for requirements that a cluster lacks, or that would replace the runtime's own Spark."""
    name = next((each for each in project_files.REQUIREMENTS if (project_path / each).is_file()), None)
    if name is None:
        return red(
            "requirements", "there is no requirements.txt, so a cluster has no Kedro", "kedro databricks init"
        )
    text = (project_path / name).read_text(encoding="utf-8", errors="replace")
    wanted = project_files.required_names(text)
    if clash := sorted(wanted & _FROM_THE_RUNTIME):
        return red(
            "requirements",
            f"{name} wants {', '.join(clash)}, which would replace the runtime's own Spark on the cluster",
            f'Remove {", ".join(clash)} from {name}; locally `pip install "{_OWN_DISTRIBUTION}[spark]"`',
        )
    if _OWN_DISTRIBUTION not in wanted and not re.search(r"^\s*-r\s", text, re.MULTILINE):
        return red("requirements", f"{name} lacks {_OWN_DISTRIBUTION}", "kedro databricks init")
    return green("requirements", f"{name} asks for nothing that the runtime must bring itself")


def remote(project: Project) -> Finding:
    """Ask the Git remote for the branch, and compare it with the local one."""
    repository, settings = project.repository, project.settings.code
    source = code.source(repository, settings)
    ref = f"refs/heads/{source.branch}"
    result = repository.run("ls-remote", "--", settings.remote, ref, seconds=_REMOTE_SECONDS)
    if result.returncode != 0:
        return red(
            "Git remote",
            f"{source.shown_url} does not answer: {git.last_words(result.stderr)}",
            f"git ls-remote {settings.remote}",
        )
    there = result.stdout.decode().partition("\t")[0]
    provider = "a folder here" if git.is_local(source.url) else source.provider
    where = f"{source.shown_url} ({provider})"
    if there == source.commit.sha:
        return green("Git remote", f"{where} has {source.commit} on {source.branch}")
    return yellow(
        "Git remote", f"{where} does not have {source.commit} on {source.branch}", "kedro databricks push"
    )


def contents(project: Project) -> Finding:
    """Look through the commit for what Git folders do not bring."""
    found = unsupported.find(project.repository, project.repository.head().sha)
    if found.submodules:
        return red(
            "Git contents",
            f"submodules do not come with a Git folder: {', '.join(found.submodules[:5])}",
            f"git rm {found.submodules[0]}",
        )
    if found.lfs_files:
        count = len(found.lfs_files)
        return yellow("Git contents", f"{count} file(s) of Git LFS arrive as pointers: {found.lfs_files[0]}")
    return green("Git contents", "no submodules, no Git LFS")
