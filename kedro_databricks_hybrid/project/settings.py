"""databricks.yml of a project as one frozen, validated value."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, fields
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.project.settings_checks import (
    PIP_OPTIONS,
    PLACEHOLDER,
    PLACEHOLDERS,
    RULES,
    URL,
    folders_problem,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

FILE_NAME = "databricks.yml"
BASE_ENV = "base"
DATABRICKS_ENV = "databricks"
LOCAL_ENV = "local"

_LOGIN_WORDS = {"host", "token", "password", "pat", "secret", "url", "apikey"}
_LOGIN_VALUE = re.compile(r"\bhttps?://|\bdapi[0-9a-f]{16}", re.IGNORECASE)
_LOGIN_HINT = "Logins belong in a profile of ~/.databrickscfg; choose one with --profile."


@dataclass(frozen=True)
class Code:
    """The project's code on Databricks.

    Args:
        folder: Workspace path of the Git folder; may contain {user}, {project} and {branch}. With Unity
            Catalog, `kedro databricks init` sets it to `/Workspace/Users/{user}/{project}`.
        sync: How `push` sends code: `git`, as commits, or `files`, as a mirror of the working tree.
        remote: The Git remote to push to, and to clone the Git folder from.
        url: The HTTPS address that Databricks clones; if not given, it is derived from the remote's URL.
        provider: Databricks' name of the Git provider; if not given, it is derived from the remote's host.
        job_source: The code that jobs run: `git_folder`, or `git_source`, Databricks' own checkout of the
            commit or branch. If not given, the folder for `run --job` and Git for `deploy`.
    """

    folder: str = "/Workspace/Repos/{user}/{project}"
    sync: str = "git"
    remote: str = "origin"
    url: str | None = None
    provider: str | None = None
    job_source: str | None = None


@dataclass(frozen=True)
class Data:
    """The local data folder and the data root on Databricks.

    Args:
        local: The local data folder, inside the project.
        root: The data root: `dbfs:/...` or `/Volumes/<catalog>/<schema>/<volume>[/...]`; may contain
            placeholders. If not given, `kedro databricks init` chooses one that the workspace supports.
        folders: Further local folders with data, relative to the project. They are transferred and mapped as
            `data.local` is, each to the folder of its name in the data root.
    """

    local: str = "data"
    root: str | None = None
    folders: list[str] | None = None


@dataclass(frozen=True)
class Compute:
    """The compute that runs pipelines.

    Args:
        cluster: Name or id of an all-purpose cluster, or `serverless`; if not given, the only running or only
            visible cluster, or serverless compute if none is visible.
        job_cluster: The new cluster of a job, as `new_cluster` of the jobs API: `spark_version`,
            `node_type_id`, `num_workers` and so on.
        environment_version: The version of the serverless environment.
        pip_options: Options for pip when it installs the requirements on a cluster, such as an index;
            `{{secrets/<scope>/<key>}}` stands for a secret, which only the cluster reads.
    """

    cluster: str | None = None
    job_cluster: dict[str, Any] | None = None
    environment_version: str = "4"
    pip_options: str | None = None


@dataclass(frozen=True)
class Job:
    """The job that `deploy` creates.

    Args:
        name: Name of the job; if not given, the project's name.
        schedule: When the job runs, as a Quartz cron expression; if not given, it has no schedule.
        timezone: The time zone of the schedule.
        tags: Further tags of the job.
    """

    name: str | None = None
    schedule: str | None = None
    timezone: str = "UTC"
    tags: dict[str, Any] | None = None


@dataclass(frozen=True)
class Secrets:
    """The secrets of the project's credentials.

    Args:
        scope: The secret scope; may contain {user} and {project}. The keys in it begin with the project's
            name, so several projects can share a scope.
    """

    scope: str = "{project}"


@dataclass(frozen=True)
class Settings:
    """The content of databricks.yml."""

    code: Code = field(default_factory=Code)
    data: Data = field(default_factory=Data)
    compute: Compute = field(default_factory=Compute)
    job: Job = field(default_factory=Job)
    secrets: Secrets = field(default_factory=Secrets)


_SECTIONS = {"code": Code, "data": Data, "compute": Compute, "job": Job, "secrets": Secrets}
_MAPPINGS = {"compute.job_cluster", "job.tags"}
_LISTS = {"data.folders"}
_OPTIONAL = {
    *(
        "code.url",
        "code.provider",
        "code.job_source",
        "data.root",
        "compute.cluster",
        PIP_OPTIONS,
        "job.name",
    ),
    "job.schedule",
    *_MAPPINGS,
    *_LISTS,
}


def load(conf: Path, env: str | None = None) -> Settings:
    """Read base/databricks.yml overlaid by <env>/databricks.yml; either may be missing.

    Args:
        conf: The folder of the project's configuration.
        env: The Kedro env.

    Raises:
        SettingsError: A file cannot be read, or contains something that is not a setting.
    """
    return merge(*_layers(conf, env))


def is_given(conf: Path, env: str | None, name: str) -> bool:
    """Tell whether databricks.yml contains a setting, `<section>.<key>`.

    Raises:
        SettingsError: As `load`.
    """
    section, _, key = name.partition(".")
    layers = _layers(conf, env)
    return any(layer.get(section, {}).get(key) is not None for layer in layers)


def parse(text: str, *, where: str) -> dict[str, dict[str, Any]]:
    """Check the text of one databricks.yml and return its sections.

    `${oc.env:NAME}` and `${oc.env:NAME,default}` stand for environment variables.

    Args:
        text: The file's content; an empty file has no sections.
        where: The file's name in errors.
    """
    content = _interpolated(text, where)
    _refuse_logins(content, where)
    _refuse_unknown(content, _SECTIONS, where, prefix="")
    checked = {}
    for name, section in content.items():
        known = {each.name for each in fields(_SECTIONS[name])}
        given = {} if section is None else section
        if not isinstance(given, dict):
            message = f"{where}: {name} must contain settings such as {name}.{min(known)}, not {given!r}."
            raise SettingsError(message)
        _refuse_unknown(given, known, where, prefix=f"{name}.")
        for key, value in given.items():
            check(f"{name}.{key}", value, where=where)
        checked[name] = given
    return checked


def check(name: str, value: object, *, where: str) -> None:
    """Refuse an invalid value of a setting.

    Args:
        name: The setting, `<section>.<key>`.
        value: The value.
        where: The file's or option's name in errors.

    Raises:
        SettingsError: The setting cannot have this value.
    """
    if value is None and name in _OPTIONAL:
        return
    if name in _MAPPINGS:
        if not isinstance(value, dict):
            raise SettingsError(f"{where}: {name} must be a mapping of settings, not {value!r}.")
        return
    if name in _LISTS:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise SettingsError(f"{where}: {name} must be a list of folders, not {value!r}.")
        if problem := folders_problem(value):
            raise SettingsError(f"{where}: {name} is {value!r}, but {problem}.")
        return
    if not isinstance(value, str):
        message = f"{where}: {name} must be text, not {value!r}."
        raise SettingsError(message, hint="Put it in quotation marks.")
    problem = None if value.strip() else "must not be empty"
    if not problem:
        rule = RULES.get(name)
        problem = rule(value) if rule else None
    if problem:
        shown = "" if name in {PIP_OPTIONS, URL} else f" is {value!r}, but"  # it may hold a login
        message = f"{where}: {name}{shown} {problem}."
        raise SettingsError(message)


def merge(*layers: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Merge checked sections over the defaults; later ones override earlier ones."""
    merged: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
    for layer in layers:
        for name, section in layer.items():
            merged[name].update(section)
    return Settings(
        code=Code(**merged["code"]),
        data=Data(**merged["data"]),
        compute=Compute(**merged["compute"]),
        job=Job(**merged["job"]),
        secrets=Secrets(**merged["secrets"]),
    )


def root_of(data_root: str, folder: str) -> str:
    """Return the path at the data root of one of `data.folders`."""
    return f"{data_root.rstrip('/')}/{PurePosixPath(folder).name}"


def default_env(conf: Path) -> str | None:
    """Return `databricks` if the configuration has such an env, otherwise None."""
    return DATABRICKS_ENV if (conf / DATABRICKS_ENV).is_dir() else None


def require_env(conf: Path, env: str) -> None:
    """Refuse an env without a folder in the configuration; suggest the env with the most similar name."""
    if (conf / env).is_dir():
        return
    envs = sorted(each.name for each in conf.iterdir() if each.is_dir()) if conf.is_dir() else []
    hint = f"This project has the envs {', '.join(envs)}." if envs else None
    near = difflib.get_close_matches(env, envs, n=1)
    if near:
        hint = f"Did you mean {near[0]}?"
    elif env == DATABRICKS_ENV:
        hint = "`kedro databricks init` creates it."
    message = f"There is no env {env}: {(conf / env).as_posix()} does not exist."
    raise SettingsError(message, hint=hint)


def project_name(package_name: str) -> str:
    """Return the value of {project}: iris-databricks for the package iris_databricks."""
    return package_name.replace("_", "-")


def fill(template: str, *, user: str | None = None, project: str, branch: str | None = None) -> str:
    """Replace {user}, {project} and {branch} by their values.

    Raises:
        SettingsError: A placeholder is unknown or has no value.
    """
    values = {"user": user, "project": project, "branch": branch}

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values:
            raise _unknown_placeholder(name, template)
        value = values[name]
        if not value:
            message = f"{template} needs the {name}, which is not known here."
            raise SettingsError(message, hint=f"Write the value instead of {{{name}}}.")
        return value

    return PLACEHOLDER.sub(value_of, template)


def _layers(conf: Path, env: str | None) -> list[dict[str, dict[str, Any]]]:
    files = [conf / BASE_ENV / FILE_NAME]
    if env and env != BASE_ENV:
        files.append(conf / env / FILE_NAME)
    return [parse(_text(file), where=file.as_posix()) for file in files]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path.as_posix()} cannot be read: {error}."
        raise SettingsError(message) from error


def _interpolated(text: str, where: str) -> dict[str, Any]:
    # Every loader of Kedro unregisters oc.env, so register it again while this file is resolved.
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from omegaconf.resolvers import oc
    from yaml import YAMLError, safe_load

    try:
        content = safe_load(text)
        if content is None:
            return {}
        if not isinstance(content, dict):
            message = f"{where} must contain the sections {', '.join(_SECTIONS)}."
            raise SettingsError(message)
        if "${" not in text:
            return content
        register = getattr(OmegaConf, "register_resolver", OmegaConf.register_new_resolver)
        borrowed = not OmegaConf.has_resolver("oc.env")
        if borrowed:
            register("oc.env", oc.env)
        try:
            resolved = OmegaConf.to_container(OmegaConf.create(content), resolve=True)
        finally:
            if borrowed:
                OmegaConf.clear_resolver("oc.env")
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        message = f"{where} is not valid YAML{line}: {getattr(error, 'problem', error)}."
        raise SettingsError(message) from error
    except OmegaConfBaseException as error:
        message = f"{where} cannot be resolved: {str(error).splitlines()[0]}."
        raise SettingsError(message) from error
    return resolved  # type: ignore[return-value]


def _refuse_logins(content: Mapping[Any, Any], where: str, prefix: str = "") -> None:
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            _refuse_logins(value, where, prefix=f"{name}.")
        if name in {PIP_OPTIONS, URL}:
            continue  # addresses; their own rules check them for logins
        words = set(re.split(r"[^a-z]+", str(key).lower()))
        if words & _LOGIN_WORDS or (isinstance(value, str) and _LOGIN_VALUE.search(value)):
            message = f"{where}: {name} looks like part of a login, which this file must not contain."
            raise SettingsError(message, hint=_LOGIN_HINT)


def _refuse_unknown(content: Mapping[Any, Any], known: Collection[str], where: str, *, prefix: str) -> None:
    everywhere = [f"{name}.{each.name}" for name, made in _SECTIONS.items() for each in fields(made)]
    for key in content:
        if key in known:
            continue
        names = [f"{prefix}{each}" for each in known]
        near = difflib.get_close_matches(f"{prefix}{key}", names, n=1) or [
            each for each in everywhere if each.rpartition(".")[2] == key
        ]
        hint = f"Did you mean {near[0]}?" if near else f"It can contain {', '.join(sorted(names))}."
        message = f"{where}: {prefix}{key} is not a setting."
        raise SettingsError(message, hint=hint)


def _unknown_placeholder(name: str, template: str) -> SettingsError:
    known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
    message = f"{template} contains the unknown placeholder {{{name}}}."
    return SettingsError(message, hint=f"The placeholders are {known}.")
