"""Checks of the project: its settings, its requirements, its repository and remote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_databricks_hybrid.doctor.finding import Finding, green, red, yellow
from kedro_databricks_hybrid.git.repository import error_summary, is_local
from kedro_databricks_hybrid.project import git_source, runtimes, scaffold
from kedro_databricks_hybrid.project.requirements import local_requirements

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.project.project import Project

_REMOTE_SECONDS = 4.0


def config_loader() -> Finding:
    """Tell whether settings.py sets DatabricksConfigLoader."""
    if scaffold.uses_our_loader():
        return green("settings.py", "CONFIG_LOADER_CLASS is DatabricksConfigLoader")
    return red(
        "settings.py",
        "CONFIG_LOADER_CLASS is not DatabricksConfigLoader, so data/... paths do not lead to Databricks",
        "kedro databricks init",
    )


def requirements(project_path: Path) -> Finding:
    """Look for requirements that a cluster lacks, or that would replace the runtime's own Spark."""
    found = local_requirements(project_path)
    if found is None:
        return red(
            "requirements", "there is no requirements.txt, so a cluster has no Kedro", "kedro databricks init"
        )
    name, listing = found.path, found.listing
    if listing.missing:
        there = ", ".join(listing.missing)
        return red("requirements", f"{name} includes {there}, which is not there", f"Edit {name}")
    judged = runtimes.judge(listing, None)
    if clash := [each for each in judged if each.verdict is runtimes.Verdict.REPLACES]:
        local = f'; locally `pip install "{scaffold.DISTRIBUTION}[spark]"`'
        return red(
            "requirements",
            "; ".join(each.reason for each in clash),
            "; ".join(each.fix for each in clash) + local,
        )
    if not scaffold.is_required(found):
        return red("requirements", f"{name} lacks {scaffold.DISTRIBUTION}", "kedro databricks init")
    return green("requirements", f"{name} asks for nothing that the runtime must bring itself")


def packages(project_path: Path, runtime: str) -> Finding:
    """Look for requirements that would replace versions which the cluster's runtime was built with."""
    shown = f"Databricks Runtime {runtime}"
    if not runtimes.is_known(runtime):
        return green("packages", f"which versions {shown} brings is not known here")
    found = local_requirements(project_path)
    judged = runtimes.judge(found.listing, runtime) if found else []
    clash = [each for each in judged if each.verdict is runtimes.Verdict.CONFLICTS]
    if not clash:
        return green("packages", f"the requirements keep the versions that {shown} brings")
    return yellow("packages", "; ".join(each.reason for each in clash), clash[0].fix)


def remote(project: Project) -> Finding:
    """Ask the Git remote for the branch, and compare it with the local one."""
    repository, settings = project.repository, project.settings.code
    source = git_source.source(repository, settings)
    ref = f"refs/heads/{source.branch}"
    result = repository.run("ls-remote", "--", settings.remote, ref, seconds=_REMOTE_SECONDS)
    if result.returncode != 0:
        return red(
            "Git remote",
            f"{source.shown_url} does not answer: {error_summary(result.stderr)}",
            f"git ls-remote {settings.remote}",
        )
    there = result.stdout.decode().partition("\t")[0]
    provider = "a folder here" if is_local(source.url) else source.provider
    where = f"{source.shown_url} ({provider})"
    if there == source.commit.sha:
        return green("Git remote", f"{where} has {source.commit} on {source.branch}")
    return yellow(
        "Git remote", f"{where} does not have {source.commit} on {source.branch}", "kedro databricks push"
    )


def contents(project: Project) -> Finding:
    """Look through the commit for what Git folders do not bring."""
    found = git_source.find_unsupported(project.repository, project.repository.head().sha)
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
