"""Checks of the project: its settings, its requirements, its repository and remote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.doctor.finding import Finding, green, red, yellow
from kedro_databricks_hybrid.git.repository import error_summary, is_local
from kedro_databricks_hybrid.project import git_source, runtimes, scaffold
from kedro_databricks_hybrid.project.requirements import DISTRIBUTION, local_requirements

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from kedro_databricks_hybrid.project.project import Project, ProjectOnWorkspace

_REMOTE_SECONDS = 4.0


def config_loader(package: str) -> Finding:
    """Check whether settings.py sets the config loader that maps the catalog to Databricks."""
    if scaffold.uses_our_loader(package):
        return green("settings.py", "CONFIG_LOADER_CLASS is DatabricksConfigLoader")
    return red(
        "settings.py",
        "CONFIG_LOADER_CLASS is not DatabricksConfigLoader, so data/... paths are not mapped to Databricks",
        "kedro databricks init",
    )


def requirements(project_path: Path) -> Finding:
    """Find requirements that are missing, or that would replace the runtime's Spark."""
    found = local_requirements(project_path)
    if found is None:
        return red(
            "requirements", "no requirements.txt, so Kedro would not be installed", "kedro databricks init"
        )
    name, listing = found.path, found.listing
    if listing.missing:
        missing = ", ".join(listing.missing)
        return red("requirements", f"{name} includes {missing}, which does not exist", f"Edit {name}")
    judged = runtimes.judge(listing, None)
    if clash := [each for each in judged if each.verdict is runtimes.Verdict.REPLACES]:
        local = f'; locally `pip install "{DISTRIBUTION}[spark]"`'
        return red(
            "requirements",
            "; ".join(each.reason for each in clash),
            "; ".join(each.fix for each in clash) + local,
        )
    if not scaffold.is_required(found):
        return red("requirements", f"{name} lacks {DISTRIBUTION}", "kedro databricks init")
    return green("requirements", f"{name} replaces no package that the runtime must provide")


def packages(project_path: Path, runtime: str) -> Finding:
    """Find requirements that would replace versions that the cluster's runtime was built with."""
    shown = f"Databricks Runtime {runtime}"
    if not runtimes.is_known(runtime):
        return green("packages", f"not checked: the package versions of {shown} are unknown")
    found = local_requirements(project_path)
    judged = runtimes.judge(found.listing, runtime) if found else []
    clash = [each for each in judged if each.verdict is runtimes.Verdict.CONFLICTS]
    if not clash:
        return green("packages", f"the requirements fit the versions in {shown}")
    return yellow("packages", "; ".join(each.reason for each in clash), clash[0].fix)


def inputs(
    project: ProjectOnWorkspace, params: Mapping[str, Any], pipelines: Collection[str]
) -> list[Finding]:
    """Find inputs of the pipelines that exist neither here nor at the data root."""
    known = project.catalog(params, pipelines).data()
    root = project.data_tree.root
    found = [
        yellow(
            "inputs", f"{module} cannot be imported here, so the data of its pipelines are unknown: {error}"
        )
        for module, error in known.unknown.items()
    ]
    if missing := project.missing_inputs(known):
        listed = ", ".join(map(str, missing))
        return [
            *found,
            yellow("inputs", f"neither here nor in {root}: {listed}", "Add them, or edit the catalog"),
        ]
    return [*found, green("inputs", f"all {len(known.named_inputs)} are here or in {root}")]


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
    remote_sha = result.stdout.decode().partition("\t")[0]
    provider = "a local folder" if is_local(source.url) else source.provider
    where = f"{source.shown_url} ({provider})"
    if remote_sha == source.commit.sha:
        return green("Git remote", f"{where} has {source.commit} on {source.branch}")
    return yellow(
        "Git remote", f"{where} does not have {source.commit} on {source.branch}", "kedro databricks push"
    )


def contents(project: Project) -> Finding:
    """Find submodules and Git LFS files in the commit, whose contents Git folders do not have."""
    found = git_source.find_unsupported(project.repository, project.repository.head().sha)
    if found.submodules:
        return red(
            "Git contents",
            f"Git folders do not support submodules: {', '.join(found.submodules[:5])}",
            f"git rm {found.submodules[0]}",
        )
    if found.lfs_files:
        count = len(found.lfs_files)
        problem = f"Git folders contain only the pointers of {count} Git LFS file(s): {found.lfs_files[0]}"
        return yellow("Git contents", problem)
    return green("Git contents", "no submodules, no Git LFS")
