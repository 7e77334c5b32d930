"""Libraries of clusters: pip installs them one by one while the cluster runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from kedro_databricks_hybrid.sandbox.core.errors import invalid
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree
from kedro_databricks_hybrid.sandbox.core.store import passing, stored
from kedro_databricks_hybrid.sandbox.kernel.spark_defaults import DBFS

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.kernel.environment import NotebookEnvironment
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

KINDS = ("pypi", "requirements", "whl")
FOREIGN_KINDS = ("jar", "maven", "cran", "egg")
_DOCUMENT = "libraries"
_LOG = logging.getLogger(__name__)
_NOT_PYTHON = "The sandbox installs Python packages only."

Library = dict[str, Any]
_OUTPUT_TAIL = 2000  # characters of pip's output that are shown


@stored
@dataclass
class Installation:
    """One library of a cluster, and whether it is installed."""

    library: Annotated[Library, passing(check)]
    status: str = "PENDING"
    message: str = ""

    def describe(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        messages = [self.message] if self.message else []
        return {
            "library": self.library,
            "status": self.status,
            "messages": messages,
            "is_library_for_all_clusters": False,
        }


class Libraries:
    """The libraries of all clusters."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._installations = sandbox.store.load(_DOCUMENT, dict[str, list[Installation]])
        self._work: dict[str, asyncio.Task[None]] = {}
        sandbox.clusters.on_terminate(self._forget_packages)
        sandbox.clusters.on_running(self.begin)

    def of(self, cluster_id: str) -> list[Installation]:
        """Return the libraries of a cluster."""
        return self._installations.get(cluster_id, [])

    async def add(self, cluster_id: str, libraries: list[Library]) -> None:
        """Install libraries in the background, but not those that are installed already."""
        self._sandbox.clusters.get(cluster_id)
        for library in libraries:
            check(library)
        known = self._installations.setdefault(cluster_id, [])
        for library in libraries:
            old = next((one for one in known if one.library == library), None)
            if old is None:
                known.append(Installation(library))
            elif old.status in {"FAILED", "UNINSTALL_ON_RESTART"}:
                old.status = "PENDING" if old.status == "FAILED" else "INSTALLED"
        await self._save()
        await self.begin(cluster_id)

    async def remove(self, cluster_id: str, libraries: list[Library]) -> None:
        """Mark libraries to be removed at the next start of the cluster."""
        cluster = self._sandbox.clusters.get(cluster_id)
        for one in list(self.of(cluster_id)):
            if one.library in libraries:
                if cluster.state == "TERMINATED" or one.status in {"PENDING", "FAILED"}:
                    self._installations[cluster_id].remove(one)
                else:
                    one.status = "UNINSTALL_ON_RESTART"
        await self._save()

    async def begin(self, cluster_id: str) -> None:
        """Start to install pending libraries, if the cluster runs and no installation does."""
        running = self._work.get(cluster_id)
        if running is None or running.done():
            self._work[cluster_id] = asyncio.create_task(self._install(cluster_id))

    async def settled(self, cluster_id: str) -> None:
        """Wait until no library of a running cluster is pending."""
        if cluster_id in self._work:
            await asyncio.wait([self._work[cluster_id]])

    async def close(self) -> None:
        """Stop running installations; they are pending at the next start."""
        work = list(self._work.values())
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    async def resume(self) -> None:
        """Continue the installations that an earlier server did not finish, or whose links are broken."""
        for cluster_id in list(self._installations):
            if await asyncio.to_thread(_has_broken_links, self._folder(cluster_id)):
                await self._forget_packages(cluster_id)
            known = self.of(cluster_id)
            for one in known:
                if one.status in {"RESOLVING", "INSTALLING"}:
                    one.status = "PENDING"
            if any(one.status == "PENDING" for one in known):
                await self.begin(cluster_id)

    async def _install(self, cluster_id: str) -> None:
        cluster = self._sandbox.clusters.find(cluster_id)
        if cluster is None or cluster.state != "RUNNING":
            return
        user = self._sandbox.users.named(cluster.creator) or self._sandbox.user
        while pending := next((one for one in self.of(cluster_id) if one.status == "PENDING"), None):
            pending.status, pending.message = "INSTALLING", ""
            await self._save()
            try:
                await self._install_one(cluster_id, user, cluster.runtime_version, pending.library)
                status = "INSTALLED"
            except (PipFailedError, OSError) as error:
                _LOG.warning("Library %s of cluster %s: %s", pending.library, cluster_id, error)
                status, pending.message = "FAILED", str(error)
            if pending.status == "INSTALLING":  # else it was uninstalled meanwhile
                pending.status = status
            await self._save()

    async def _install_one(self, cluster_id: str, user: User, version: str, library: Library) -> None:
        arguments = requirements_of(library)
        environment = self._sandbox.library_environment(cluster_id, user)
        await asyncio.to_thread(environment.make)
        variables = await asyncio.to_thread(environment.variables, user.name, version)
        await pip_install(environment, variables, *arguments)

    async def _forget_packages(self, cluster_id: str) -> None:
        """Delete the packages of a terminated cluster; they are installed again when it starts."""
        running = self._work.pop(cluster_id, None)
        if running is not None:
            running.cancel()
            await asyncio.wait([running])
        kept = [one for one in self.of(cluster_id) if one.status != "UNINSTALL_ON_RESTART"]
        for one in kept:
            one.status, one.message = "PENDING", ""
        self._installations[cluster_id] = kept
        if self._sandbox.clusters.find(cluster_id) is None:
            del self._installations[cluster_id]
        await self._save()
        await asyncio.to_thread(remove_tree, self._folder(cluster_id))

    def _folder(self, cluster_id: str) -> Path:
        return self._sandbox.layout.libraries / cluster_id

    async def _save(self) -> None:
        document = {cluster: [asdict(one) for one in known] for cluster, known in self._installations.items()}
        await self._sandbox.store.save(_DOCUMENT, document)


def _has_broken_links(folder: Path) -> bool:
    """Tell whether a package is linked from this machine that has another version or lacks it by now."""
    return any(not file.exists() for file in folder.rglob("*.dist-info/METADATA"))


def check(library: object) -> None:
    """Refuse a value that is not a library of the API."""
    if not isinstance(library, dict) or len(library) != 1 or next(iter(library)) not in KINDS + FOREIGN_KINDS:
        raise invalid(f"A library is one of: {', '.join(KINDS + FOREIGN_KINDS)}")
    ((kind, value),) = library.items()
    if kind == "pypi":
        value = value.get("package") if isinstance(value, dict) else None
    if kind in KINDS and (not isinstance(value, str) or not value.strip() or value.startswith("-")):
        raise invalid(f"Library of kind {kind} does not name what to install")
    if kind == "requirements" and not value.startswith(("/Workspace/", "/Volumes/")):
        raise invalid("requirements.txt must be in /Workspace or /Volumes")


def requirements_of(library: Library) -> list[str]:
    """Return the arguments of pip for a library.

    Raises:
        PipFailedError: It is not a Python package.
    """
    ((kind, value),) = library.items()
    if kind == "pypi":
        repo = value.get("repo")
        return [value["package"], *(["--index-url", str(repo)] if repo else [])]
    if kind == "requirements":
        return ["-r", value]
    if kind == "whl":
        return [as_local(value)]
    raise PipFailedError(_NOT_PYTHON)


class PipFailedError(Exception):
    """pip failed; the message is the end of its output."""


async def pip_install(
    environment: NotebookEnvironment, variables: dict[str, str], *requirements: str
) -> None:
    """Install packages into an environment whose files exist; cancelling stops pip.

    Args:
        environment: Where to install.
        variables: Its environment variables.
        *requirements: Arguments of pip, such as `name==1`, `-r`, `/Workspace/requirements.txt`.

    Raises:
        PipFailedError: Something cannot be installed.
    """
    command = [environment.python, "-m", "pip", "install", "--no-input", *requirements]
    process = await asyncio.create_subprocess_exec(
        *environment.inside(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=variables,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()  # namespace.py then kills all its children
            await process.wait()
    if process.returncode != 0:
        tail = output.decode(errors="replace").replace(DBFS, "/dbfs").strip()[-_OUTPUT_TAIL:]
        raise PipFailedError(tail or f"pip ended with exit status {process.returncode}")


def as_local(path: str) -> str:
    """Return the local path of a `dbfs:/` path on a cluster; return other paths unchanged."""
    return f"{DBFS}/" + path.removeprefix("dbfs:").lstrip("/") if path.startswith("dbfs:") else path
