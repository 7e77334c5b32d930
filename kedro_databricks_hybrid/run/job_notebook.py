"""The notebook that performs `run --job`: the client writes it to a folder of its own and a job runs it.

It holds the driver program of the very client that starts the run, and takes the request as a parameter.
Its name tells its content, so that clients of different versions do not change each other's, and one that is
there already need not be written again. Jobs that are deployed run the project's own notebook instead:
`job_task.py` says why.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import NotFoundError
from kedro_databricks_hybrid.job_task import REQUEST
from kedro_databricks_hybrid.run.request import driver_text
from kedro_databricks_hybrid.workspace import translated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kedro_databricks_hybrid.workspace import Workspace

_FOLDER = ".kedro-hybrid"
_SEPARATOR = "\n# COMMAND ----------\n\n"
_INTRODUCTION = """\
# Databricks notebook source
# MAGIC %md
# MAGIC Written by `kedro databricks run --job`, which runs it as a job.
# MAGIC It may be deleted when no run needs it.
"""
_RUN = """\
import json
import pathlib

{driver}
_request = json.loads(dbutils.widgets.get("{parameter}"))
_driver["main"](_request)
_end = json.loads(pathlib.Path(_request["log_folder"], "end.json").read_text("utf-8"))
if _end["outcome"] != "completed":
    raise RuntimeError(_end.get("error") or _end["outcome"])
"""


def text(installation: Sequence[str] = ()) -> str:
    """Return the notebook.

    Args:
        installation: The cells that install the requirements; none where the compute has them already.
    """
    install = [f"# MAGIC {cell}\n" if cell.startswith("%") else f"{cell.strip()}\n" for cell in installation]
    run = _RUN.format(driver=driver_text(), parameter=REQUEST)
    return _SEPARATOR.join([_INTRODUCTION, *install, run])


def place(workspace: Workspace, project: str, installation: Sequence[str]) -> PurePosixPath:
    """Have the notebook in the user's folder, and return its path there.

    Args:
        workspace: Where.
        project: The project's name, to tell it by.
        installation: The cells that install the requirements.
    """
    content = text(installation).encode()
    folder = PurePosixPath("/Users") / workspace.user / _FOLDER
    path = folder / f"{project}-{hashlib.sha256(content).hexdigest()[:12]}"
    try:
        with translated(f"look for the notebook {path}"):
            workspace.client.workspace.get_status(str(path))
    except NotFoundError:
        _write(workspace, path, content)
    return path


def _write(workspace: Workspace, path: PurePosixPath, content: bytes) -> None:
    from databricks.sdk.service.workspace import ImportFormat, Language

    with translated(f"write the notebook {path}"):
        workspace.client.workspace.mkdirs(str(path.parent))
        workspace.client.workspace.import_(
            str(path),
            content=base64.b64encode(content).decode(),
            format=ImportFormat.SOURCE,
            language=Language.PYTHON,
            overwrite=True,
        )
