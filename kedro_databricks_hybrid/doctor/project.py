"""Checks of the project: its settings, its requirements, its repository and remote."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks.secret_names import command
from kedro_databricks_hybrid.doctor.finding import Finding, green, red, yellow
from kedro_databricks_hybrid.errors import GitError
from kedro_databricks_hybrid.git.project_files import CommitFiles
from kedro_databricks_hybrid.git.remotes import is_local
from kedro_databricks_hybrid.git.repository import Repository, error_summary
from kedro_databricks_hybrid.project import git_source, locks, runtimes, scaffold
from kedro_databricks_hybrid.project.needed_secrets import missing_secrets
from kedro_databricks_hybrid.project.requirements import DISTRIBUTION, conflict_with_own, local_requirements

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from kedro_databricks_hybrid.project.git_source import Source
    from kedro_databricks_hybrid.project.project import Project, ProjectOnWorkspace
    from kedro_databricks_hybrid.project.requirements import Requirements

_REMOTE_SECONDS = 4.0
_SHOWN = 5
_WANTS_LOGIN = re.compile(
    r"could not read (username|password)|authentication failed|error: 40[13]", re.IGNORECASE
)


def config_loader(package: str, project: Project | None) -> Finding:
    """Check whether settings.py sets the config loader that maps the catalog to Databricks.

    Another loader is only a warning if the env has a catalog of its own, which may give all paths.
    """
    loader = scaffold.other_loader(package)
    if loader is None:
        return green("settings.py", "CONFIG_LOADER_CLASS is DatabricksConfigLoader")
    found = "CONFIG_LOADER_CLASS is {}, so data/... paths are not mapped to Databricks"
    if project is None or loader == "OmegaConfigLoader":
        return red("settings.py", found.format("not DatabricksConfigLoader"), "kedro databricks init")
    has_catalog = any((project.conf / (project.env or "")).glob("**/catalog*"))
    level = yellow if project.env and has_catalog else red
    return level("settings.py", found.format(loader), scaffold.ways_out(loader, project))


def requirements(project_path: Path) -> Finding:
    """Find requirements that are missing, would replace the runtime's Spark, or cannot be installed."""
    found = local_requirements(project_path)
    if found is None:
        return red(
            "requirements", "no requirements.txt, so Kedro would not be installed", "kedro databricks init"
        )
    if finding := _broken(project_path, found) or _doubtful(project_path, found):
        return finding
    unused = [each.lock for each in locks.TOOLS if found.tool != each and (project_path / each.lock).exists()]
    unread = f"; {', '.join(unused)} is not read" if unused else ""
    return green("requirements", f"{found.path} replaces no package that the runtime must provide{unread}")


def _broken(project_path: Path, found: Requirements) -> Finding | None:
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
        is_added = scaffold.can_add(project_path, found)
        fix = "kedro databricks init" if is_added else scaffold.how_to_require(found)
        return red("requirements", f"{name} lacks {DISTRIBUTION}", fix)
    if conflict := conflict_with_own(listing):
        return red("requirements", f"pip cannot install them: {conflict}", f"Edit {name}")
    return None


def _doubtful(project_path: Path, found: Requirements) -> Finding | None:
    if left := _not_committed(project_path, found):
        fix = f"git add --force {left[0]}, and commit it"
        return yellow("requirements", f"not in the commit: {', '.join(left[:_SHOWN])}", fix)
    if unclear := found.listing.unclear:
        shown = ", ".join(unclear[:_SHOWN])
        return yellow("requirements", f"not checked: what {found.path} installs by {shown}")
    return None


def _not_committed(project_path: Path, found: Requirements) -> list[str]:
    """Return the files and folders that the requirements consist of and name, but the commit lacks."""
    try:
        files = CommitFiles(Repository(project_path), "HEAD")
    except GitError:  # another check says it
        return []
    named = dict.fromkeys([*found.listing.files, *found.listing.paths])
    return [path for path in named if files.identify(path) is None]


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
    more = f"; {len(clash) - _SHOWN} more" if len(clash) > _SHOWN else ""
    told = "; ".join(each.reason for each in clash[:_SHOWN])
    return yellow("packages", f"{told}{more}", clash[0].fix)


def old_paths(project: Project) -> list[Finding]:
    """Find lines of the catalog with fixed paths of DBFS, as older projects have them for local data."""
    found = scaffold.old_paths(project)
    if not found:
        return []
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return [
        yellow(
            "catalog",
            "paths of DBFS for data that are also here, which only one cluster has",
            f"{found[0]}{more}",
        )
    ]


def inputs(
    project: ProjectOnWorkspace, params: Mapping[str, Any], pipelines: Collection[str]
) -> list[Finding]:
    """Find inputs of the pipelines that exist neither here nor at the data root."""
    catalog = project.catalog(params, pipelines)
    known = catalog.data()
    root = project.data_tree.root
    found = [
        yellow(
            "inputs", f"{module} cannot be imported here, so the data of its pipelines are unknown: {error}"
        )
        for module, error in known.unknown.items()
    ]
    if lacking := missing_secrets(project, catalog):
        shown = ", ".join(map(str, lacking))
        fix = f"{command(each.name for each in lacking)}{project.workspace.flags}"
        found.append(
            yellow("credentials", f"the secret scope {project.secret_scope.name} lacks {shown}", fix)
        )
    if outside := project.outside_inputs(known):
        data = project.settings.data.local
        fix = f"Move them below {data}/, add their folder to data.folders in databricks.yml, or commit them"
        found.append(yellow("inputs", f"neither in a data folder nor in Git: {', '.join(outside)}", fix))
    if missing := project.missing_inputs(known):
        listed = ", ".join(map(str, missing))
        return [
            *found,
            yellow("inputs", f"neither here nor in {root}: {listed}", "Add them, or edit the catalog"),
        ]
    return [*found, green("inputs", f"each is here or in {root}")]


def remote(project: Project) -> list[Finding]:
    """Ask the Git remote for the branch, and the address that Databricks clones if it is another one."""
    repository, settings = project.repository, project.settings.code
    source = git_source.source(repository, settings)
    asked = repository.asked_at(settings.remote)
    found = [_at_remote(repository, source, settings.remote, asked)]
    if source.url not in source.pushed_to and not is_local(source.url) and not project.syncs_files:
        found.append(address(repository, source))
    return found


def _at_remote(repository: Repository, source: Source, remote: str, asked: str) -> Finding:
    shown = source.shown_pushed_to
    ref = f"refs/heads/{source.branch}"
    result = repository.run("ls-remote", "--", asked, ref, seconds=_REMOTE_SECONDS)
    if result.returncode != 0:
        said = error_summary(result.stderr)
        push = "" if asked == remote else "--push "
        fix = (
            f"git fetch {remote}, which asks for the login"
            if _WANTS_LOGIN.search(said)
            else f"git remote set-url {push}{remote} ADDRESS"
        )
        return red("Git remote", f"{shown} does not answer: {said}", fix)
    remote_sha = result.stdout.decode().partition("\t")[0]
    provider = "a local folder" if is_local(source.url) else source.provider
    where = f"{shown} ({provider})"
    if remote_sha == source.commit.sha:
        return green("Git remote", f"{where} has {source.commit} on {source.branch}")
    return yellow(
        "Git remote", f"{where} does not have {source.commit} on {source.branch}", "kedro databricks push"
    )


def address(repository: Repository, source: Source) -> Finding:
    """Ask the address that Databricks clones; that it wants a login says that it is there."""
    check, ref = "Git address", f"refs/heads/{source.branch}"
    variables = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true"}
    result = repository.run("ls-remote", "--", source.url, ref, seconds=_REMOTE_SECONDS, variables=variables)
    if result.returncode == 0:
        return green(check, f"{source.shown_url}, which Databricks clones, answers")
    said = error_summary(result.stderr)
    if _WANTS_LOGIN.search(said):
        return green(check, f"{source.shown_url}, which Databricks clones, wants a login, as expected")
    fix = "Set code.url in databricks.yml to the repository's address for HTTPS"
    return red(check, f"{source.shown_url}, which Databricks clones, does not answer: {said}", fix)


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
