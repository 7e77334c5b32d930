"""A config loader with which one catalog works locally and on Databricks."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import OmegaConf

from kedro_databricks_hybrid.config import catalog_paths, credentials
from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.project import settings
from kedro_databricks_hybrid.project.datasets import credentials_in
from kedro_databricks_hybrid.spark.session import on_cluster, spark_location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATTERNS = {
    "spark": ["spark*", "spark*/**", "**/spark*"],
    "databricks": [settings.FILE_NAME],
}
_DEFAULT_RUN_ENV = settings.LOCAL_ENV
# Kedro prints or logs these, or sends them to experiment trackers, so they must not contain secrets.
_PRINTED = {"catalog", "parameters", "globals", "logging"}

# Resolvers are global to the process: they find the loader that is reading, and the configuration, here.
_reading: ContextVar[tuple[DatabricksConfigLoader, str]] = ContextVar("reading")


@contextmanager
def _without_omegaconf_deprecations() -> Iterator[None]:
    """Hide a deprecation warning that Kedro's use of OmegaConf causes and a user cannot avoid."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*register_new_resolver\(\) is deprecated")
        yield


class DatabricksConfigLoader(OmegaConfigLoader):
    """Kedro's OmegaConfigLoader, extended to map the catalog's paths to the data root on Databricks.

    If the databricks.yml of the env sets `data.root`, every catalog path in the local data folder becomes the
    same path below the data root, in the form that its dataset can read. Paths from the env's own catalog,
    absolute paths and URLs are not changed.

    On a cluster the default env is `databricks` if the project has it, and conf/local may be missing, since
    it is usually not in Git.

    Args:
        conf_source: Folder, archive or URL of the configuration.
        env: Name of the env.
        runtime_params: The parameters of `--params`.
        **options: As for OmegaConfigLoader; `base_env` defaults to `base` and `default_run_env` to `local`.
    """

    is_local = False
    """Whether to leave the catalog's paths in the local data folder, whatever the env."""

    def __init__(
        self,
        conf_source: str | Path,
        env: str | None = None,
        runtime_params: dict[str, Any] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        options.setdefault("base_env", settings.BASE_ENV)
        options.setdefault("default_run_env", _DEFAULT_RUN_ENV)
        options["config_patterns"] = {**_PATTERNS, **(options.get("config_patterns") or {})}
        self._user: str | None = None
        self._scope: credentials.Scope | None = None
        self._named: list[str] | None = None  # the credentials that the catalog names
        if on_cluster():
            env = env or os.environ.get("KEDRO_ENV")
            if not env and options["default_run_env"] == _DEFAULT_RUN_ENV:
                env, options["default_run_env"] = _envs_on_cluster(conf_source, options["base_env"])
        with _without_omegaconf_deprecations():
            super().__init__(conf_source, env, runtime_params, **options)

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401
        """Return the configuration called `key`, the catalog with its paths mapped."""
        given = key in self.data
        if key == "credentials" and not given and self.completes_credentials:
            return self._credentials()
        return self._read(key, given=given)

    def _read(self, key: str, *, given: bool) -> Any:  # noqa: ANN401
        _register(RESOLVERS)
        if self._custom_resolvers:
            # Kedro registers a resolver only once in a process, even if it changes.
            _register(self._custom_resolvers)
        token = _reading.set((self, key))
        try:
            with _without_omegaconf_deprecations():
                config = super().__getitem__(key)
            if key == "catalog":
                self._named = list(dict.fromkeys(credentials_in(list(config.values()))))
            if key != "catalog" or given:
                return config
            return self._mapped(config)
        finally:
            _reading.reset(token)

    @property
    def run_env(self) -> str:
        """The env whose configuration is merged over the base."""
        return str(self.env or self.default_run_env)

    @property
    def maps_data(self) -> bool:
        """Whether the catalog's paths are mapped to the data root in this env."""
        return not self.is_local and self._own_settings().get("data", {}).get("root") is not None

    @property
    def data_root(self) -> str | None:
        """The data root with its placeholders filled in; None if this env does not map the catalog.

        Raises:
            SettingsError: databricks.yml is invalid, or a placeholder has no value.
        """
        root = self.settings.data.root if self.maps_data else None
        if root is None:
            return None
        return settings.fill(
            root,
            user=self.user() if "{user}" in root else None,
            project=self._project(),
            branch=self.branch() if "{branch}" in root else None,
        )

    @property
    def settings(self) -> settings.Settings:
        """The settings in databricks.yml of the base, overridden by those of this env."""
        base = self._databricks_yml(self.base_env)
        return settings.merge(base, self._own_settings())

    def user(self) -> str:
        """Return the Databricks user's name.

        Raises:
            SettingsError: It is unknown.
        """
        known = os.environ.get("KEDRO_DATABRICKS_USER") or self._user
        if not known and spark_location() == "connect":
            from kedro_databricks_hybrid.spark import connect

            known = self._user = connect.workspace_of_run().user
        if not known and on_cluster():
            from pyspark.sql import SparkSession

            row = SparkSession.builder.getOrCreate().sql("SELECT current_user()").first()
            known = self._user = str(row[0]) if row else None
        if not known:
            raise SettingsError(
                "The Databricks user's name is unknown on this machine.",
                hint="Set the environment variable KEDRO_DATABRICKS_USER to it.",
            )
        return known

    def branch(self) -> str:
        """Return the project's current Git branch.

        Raises:
            GitError: The project is not in a Git repository, or the repository is on no branch.
        """
        known = os.environ.get("KEDRO_DATABRICKS_BRANCH")
        if known:
            return known
        from kedro_databricks_hybrid.git.repository import Repository

        return Repository(Path(self.conf_source).resolve().parent).branch()

    @property
    def secret_scope(self) -> credentials.Scope:
        """The project's secret scope, which completes the credentials of a run on Databricks."""
        if self._scope is None:
            scope = self.settings.secrets.scope
            user = self.user() if "{user}" in scope else None
            project = self._project()
            self._scope = credentials.Scope(settings.fill(scope, user=user, project=project), project)
        return self._scope

    @property
    def completes_credentials(self) -> bool:
        """Whether the secret scope completes the credentials: in runs on Databricks and through Connect."""
        where = spark_location()
        return where == "cluster" or (where == "connect" and self.maps_data)

    def _credentials(self) -> dict[str, Any]:
        """Return the credentials with what the files lack from the secret scope.

        That is each variable of `${oc.env:}` that is not set, and each entry that the catalog names.
        """
        scope = self.secret_scope
        found: dict[str, Any] = {}
        _register({"oc.env": scope.variable})
        try:
            with suppress(MissingConfigException):
                found = scope.marked(self._read("credentials", given=False))
        finally:
            OmegaConf.clear_resolver("oc.env")
        if self._named is None:
            with suppress(MissingConfigException):
                self._read("catalog", given="catalog" in self.data)
        found.update(scope.entries(name for name in self._named or () if name not in found))
        return found

    def _own_settings(self) -> dict[str, dict[str, str | None]]:
        return {} if self.run_env == self.base_env else self._databricks_yml(self.run_env)

    def _databricks_yml(self, env: str) -> dict[str, dict[str, str | None]]:
        path = f"{self._conf_root()}/{env}/{settings.FILE_NAME}"
        if not self._fs.isfile(path):
            return {}
        with self._fs.open(path) as file:
            return settings.parse(file.read().decode("utf-8"), where=path)

    def _conf_root(self) -> str:
        """Return the path of the configuration in its file system: folder, archive or bucket."""
        remote_root = getattr(self, "_remote_root_path", None)
        if remote_root:
            return str(remote_root)
        if self._protocol == "file":
            return Path(self.conf_source).as_posix()
        return str(self._fs.ls("", detail=False)[-1]).rstrip("/")

    def _project(self) -> str:
        above = (each / "pyproject.toml" for each in Path(self.conf_source).resolve().parents)
        package = None
        if pyproject := next(filter(Path.is_file, above), None):
            # Kedro depends on tomli for Python versions without tomllib.
            toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
            content = toml.loads(pyproject.read_text(encoding="utf-8"))
            package = content.get("tool", {}).get("kedro", {}).get("package_name")
        if not package:
            from kedro.framework.project import PACKAGE_NAME

            package = PACKAGE_NAME
        if not package:
            raise SettingsError(f"{self.conf_source} does not belong to a Kedro project with a package name.")
        return settings.project_name(package)

    def _mapped(self, catalog: dict[str, Any]) -> dict[str, Any]:
        if not self.maps_data:
            return catalog
        whole = self.merge_strategy.get("catalog", "destructive").lower() != "soft"
        kept = catalog_paths.given(self._own_catalog(), whole=whole)
        data, root = self.settings.data, self._root_or_template()
        others = {folder: settings.root_of(root, folder) for folder in data.folders or ()}
        for local, remote in {**others, data.local: root}.items():
            catalog = catalog_paths.mapped(
                catalog, catalog_paths.Roots(local, remote, spark_location()), kept=kept
            )
        return catalog

    def _root_or_template(self) -> str:
        """Return the data root; if no run can use it, an unknown {user} is left in it."""
        try:
            return self.data_root or ""
        except SettingsError:
            if spark_location() != "local":
                raise
            return self.settings.data.root or ""

    def _own_catalog(self) -> dict[str, Any]:
        """Return the catalog from the env's files, without the base."""
        try:
            return dict(
                self.load_and_merge_dir_config(
                    f"{self._conf_root()}/{self.run_env}",
                    self.config_patterns["catalog"],
                    "catalog",
                    set(),
                )
            )
        except MissingConfigException:
            return {}


def _envs_on_cluster(conf_source: str | Path, base_env: str) -> tuple[str | None, str]:
    """Return the env and the default env for a run on a cluster without --env."""
    conf = Path(conf_source)
    if (conf / settings.DATABRICKS_ENV).is_dir():
        return settings.DATABRICKS_ENV, _DEFAULT_RUN_ENV
    if conf.is_dir() and not (conf / _DEFAULT_RUN_ENV).is_dir():
        return None, base_env
    return None, _DEFAULT_RUN_ENV


def _register(resolvers: dict[str, Callable[..., Any]]) -> None:
    # OmegaConf 2.4 renamed the function and deprecated the old name.
    register = getattr(OmegaConf, "register_resolver", OmegaConf.register_new_resolver)
    for name, resolver in resolvers.items():
        register(name, resolver, replace=True)


def _reader(resolver: str) -> tuple[DatabricksConfigLoader, str]:
    try:
        return _reading.get()
    except LookupError:
        raise SettingsError(
            f"${{{resolver}:}} can be resolved only by DatabricksConfigLoader.",
            hint="Set CONFIG_LOADER_CLASS = DatabricksConfigLoader in the project's settings.py.",
        ) from None


def _user() -> str:
    """Return the Databricks user's name."""
    return _reader("databricks.user")[0].user()


def _data_root() -> str:
    """Return the data root, or the local data folder if the env has no data root."""
    loader, _ = _reader("databricks.data_root")
    return loader.data_root or loader.settings.data.local


def _branch() -> str:
    """Return the Git branch of the local project, or of the Git folder on a cluster."""
    return _reader("databricks.branch")[0].branch()


def _env() -> str:
    """Return the name of the Kedro env in use."""
    return _reader("databricks.env")[0].run_env


def _secret(scope: str, key: str) -> str:
    """Return a secret of a Databricks secret scope, in files that Kedro does not print."""
    _, reading = _reader("databricks.secret")
    if reading in _PRINTED:
        raise SettingsError(
            f"${{databricks.secret:{scope},{key}}} must not be used in {reading}, which Kedro prints.",
            hint="Use it in credentials.yml, and name the credentials in the catalog.",
        )
    from kedro_databricks_hybrid.config.secrets import read

    return read(scope, key)


RESOLVERS: dict[str, Callable[..., Any]] = {
    "databricks.user": _user,
    "databricks.data_root": _data_root,
    "databricks.branch": _branch,
    "databricks.env": _env,
    "databricks.secret": _secret,
}
