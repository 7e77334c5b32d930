"""The SDK's client with the services that commands use, each imported when it is first asked for.

The package `databricks.sdk` imports forty services when it is imported, which takes longer than all the rest
of a command. So its submodules are imported without what its own `__init__` does, until something wants that.
"""

from __future__ import annotations

import sys
from functools import cached_property
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from databricks.sdk.core import Config
    from databricks.sdk.dbutils import RemoteDbUtils
    from databricks.sdk.mixins.files import FilesExt
    from databricks.sdk.mixins.workspace import WorkspaceExt
    from databricks.sdk.service.catalog import VolumesAPI
    from databricks.sdk.service.compute import ClustersAPI, CommandExecutionAPI, LibrariesAPI
    from databricks.sdk.service.files import DbfsAPI
    from databricks.sdk.service.settings import TokensAPI
    from databricks.sdk.service.workspace import GitCredentialsAPI, ReposAPI

_PACKAGE = "databricks.sdk"


class Client:
    """What of the SDK's WorkspaceClient commands use.

    Args:
        config: The login; a copy is kept, as WorkspaceClient does.
    """

    def __init__(self, config: Config) -> None:
        defer_services()
        from databricks.sdk.core import ApiClient

        self.config = config.copy()  # type: ignore[no-untyped-call]
        self.api_client = ApiClient(self.config)

    @property
    def workspace_headers(self) -> dict[str, str]:
        """The header that names the workspace on an account-wide host, as the SDK's own services send it."""
        workspace = getattr(self.config, "workspace_id", None)
        return {"X-Databricks-Workspace-Id": str(workspace)} if workspace else {}

    @cached_property
    def clusters(self) -> ClustersAPI:
        """Clusters."""
        from databricks.sdk.service.compute import ClustersAPI

        return ClustersAPI(self.api_client)  # type: ignore[no-untyped-call]

    @cached_property
    def command_execution(self) -> CommandExecutionAPI:
        """Execution contexts and their commands."""
        from databricks.sdk.service.compute import CommandExecutionAPI

        return CommandExecutionAPI(self.api_client)  # type: ignore[no-untyped-call]

    @cached_property
    def dbfs(self) -> DbfsAPI:
        """DBFS."""
        from databricks.sdk.service.files import DbfsAPI

        return DbfsAPI(self.api_client)  # type: ignore[no-untyped-call]

    @cached_property
    def dbutils(self) -> RemoteDbUtils:
        """The dbutils that can be had from outside."""
        from databricks.sdk.dbutils import RemoteDbUtils

        return RemoteDbUtils(self.config)

    @cached_property
    def files(self) -> FilesExt:
        """Files in volumes."""
        from databricks.sdk.mixins.files import FilesExt

        return FilesExt(self.api_client, self.config)

    @cached_property
    def git_credentials(self) -> GitCredentialsAPI:
        """Tokens of Git providers."""
        from databricks.sdk.service.workspace import GitCredentialsAPI

        return GitCredentialsAPI(self.api_client)  # type: ignore[no-untyped-call]

    @cached_property
    def libraries(self) -> LibrariesAPI:
        """Libraries of clusters."""
        from databricks.sdk.service.compute import LibrariesAPI

        return LibrariesAPI(self.api_client)  # type: ignore[no-untyped-call]

    @cached_property
    def repos(self) -> ReposAPI:
        """Git folders."""
        from databricks.sdk.service.workspace import ReposAPI

        return ReposAPI(self.api_client)  # type: ignore[no-untyped-call]

    @cached_property
    def tokens(self) -> TokensAPI:
        """Personal access tokens."""
        from databricks.sdk.service.settings import TokensAPI

        return TokensAPI(self.api_client)  # type: ignore[no-untyped-call]

    @cached_property
    def volumes(self) -> VolumesAPI:
        """Volumes."""
        from databricks.sdk.service.catalog import VolumesAPI

        return VolumesAPI(self.api_client)  # type: ignore[no-untyped-call]

    @cached_property
    def workspace(self) -> WorkspaceExt:
        """Notebooks and workspace files."""
        from databricks.sdk.mixins.workspace import WorkspaceExt

        return WorkspaceExt(self.api_client)  # type: ignore[no-untyped-call]


def defer_services() -> None:
    """Let submodules of the SDK be imported without its services.

    Whoever asks the package itself for anything, such as WorkspaceClient, gets it as always, a second later.
    """
    spec = find_spec(_PACKAGE) if _PACKAGE not in sys.modules else None
    if spec is None or spec.loader is None:
        return
    package = module_from_spec(spec)
    package.__getattr__ = _completing(package)  # type: ignore[method-assign]
    sys.modules[_PACKAGE] = package
    setattr(sys.modules[_PACKAGE.partition(".")[0]], _PACKAGE.rpartition(".")[2], package)


def _completing(package: ModuleType) -> Any:  # noqa: ANN401 - a function that modules may have
    """Return what a module calls for a name that it lacks: it imports the package as it is meant to be."""

    def get(name: str) -> Any:  # noqa: ANN401
        if name.startswith("__") or find_spec(f"{_PACKAGE}.{name}"):
            raise AttributeError(name)  # Python imports a submodule then
        if "__getattr__" in vars(package):
            del package.__getattr__
            package.__spec__.loader.exec_module(package)  # type: ignore[union-attr]
        return getattr(package, name)

    return get
