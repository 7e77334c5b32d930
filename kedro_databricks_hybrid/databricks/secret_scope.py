"""A project's secrets in a secret scope: list, set and delete them, and no other project's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks.secret_names import key_of
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import NotFoundError, WorkspaceError

if TYPE_CHECKING:
    from kedro_databricks_hybrid.databricks.workspace import Workspace


@dataclass(frozen=True)
class SecretScope:
    """The secrets of one project in one scope.

    Args:
        workspace: The workspace.
        name: The scope's name.
        project: The project's name.
    """

    workspace: Workspace
    name: str
    project: str

    def listed(self) -> dict[str, int]:
        """Return the names of the project's secrets, each with the time when it was set, in ms since 1970.

        A scope that does not exist has none.

        Raises:
            WorkspaceError: The scope may not be read.
        """
        begins = f"{self.project}."
        try:
            with translated(f"list the secrets of the scope {self.name}"):
                found = list(self.workspace.client.secrets.list_secrets(self.name))
        except NotFoundError:
            return {}
        keys = {each.key or "": each.last_updated_timestamp or 0 for each in found}
        return {key.removeprefix(begins): when for key, when in keys.items() if key.startswith(begins)}

    def make(self) -> bool:
        """Create the scope if it does not exist; return whether it was created."""
        secrets = self.workspace.client.secrets
        with translated("list the secret scopes"):
            if any(scope.name == self.name for scope in secrets.list_scopes()):
                return False
        with translated(f"create the secret scope {self.name}"):
            secrets.create_scope(self.name)
        return True

    def put(self, name: str, value: str) -> None:
        """Set a secret, and check that the scope lists it.

        Raises:
            WorkspaceError: Databricks refused, or does not list it.
        """
        key = key_of(self.project, name)
        with translated(f"set the secret {key} in the scope {self.name}"):
            self.workspace.client.secrets.put_secret(self.name, key, string_value=value)
        if name not in self.listed():
            raise WorkspaceError(f"Databricks accepted the secret {key}, but {self.name} does not list it.")

    def remove(self, name: str) -> None:
        """Delete a secret.

        Raises:
            NotFoundError: The scope does not have it.
        """
        key = key_of(self.project, name)
        with translated(f"delete the secret {key} of the scope {self.name}"):
            self.workspace.client.secrets.delete_secret(self.name, key)
