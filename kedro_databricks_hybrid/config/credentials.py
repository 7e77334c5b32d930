"""Complete the credentials of a run on Databricks from the project's secret scope."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.config import secrets
from kedro_databricks_hybrid.databricks.secret_names import ENTRY, command, key_of
from kedro_databricks_hybrid.errors import HybridError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_MARK = "\0"
_MARKED = re.compile(f"{_MARK}([^{_MARK}]*){_MARK}")
_REQUIRED = object()


class Missing(str):  # noqa: SLOT000 - it has an attribute
    """Stands in the credentials for a value that nobody gives; its text is the names of its secrets.

    A dataset that is made with it copies it first, which fails, so that it is never used as a password.
    """

    scope: Scope

    @property
    def names(self) -> list[str]:
        """The names of the secrets."""
        return self.split(_MARK)

    def __deepcopy__(self, memo: object) -> Missing:
        """Refuse.

        Raises:
            SettingsError: Always; the message names the secrets.
        """
        raise self.scope.error({name: [] for name in self.names})


@dataclass
class Scope:
    """The secret scope as the configuration reads it.

    Args:
        name: The scope's name.
        project: The project's name.
        refused: Why secrets could not be read, by their names.
    """

    name: str
    project: str
    refused: dict[str, str] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        """Return one of the project's secrets; None if it does not exist or may not be read."""
        try:
            return secrets.find(self.name, key_of(self.project, name))
        except HybridError as error:
            self.refused[name] = error.message
            return None

    def variable(self, name: str, default: object = _REQUIRED) -> object:
        """Return an environment variable, or the secret of that name, or the default; resolves `oc.env`."""
        value = os.environ.get(name)
        if value is None:
            value = self.find(name)
        if value is not None:
            return value
        if default is _REQUIRED:
            return f"{_MARK}{name}{_MARK}"
        return None if default is None else str(default)

    def entries(self, names: Iterable[str]) -> dict[str, Any]:
        """Return whole entries of the credentials."""
        import yaml

        found: dict[str, Any] = {}
        for name in names:
            text = self.find(f"{ENTRY}{name}")
            if text is None:
                found[name] = self._missing([f"{ENTRY}{name}"])
            else:
                found[name] = yaml.safe_load(text)
                secrets.revealed.update(_texts(found[name]))
        return found

    def marked(self, value: Any) -> Any:  # noqa: ANN401 - any configuration
        """Return resolved credentials in which each text with a missing variable is a `Missing`."""
        if isinstance(value, dict):
            return {key: self.marked(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.marked(each) for each in value]
        names = _MARKED.findall(value) if isinstance(value, str) else []
        return self._missing(names) if names else value

    def error(self, missing: Mapping[str, Sequence[str]]) -> SettingsError:
        """Return the error about secrets that a run needs, with the command to type.

        Args:
            missing: The names of the secrets, each with its datasets.
        """
        named = ", ".join(described(name, datasets) for name, datasets in missing.items())
        refused = "".join(f" {reason}" for name, reason in self.refused.items() if name in missing)
        return SettingsError(
            f"The run needs {named}, and neither the environment nor the secret scope {self.name} has it."
            f"{refused}",
            hint=f"On your machine, type `{command(missing)}`.",
        )

    def _missing(self, names: Sequence[str]) -> Missing:
        made = Missing(_MARK.join(names))
        made.scope = self
        return made


def described(name: str, datasets: Sequence[str]) -> str:
    """Return the name of a secret with the datasets that need it, as a message shows it."""
    return f"{name} (for {', '.join(datasets)})" if datasets else name


def missing_in(value: object) -> Iterator[str]:
    """Yield the names of the secrets that a configuration lacks."""
    if isinstance(value, Missing):
        yield from value.names
    elif isinstance(value, dict):
        for each in value.values():
            yield from missing_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from missing_in(each)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
