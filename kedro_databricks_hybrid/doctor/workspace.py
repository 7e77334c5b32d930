"""Checks of the workspace: login, clock, token, credential, Git folder, cluster, data root."""

from __future__ import annotations

import base64
import json
import platform
import re
import secrets
import time
from datetime import date
from email.utils import parsedate_to_datetime
from importlib import metadata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks import clusters, git_folder
from kedro_databricks_hybrid.databricks.volume_paths import is_on_volume
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.doctor import project as of_project
from kedro_databricks_hybrid.doctor import spark_code
from kedro_databricks_hybrid.doctor.finding import Finding, green, red, yellow
from kedro_databricks_hybrid.errors import LoginError, WorkspaceError
from kedro_databricks_hybrid.git.repository import is_local
from kedro_databricks_hybrid.project import git_source, runtimes

if TYPE_CHECKING:
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.project import ProjectOnWorkspace
    from kedro_databricks_hybrid.project.runtimes import Runtime

_SKEW_SECONDS = (60, 300)
_SOON_DAYS = 7
_LOGIN = "databricks auth login"
_INIT = "kedro databricks init --git-token-env=VARIABLE"


def login(workspace: Workspace) -> Finding:
    """Report the user, the workspace and the profile of the login."""
    profile = workspace.profile or workspace.client.config.profile
    by = f"profile {profile}" if profile else "the environment"
    return green("login", f"{workspace.user} at {workspace.host}, by {by}")


def clock(workspace: Workspace) -> Finding:
    """Compare this machine's clock with the workspace's: logins are refused if they differ too much."""
    with translated("ask for the time"):
        answer = workspace.client.api_client.do(
            "GET", "/api/2.0/preview/scim/v2/Me", response_headers=["date"]
        )
    date = answer.get("date") if isinstance(answer, dict) else None
    try:
        skew = abs(time.time() - parsedate_to_datetime(str(date)).timestamp())
    except (TypeError, ValueError, OverflowError):
        return green("clock", "not checked: the workspace did not send its time")
    if skew < _SKEW_SECONDS[0]:
        return green("clock", f"within {max(1, round(skew))} s of the workspace's")
    found = f"{skew:.0f} s off the workspace's"
    fix = "sudo timedatectl set-ntp true"
    return red("clock", found, fix) if skew > _SKEW_SECONDS[1] else yellow("clock", found, fix)


def token(workspace: Workspace) -> Finding:
    """Report when the login expires; Databricks does not say which of several tokens is in use."""
    config = workspace.client.config
    if config.auth_type != "pat":
        return green("token", f"renewed automatically ({config.auth_type})")
    if (end := _expiry(config.token or "")) is not None:
        return _ending("it", end)
    try:
        with translated("list the tokens"):
            known = list(workspace.client.tokens.list())
    except (LoginError, WorkspaceError) as error:  # a 403 that mentions tokens looks like a refused login
        return green("token", f"its expiry is unknown ({error.message})")
    timed = [(each.expiry_time or 0, each.comment or "") for each in known]
    ends = [(milliseconds / 1000, comment) for milliseconds, comment in timed if milliseconds > 0]
    if not ends:
        return green("token", "no expiry")
    end, comment = min(ends)
    if len(known) == 1:
        return _ending("it", end)
    named = repr(comment) if comment else "one without a comment"
    return _ending(f"{named}, the first of your {len(known)} tokens to expire,", end)


def _ending(what: str, end: float) -> Finding:
    days = (end - time.time()) / 86400
    found = f"{what} expires in {days:.0f} days" if days >= 2 else f"{what} expires in {days * 24:.0f} hours"
    return yellow("token", found, _LOGIN) if days < _SOON_DAYS else green("token", found)


def credential(project: ProjectOnWorkspace) -> Finding:
    """Check whether Databricks has a credential for the remote's provider and can fetch with it."""
    workspace = project.workspace
    source = git_source.source(project.repository, project.settings.code)
    git_source.refuse_unreachable(source, workspace)
    if is_local(source.url):
        return green("Git credential", "not needed for a local folder")
    if project.syncs_files:
        return green("Git credential", "not needed: your files are sent, not cloned")
    is_known = git_folder.find_credential(workspace, source.provider) is not None
    cloned = git_folder.find(workspace, project.git_folder)
    if cloned:
        return _fetch(workspace, cloned, source.provider, is_known=is_known)
    if is_known:
        return green("Git credential", f"one for {source.provider}, used when the Git folder is cloned")
    found = f"none for {source.provider}, so Databricks can clone public repositories only"
    return yellow("Git credential", found, f"{_INIT}{workspace.flags}")


def _fetch(workspace: Workspace, cloned: git_folder.GitFolder, provider: str, *, is_known: bool) -> Finding:
    what, fix = f"{'one' if is_known else 'none'} for {provider}", f"{_INIT}{workspace.flags}"
    try:
        refusal = git_folder.fetch_refusal(workspace, cloned)
    except WorkspaceError as error:
        return yellow("Git credential", f"{what}, not tested: {error.message}", fix)
    if refusal:
        return red("Git credential", f"{what}, and the remote refuses Databricks: {refusal}", fix)
    if not is_known:
        return green("Git credential", f"{what}; Databricks can fetch from the remote without")
    return green("Git credential", f"{what}; Databricks can fetch with it")


def folder(project: ProjectOnWorkspace) -> Finding:
    """Report the commit in the Git folder, or whether the mirror of the working tree exists."""
    if project.syncs_files:
        return green("Git folder", f"not used: your files go to {project.code().path}")
    path = project.git_folder
    found = git_folder.find(project.workspace, path)
    fix = f"kedro databricks push{project.workspace.flags}"
    if found is None:
        return red("Git folder", f"{path} does not exist", fix)
    source = git_source.source(project.repository, project.settings.code)
    git_source.refuse_other_repository(found, source)
    commit = project.repository.commit(found.sha or "") or (found.sha[:7] if found.sha else "no commit")
    shown = f"{path} is at {commit} on {found.branch or 'no branch'}"
    if found.sha == source.commit.sha:
        return green("Git folder", shown)
    return yellow("Git folder", f"{shown}, not at your {source.commit.short}", fix)


def compute(project: ProjectOnWorkspace) -> list[Finding]:
    """Report the cluster's state, and whether its runtime and access mode can run the project."""
    workspace, wanted = project.workspace, project.settings.compute.cluster
    root = project.data_root if project.settings.data.root else None
    if wanted == clusters.SERVERLESS:
        return [_serverless(root), _environment(project), spark_code.serverless(project)]
    chosen = clusters.choose(workspace, wanted)
    if chosen is None:
        why = f"{clusters.NONE_VISIBLE}: "
        return [_serverless(root, why), _environment(project), spark_code.serverless(project)]
    details = clusters.details(workspace, chosen)
    page = f"{workspace.host}/compute/clusters/{details.cluster_id}"
    state = f"{details.name} is {details.state.lower()}"
    if details.state in {"ERROR", "UNKNOWN"}:
        return [red("cluster", state, f"Open {page}")]
    if details.state == "TERMINATED":
        state += "; run starts it"
    return [
        green("cluster", state),
        _runtime(details, workspace),
        of_project.packages(project.metadata.project_path, details.runtime),
        _access(root or "", details, workspace, page),
    ]


def _serverless(data_root: str | None, why: str = "") -> Finding:
    if data_root and not is_on_volume(data_root):
        found = f"{why}serverless compute, which cannot reach the data root {data_root}"
        return red("cluster", found, "kedro databricks init --volume=<catalog>.<schema>.<volume>")
    return green("cluster", f"{why}serverless compute; every run becomes a job")


def _environment(project: ProjectOnWorkspace) -> Finding:
    """Check whether the serverless environment's version is known, and installs requirements."""
    version, known = project.settings.compute.environment_version, runtimes.serverless_versions()
    shown = f"serverless environment version {version}"
    newest = f'Set compute.environment_version to "{known[-1]}"'
    if version not in known:
        return yellow("runtime", f"{shown} is unknown; the known versions are {', '.join(known)}", newest)
    if version == known[0]:
        return yellow("runtime", f"{shown} may not install the project's requirements", newest)
    return green("runtime", shown)


def data_root(project: ProjectOnWorkspace) -> Finding:
    """Check the data root; if it exists, write a file and delete it again."""
    tree = project.data_tree
    tree.check()
    if tree.list(PurePosixPath()) is None:
        return green("data root", f"{tree.root} can be created; push creates it")
    probe = PurePosixPath(f".kedro-hybrid-doctor-{secrets.token_hex(4)}")
    tree.write(probe, b"")
    tree.delete(probe)
    return green("data root", f"{tree.root} can be written")


def _runtime(details: clusters.Details, workspace: Workspace) -> Finding:
    runtime = runtimes.find(details.runtime)
    shown = f"Databricks Runtime {details.runtime}"
    if runtime is None:
        return yellow("runtime", f"not checked: the version {shown} is unknown")
    page = f"{workspace.host}/compute/clusters/{details.cluster_id}"
    if not runtime.is_supported:
        oldest = runtimes.oldest_release()
        return red("runtime", f"{shown} is older than {oldest}", f"Choose {oldest} or newer at {page}")
    if (end := runtimes.ended(details.runtime, date.today())) is not None:  # noqa: DTZ011 - a day
        return yellow("runtime", f"{shown} has had no support since {end}", f"Choose a newer one at {page}")
    if workspace.is_local:
        return green("runtime", f"{shown}, with this machine's Python and Spark")
    here = ".".join(platform.python_version_tuple()[:2])
    return compare_runtime(runtime, shown, here, _version("pyspark"), _version("databricks-connect"))


def _access(root: str, details: clusters.Details, workspace: Workspace, page: str) -> Finding:
    mode = details.access_mode
    if details.single_user and details.single_user != workspace.user:
        owner = details.single_user
        return red(
            "access mode", f"{details.name} is dedicated to {owner}", f"Choose another cluster or edit {page}"
        )
    if mode.startswith(("NONE", "LEGACY")) and root.startswith("/Volumes/"):
        return red("access mode", f"{mode} cannot reach {root}", f"Choose standard or dedicated at {page}")
    if mode in {"USER_ISOLATION", "DATA_SECURITY_MODE_STANDARD"} and root.startswith("dbfs:/"):
        return yellow(
            "access mode", f"{mode} may not mount /dbfs for Python code", "Set data.root to a volume"
        )
    return green("access mode", mode or "unknown")


def _expiry(token_text: str) -> float | None:
    """Return when a token expires, in seconds since 1970, if it is a JSON web token."""
    parts = token_text.split(".")
    if len(parts) != 3 or not re.fullmatch(r"[\w-]+", parts[1]):
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        return None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def compare_runtime(
    runtime: Runtime, shown: str, here: str, pyspark: str | None, connect: str | None
) -> Finding:
    """Compare a runtime with the Python, Spark and Databricks Connect of this machine.

    Args:
        runtime: The runtime.
        shown: The runtime's name in messages.
        here: The local Python version, such as 3.12.
        pyspark: The local version of pyspark, None if it is not installed.
        connect: The local version of databricks-connect, None if it is not installed.
    """
    spark, python = runtime.spark, runtime.python
    if connect and runtime.is_older_than(connect):
        return red(
            "runtime",
            f"databricks-connect {connect} is newer than {shown}",
            f'pip install "databricks-connect=={runtime.release}.*"',
        )
    if python and python != here:
        fix = f'uv venv --python {python}, then pip install "kedro-databricks-hybrid"'
        return yellow("runtime", f"{shown} has Python {python}, this machine has {here}", fix)
    if spark and pyspark and not connect and _minor(pyspark) != _minor(spark):
        fix = f'pip install "pyspark=={spark}.*"'
        return yellow("runtime", f"{shown} has Spark {spark}, this machine has {pyspark}", fix)
    same = f", with the same Python {python} and Spark {spark}" if python and pyspark else ""
    return green("runtime", f"{shown}{same}")


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
