"""Running pip in the environment of a notebook, a cluster or a job, apart from any kernel."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.spark_defaults import DBFS

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.notebook_environment import NotebookEnvironment

_LAST_WORDS = 2000


class PipFailedError(Exception):
    """pip ended with an error; the message is what it said last."""


async def install(environment: NotebookEnvironment, variables: dict[str, str], *requirements: str) -> None:
    """Install into an environment that has been made; cancelling ends pip.

    Args:
        environment: Where the packages go.
        variables: Its environment variables.
        *requirements: What pip takes, such as `name==1`, `-r`, `/Workspace/requirements.txt`.

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
                process.terminate()  # namespace.py then ends all below it
            await process.wait()
    if process.returncode != 0:
        said = output.decode(errors="replace").replace(DBFS, "/dbfs").strip()[-_LAST_WORDS:]
        raise PipFailedError(said or f"pip ended with exit status {process.returncode}")


def as_local(path: str) -> str:
    """Return where a `dbfs:/` path lies for a cluster; others stay as they are."""
    return f"{DBFS}/" + path.removeprefix("dbfs:").lstrip("/") if path.startswith("dbfs:") else path
