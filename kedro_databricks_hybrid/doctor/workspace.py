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
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.doctor import project as of_project
from kedro_databricks_hybrid.doctor.finding import Finding, green, red, yellow
from kedro_databricks_hybrid.errors import LoginError, WorkspaceError
from kedro_databricks_hybrid.git.repository import is_local
from kedro_databricks_hybrid.project import git_source, runtimes

if TYPE_CHECKING:
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.project import Project

_SKEW_SECONDS = (60, 300)
_SOON_DAYS = 7
_OLDEST_RUNTIME = (11, 3)
_LOGIN = "databricks auth login"
_INIT = "kedro databricks init --git-token-env=VARIABLE"
# Spark and Python by runtime, from the release notes; from 18 on a runtime has no fixed minor number.
_KNOWN_RUNTIMES = {
    (11, 3): ("3.3", "3.9"),
    (12, 2): ("3.3", "3.9"),
    (13, 3): ("3.4", "3.10"),
    (14, 3): ("3.5", "3.10"),
    (15, 4): ("3.5", "3.11"),
    (16, 4): ("3.5", "3.12"),
    (17, 3): ("4.0", "3.12"),
    (18, 0): ("4.1", "3.12"),
    (19, 0): ("4.2", "3.12"),
}


def login(workspace: Workspace) -> Finding:
    """Tell who is logged in where, and by which profile."""
    profile = workspace.profile or workspace.client.config.profile
    by = f"profile {profile}" if profile else "the environment"
    return green("login", f"{workspace.user} at {workspace.host}, by {by}")


def clock(workspace: Workspace) -> Finding:
    """Compare this machine's clock with the workspace's, since logins are refused when they differ."""
    with translated("ask for the time"):
        answer = workspace.client.api_client.do(
            "GET", "/api/2.0/preview/scim/v2/Me", response_headers=["date"]
        )
    date = answer.get("date") if isinstance(answer, dict) else None
    if not isinstance(date, str):
        return green("clock", "the workspace does not tell its time")
    skew = abs(time.time() - parsedate_to_datetime(date).timestamp())
    if skew < _SKEW_SECONDS[0]:
        return green("clock", f"within {max(1, round(skew))} s of the workspace's")
    found = f"{skew:.0f} s off the workspace's"
    fix = "sudo timedatectl set-ntp true"
    return red("clock", found, fix) if skew > _SKEW_SECONDS[1] else yellow("clock", found, fix)


def token(workspace: Workspace) -> Finding:
    """Tell when the login ends; of several tokens, which ends first, as Databricks does not tell ours."""
    config = workspace.client.config
    if config.auth_type != "pat":
        return green("token", f"renewed by itself ({config.auth_type})")
    if (end := _expiry(config.token or "")) is not None:
        return _ending("it", end)
    try:
        with translated("list the tokens"):
            known = list(workspace.client.tokens.list())
    except (LoginError, WorkspaceError) as error:  # a 403 that speaks of tokens looks like a refused login
        return green("token", f"when it expires is not told ({error.message})")
    timed = [(each.expiry_time or 0, each.comment or "") for each in known]
    ends = [(milliseconds / 1000, comment) for milliseconds, comment in timed if milliseconds > 0]
    if not ends:
        return green("token", "no expiry")
    end, comment = min(ends)
    if len(known) == 1:
        return _ending("it", end)
    named = repr(comment) if comment else "one without a comment"
    return _ending(f"{named}, the first of your {len(known)} tokens to end,", end)


def _ending(what: str, end: float) -> Finding:
    days = (end - time.time()) / 86400
    found = f"{what} expires in {days:.0f} days" if days >= 2 else f"{what} expires in {days * 24:.0f} hours"
    return yellow("token", found, _LOGIN) if days < _SOON_DAYS else green("token", found)


def credential(project: Project, workspace: Workspace) -> Finding:
    """Tell whether Databricks has a credential for the remote's provider, and have it fetch with it."""
    source = git_source.source(project.repository, project.settings.code)
    git_source.refuse_unreachable(source, workspace)
    if is_local(source.url):
        return green("Git credential", "not needed for a folder")
    if project.syncs_files:
        return green("Git credential", "not needed: your files are sent, not cloned")
    is_known = git_folder.find_credential(workspace, source.provider) is not None
    cloned = git_folder.find(workspace, project.git_folder(workspace))
    if cloned:
        return _tried(workspace, cloned, source.provider, is_known=is_known)
    if is_known:
        return green("Git credential", f"one for {source.provider}; cloning the Git folder will try it")
    found = f"none for {source.provider}, so Databricks can clone public repositories only"
    return yellow("Git credential", found, f"{_INIT}{workspace.flags}")


def _tried(workspace: Workspace, cloned: git_folder.GitFolder, provider: str, *, is_known: bool) -> Finding:
    what, fix = f"{'one' if is_known else 'none'} for {provider}", f"{_INIT}{workspace.flags}"
    try:
        refusal = git_folder.fetch_refusal(workspace, cloned)
    except WorkspaceError as error:
        return yellow("Git credential", f"{what}, which could not be tried: {error.message}", fix)
    if refusal:
        return red("Git credential", f"{what}, and the remote does not let Databricks in: {refusal}", fix)
    if not is_known:
        return green("Git credential", f"{what}, and none needed: Databricks reads the remote without")
    return green("Git credential", f"{what}, and Databricks can fetch with it")


def folder(project: Project, workspace: Workspace) -> Finding:
    """Tell which commit the Git folder holds, or whether the mirror of the working tree is there."""
    if project.syncs_files:
        mirror = project.code_there(workspace)
        return green("Git folder", f"not used: your files go to {mirror.path}")
    path = project.git_folder(workspace)
    found = git_folder.find(workspace, path)
    fix = f"kedro databricks push{workspace.flags}"
    if found is None:
        return red("Git folder", f"there is no {path}", fix)
    source = git_source.source(project.repository, project.settings.code)
    git_source.refuse_other_repository(found, source)
    commit = project.repository.commit(found.sha or "") or (found.sha[:7] if found.sha else "no commit")
    shown = f"{path} is at {commit} on {found.branch or 'no branch'}"
    if found.sha == source.commit.sha:
        return green("Git folder", shown)
    return yellow("Git folder", f"{shown}, not at your {source.commit.short}", fix)


def compute(project: Project, workspace: Workspace) -> list[Finding]:
    """Tell the cluster's state, and whether its runtime and access mode can run the project."""
    wanted = project.settings.compute.cluster
    root = project.data_root(workspace) if project.settings.data.root else None
    if wanted == clusters.SERVERLESS:
        return [_serverless(root), _environment(project)]
    chosen = clusters.choose(workspace, wanted)
    if chosen is None:
        return [_serverless(root, f"{clusters.NONE_VISIBLE}: "), _environment(project)]
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
    if data_root and not data_root.startswith(("/Volumes/", "dbfs:/Volumes/")):
        found = f"{why}serverless compute, which cannot reach the data root {data_root}"
        return red("cluster", found, "kedro databricks init --volume=<catalog>.<schema>.<volume>")
    return green("cluster", f"{why}serverless compute; every run becomes a job")


def _environment(project: Project) -> Finding:
    """Tell whether the version of the serverless environment is one that is known, and takes requirements."""
    version, known = project.settings.compute.environment_version, runtimes.serverless_versions()
    shown = f"serverless environment version {version}"
    newest = f'Set compute.environment_version to "{known[-1]}"'
    if version not in known:
        return yellow("runtime", f"{shown} is not known here: {', '.join(known)} are", newest)
    if version == known[0]:
        return yellow("runtime", f"{shown} may leave out the project's requirements", newest)
    return green("runtime", shown)


def data_root(project: Project, workspace: Workspace) -> Finding:
    """Look at the data root; where it exists, write a file there and remove it again."""
    from kedro_databricks_hybrid.transfer.trees.open import open_tree

    tree = open_tree(workspace, project.data_root(workspace))
    tree.check()
    if tree.list(PurePosixPath()) is None:
        return green("data root", f"{tree.root} can be made; push makes it")
    probe = PurePosixPath(f".kedro-hybrid-doctor-{secrets.token_hex(4)}")
    tree.write(probe, b"")
    tree.delete(probe)
    return green("data root", f"{tree.root} can be written")


def _runtime(details: clusters.Details, workspace: Workspace) -> Finding:
    number = runtime_number(details.runtime)
    shown = f"Databricks Runtime {details.runtime}"
    if number is None:
        return yellow("runtime", f"{shown} is not known here")
    if number < _OLDEST_RUNTIME:
        page = f"{workspace.host}/compute/clusters/{details.cluster_id}"
        return red("runtime", f"{shown} is older than 11.3", f"Choose 11.3 or newer at {page}")
    if (end := runtimes.ended(details.runtime, date.today())) is not None:  # noqa: DTZ011 - a day
        page = f"{workspace.host}/compute/clusters/{details.cluster_id}"
        return yellow("runtime", f"{shown} has had no support since {end}", f"Choose a newer one at {page}")
    if workspace.is_local:
        return green("runtime", f"{shown}, by this machine's own Python and Spark")
    here = ".".join(platform.python_version_tuple()[:2])
    return compare_runtime(number, shown, here, _version("pyspark"), _version("databricks-connect"))


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
    return green("access mode", mode or "not told")


def _expiry(token_text: str) -> float | None:
    """Return when a token says that it ends, as JSON web tokens do."""
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


def runtime_number(key: str) -> tuple[int, int] | None:
    """Return the numbers in a runtime's key: (17, 3) for 17.3.x-scala2.13, (18, 0) for 18.x-scala2.13."""
    match = re.match(r"(?P<major>\d+)\.(?P<minor>\d+|x)", key)
    if match is None:
        return None
    return int(match["major"]), 0 if match["minor"] == "x" else int(match["minor"])


def compare_runtime(
    runtime: tuple[int, int], shown: str, here: str, pyspark: str | None, connect: str | None
) -> Finding:
    """Compare a runtime with the Python, Spark and Databricks Connect of this machine.

    Args:
        runtime: Its numbers.
        shown: How to call it.
        here: The Python of this machine, such as 3.12.
        pyspark: The version of pyspark installed here.
        connect: The version of databricks-connect installed here.
    """
    spark, python = _KNOWN_RUNTIMES.get((runtime[0], 0 if runtime[0] >= 18 else runtime[1]), (None, None))
    pin = f"{runtime[0]}.*" if runtime[0] >= 18 else f"{runtime[0]}.{runtime[1]}.*"
    newest_connect = (runtime[0], 99 if runtime[0] >= 18 else runtime[1])
    if connect and _minor(connect) > newest_connect:
        return red(
            "runtime",
            f"databricks-connect {connect} is newer than {shown}",
            f'pip install "databricks-connect=={pin}"',
        )
    if python and python != here:
        fix = f'uv venv --python {python}, then pip install "kedro-databricks-hybrid"'
        return yellow("runtime", f"{shown} has Python {python}, and here is {here}", fix)
    if spark and pyspark and not connect and _minor(pyspark) != _minor(spark):
        fix = f'pip install "pyspark=={spark}.*"'
        return yellow("runtime", f"{shown} has Spark {spark}, and here is {pyspark}", fix)
    same = f", Python {python} and Spark {spark} as here" if python and pyspark else ""
    return green("runtime", f"{shown}{same}")


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
