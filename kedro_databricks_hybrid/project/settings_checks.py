"""Check the value of each setting. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import urlsplit

from kedro_databricks_hybrid.databricks import volume_paths

PLACEHOLDERS = ("user", "project", "branch")
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
PIP_OPTIONS = "compute.pip_options"
URL = "code.url"

_CODE_PARENTS = ("/Workspace/", "/Repos/", "/Users/")
_SECRET_REFERENCE = re.compile(r"\{\{secrets/[\w.-]+/[\w.-]+\}\}")


def _folder_problem(value: str) -> str | None:
    if not value.startswith(_CODE_PARENTS):
        return f"it must start with {', '.join(_CODE_PARENTS[:-1])} or {_CODE_PARENTS[-1]}"
    return _path_problem(value)


def _root_problem(value: str) -> str | None:
    is_volume = volume_paths.split(PurePosixPath(value)) is not None
    # In the DBFS root itself, a project's data would mix with the system's folders.
    is_dbfs = value.startswith("dbfs:/") and value.strip("/") != "dbfs:" and value[6:7] != "/"
    if not (is_volume or is_dbfs):
        return "it must be dbfs:/<folder> or /Volumes/<catalog>/<schema>/<volume>[/<folder>]"
    return _path_problem(value)


def _local_problem(value: str) -> str | None:
    if PurePosixPath(value).is_absolute() or PureWindowsPath(value).drive or "\\" in value:
        return "it must be a folder inside the project, such as data"
    if not PurePosixPath(value).parts:
        return "it must not be the project's folder itself"
    return _path_problem(value)


def folders_problem(folders: list[str]) -> str | None:
    """Return what is wrong with the data folders beside `data.local`, as words that follow "but"."""
    for each in folders:
        path = PurePosixPath(each)
        is_elsewhere = (
            path.is_absolute() or PureWindowsPath(each).drive or "\\" in each or PLACEHOLDER.search(each)
        )
        if is_elsewhere or path.name in {"", ".."}:
            return f"{each!r} must be the path of a folder, relative to the project"
    names = [PurePosixPath(each).name for each in folders]
    if same := [name for name in names if names.count(name) > 1]:
        return f"two folders called {same[0]!r} would be one in the data root"
    return None


def _sync_problem(value: str) -> str | None:
    return None if value in {"git", "files"} else "it must be git or files"


def _job_source_problem(value: str) -> str | None:
    return None if value in {"git_folder", "git_source"} else "it must be git_folder or git_source"


def _version_problem(value: str) -> str | None:
    return None if re.fullmatch(r"[1-9]\d*", value) else 'it must be a whole number such as "4"'


def _pip_options_problem(value: str) -> str | None:
    plain = _SECRET_REFERENCE.sub("", value)
    if re.search(r"://[^/\s@]*[^/\s@:][^/\s@]*@", plain):
        return "a login must come from secrets, as in https://{{secrets/<scope>/<key>}}@<host>/simple"
    return None


def _url_problem(value: str) -> str | None:
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname or not parts.path.strip("/"):
        return "it must be the HTTPS address of a repository, such as https://git.example.com/team/project"
    if "@" in parts.netloc:
        return "it must not contain a login: Databricks has its own, the Git credential"
    return None


def _path_problem(value: str) -> str | None:
    if ".." in PurePosixPath(value).parts:
        return "it must not contain .."
    unknown = [name for name in PLACEHOLDER.findall(value) if name not in PLACEHOLDERS]
    return f"{{{unknown[0]}}} is not a placeholder" if unknown else None


RULES = {
    "code.folder": _folder_problem,
    "code.sync": _sync_problem,
    "code.job_source": _job_source_problem,
    "compute.environment_version": _version_problem,
    URL: _url_problem,
    PIP_OPTIONS: _pip_options_problem,
    "data.root": _root_problem,
    "data.local": _local_problem,
    "secrets.scope": _path_problem,
}
"""Checks by setting: each returns what is wrong with a value, as words that follow "but", or None."""
