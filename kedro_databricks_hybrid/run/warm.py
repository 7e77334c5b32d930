"""One warm execution context per project and user, with the project's requirements in it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import RunError
from kedro_databricks_hybrid.run import command
from kedro_databricks_hybrid.run.contexts import ContextStore, Remembered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.cluster import Cluster
    from kedro_databricks_hybrid.workspace import Workspace

REQUIREMENTS_FILES = ("requirements.txt", "src/requirements.txt")
"""Where a Kedro project keeps its requirements, relative to its folder; the first that is there counts."""

_INCLUDE = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[\s=]+(?P<path>\S+)", re.MULTILINE)

# A failed %pip raises, and the output of a command that raises is lost; so pip is asked again for its reason.
_WHY = """\
import subprocess, sys
print(subprocess.run(
    [sys.executable, "-m", "pip", "install", "--dry-run", "--no-color", "-r", {path!r}],
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
).stdout)
"""


@dataclass(frozen=True)
class Requirements:
    """A requirements file in the Git folder, and a hash of it and all that it includes."""

    path: PurePosixPath
    digest: str


def find_requirements(project: PurePosixPath, read: Callable[[str], bytes | None]) -> Requirements | None:
    """Return the requirements of a project, None where it has none.

    Args:
        project: The project's folder as the cluster sees it.
        read: Returns the content of a file of the commit that will run, by its path in the project.
    """
    for name in REQUIREMENTS_FILES:
        if (content := read(name)) is not None:
            return Requirements(project / name, _digest(name, content, read))
    return None


@dataclass(frozen=True)
class Warm:
    """The remembered context of one project and user on one cluster.

    Args:
        workspace: Where the cluster is.
        cluster: A running cluster.
        project: The project's folder there.
    """

    workspace: Workspace
    cluster: Cluster
    project: PurePosixPath

    def context(
        self, requirements: Requirements | None, say: Callable[[str], None]
    ) -> tuple[command.Context, str | None]:
        """Return a context with the requirements installed: the remembered one if it serves, else a new one.

        Args:
            requirements: What to install when it is not what the context has.
            say: Called with one line per step that takes time.

        Returns:
            The context, and the id of the last run that was started in it.

        Raises:
            RunError: pip failed; the message holds its own words.
        """
        digest = requirements.digest if requirements else None
        if remembered := self._store.get(self._key):
            context = command.Context(self.workspace, self.cluster, remembered.context_id)
            if context.is_running():
                if remembered.requirements == digest:
                    return context, remembered.run_id
                context.destroy()  # a process that has imported the old packages would keep them
            self._store.put(self._key, None)
        context = fresh_context(self.workspace, self.cluster, requirements, say)
        self._store.put(self._key, Remembered(context.context_id, digest))
        return context, None

    def remember_run(self, run_id: str) -> None:
        """Note which run was started last."""
        if remembered := self._store.get(self._key):
            self._store.put(self._key, replace(remembered, run_id=run_id))

    @property
    def _store(self) -> ContextStore:
        return ContextStore()

    @property
    def _key(self) -> str:
        return f"{self.workspace.host} {self.workspace.user} {self.cluster.cluster_id} {self.project}"


def fresh_context(
    workspace: Workspace,
    cluster: Cluster,
    requirements: Requirements | None,
    say: Callable[[str], None],
) -> command.Context:
    """Make a context and install the requirements in it."""
    say(f"Starting Python on the cluster {cluster.name}")
    context = command.create(workspace, cluster)
    if requirements:
        say(f"Installing {requirements.path}")
        _install(context, requirements.path)
    return context


def _install(context: command.Context, path: PurePosixPath) -> None:
    result = context.run(f'%pip install -r "{path}"')
    if not result.succeeded or _pip_errors(result.text):
        words = _pip_errors(result.text) or _pip_errors(context.run(_WHY.format(path=str(path))).text)
        context.destroy()
        raise RunError(
            f"pip could not install {path}: {words or result.text.strip().rpartition(chr(10))[2]}",
            hint="Mend the file, commit it, run `kedro databricks push` and try again.",
        )
    if "Successfully installed" in result.text:
        context.run(
            "dbutils.library.restartPython()"
        )  # what the runtime had imported already stays otherwise
        context.wait()


def _pip_errors(output: str) -> str:
    """Return what pip complains of, on one line; empty where it does not."""
    return " ".join(line.removeprefix("ERROR: ") for line in output.splitlines() if line.startswith("ERROR:"))


def _digest(name: str, content: bytes, read: Callable[[str], bytes | None]) -> str:
    """Hash a file and, in the order of their mention, the files that it includes."""
    digest = hashlib.sha256()
    waiting, seen = [(name, content)], {name}
    while waiting:
        name, content = waiting.pop(0)
        digest.update(name.encode() + b"\0" + content + b"\0")
        folder = name.rpartition("/")[0]
        for match in _INCLUDE.finditer(content.decode("utf-8", "replace")):
            included = f"{folder}/{match['path']}" if folder else match["path"]
            if included not in seen and (found := read(included)) is not None:
                seen.add(included)
                waiting.append((included, found))
    return digest.hexdigest()
