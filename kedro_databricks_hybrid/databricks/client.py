"""The SDK's client with the services that commands use, each imported on first use.

Importing the package `databricks.sdk` imports forty services, which takes longer than the rest of a command.
This module imports its submodules without running its `__init__`, which is run only if something needs it.
"""

from __future__ import annotations

import sys
from functools import cached_property
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks.silence import Silence

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from databricks.sdk.core import ApiClient, Config
    from databricks.sdk.mixins.files import FilesExt
    from databricks.sdk.mixins.workspace import WorkspaceExt
    from databricks.sdk.service.catalog import VolumesAPI
    from databricks.sdk.service.compute import ClustersAPI, CommandExecutionAPI, LibrariesAPI
    from databricks.sdk.service.files import DbfsAPI
    from databricks.sdk.service.settings import TokensAPI
    from databricks.sdk.service.workspace import GitCredentialsAPI, ReposAPI, SecretsAPI

_PACKAGE = "databricks.sdk"


class Client:
    """The part of the SDK's WorkspaceClient that commands use.

    Args:
        config: The login; the client keeps a copy, as WorkspaceClient does.
        silence: Reports it when Databricks does not answer.
    """

    def __init__(self, config: Config, silence: Silence | None = None) -> None:
        defer_services()
        from kedro_databricks_hybrid.databricks.transport import mount

        self.config = config.copy()  # type: ignore[no-untyped-call]
        self.silence = silence or Silence()
        self.api_client = _api_client(self.config, self.silence)
        self._transport = mount(self.api_client, self.silence)

    @property
    def server_seconds(self) -> int:
        """The workspace's time in its last answer, in whole seconds since 1970; 0 if it is unknown."""
        return self._transport.seconds

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
    def secrets(self) -> SecretsAPI:
        """Secrets."""
        from databricks.sdk.service.workspace import SecretsAPI

        return SecretsAPI(self.api_client)  # type: ignore[no-untyped-call]

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


def _api_client(config: Config, silence: Silence) -> ApiClient:
    """Return the SDK's API client, which reports silences."""
    from databricks.sdk.core import ApiClient
    from databricks.sdk.errors.base import DatabricksError

    from kedro_databricks_hybrid.databricks import transport

    class Watched(ApiClient):
        """An API client whose calls report it when the server does not answer."""

        def do(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the SDK's own signature
            """Send a request, with the SDK's retries, and return the answer."""
            data = kwargs.get("data")
            sent: Callable[[], object] = getattr(data, "tell", lambda: None)
            try:
                return silence.watch(lambda: ApiClient.do(self, *args, **kwargs), sent)
            except DatabricksError as error:
                if not transport.is_busy(error):
                    silence.heard()
                raise

    return Watched(config)


def defer_services() -> None:
    """Make submodules of the SDK importable without importing its services.

    Attributes of the package itself, such as WorkspaceClient, still work: the first access imports all of it.
    """
    spec = find_spec(_PACKAGE) if _PACKAGE not in sys.modules else None
    if spec is None or spec.loader is None:
        return
    package = module_from_spec(spec)
    package.__getattr__ = _completing(package)  # type: ignore[method-assign]
    sys.modules[_PACKAGE] = package
    setattr(sys.modules[_PACKAGE.partition(".")[0]], _PACKAGE.rpartition(".")[2], package)


def _completing(package: ModuleType) -> Any:  # noqa: ANN401 - a function that modules may have
    """Return the package's `__getattr__`, which runs its `__init__` on the first access to an attribute."""

    def get(name: str) -> Any:  # noqa: ANN401
        if name.startswith("__") or find_spec(f"{_PACKAGE}.{name}"):
            raise AttributeError(name)  # makes Python import the submodule
        if "__getattr__" in vars(package):
            del package.__getattr__
            package.__spec__.loader.exec_module(package)  # type: ignore[union-attr]
        return getattr(package, name)

    return get
