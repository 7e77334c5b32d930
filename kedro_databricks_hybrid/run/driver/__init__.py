"""The driver program: runs a Kedro pipeline on the cluster and writes its run log.

The client sends the text of this package to the cluster and calls `main`. So it imports only the standard
library, Kedro and its own modules, all of them at the top, and supports Python 3.9, which the oldest
supported runtime has.
"""

from __future__ import annotations

import gc
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from .hints import hint, message, own_error
from .output import captured_output
from .pipeline import run_pipeline
from .process import unchanged_process
from .run_log import RunLog

__all__ = ["main"]


def main(request: dict[str, Any]) -> None:
    """Perform a `RunRequest`; the outcome is only in the log's end record."""
    began = time.monotonic()
    log = RunLog(request["log_folder"])
    log.add("run", **request["facts"], python=sys.version.split()[0])
    end: dict[str, Any] = {"outcome": "failed", "error": "The run ended for an unknown reason."}
    # Jobs that an earlier version deployed have no code folder.
    folder = os.path.normpath(request.get("code_folder") or request["project_path"])
    try:
        with unchanged_process(folder), captured_output(log):
            os.environ.update(request["environment"])
            sys.dont_write_bytecode = True  # __pycache__ would make the Git folder dirty
            run_pipeline({**request, "code_folder": folder}, log)
        end = {"outcome": "completed"}
    except KeyboardInterrupt as error:
        end = {"outcome": "cancelled", "error": "The run was cancelled.", "spoiled": is_in_import(error)}
    except BaseException as error:  # noqa: BLE001 - whatever the project's code raises
        end = {"outcome": "failed", "error": message(error)[:2000]}
        if own_error(error) is None:
            end["traceback"] = project_traceback(error)
        if (next_step := hint(error, request)) is not None:
            end["hint"] = next_step
        if has_lost_workspace(error):
            end["spoiled"] = True
    finally:
        gc.collect()  # ends the processes and closes the files of the run that only cycles keep
        log.close(seconds=round(time.monotonic() - began, 3), **end)


def project_traceback(error: BaseException) -> str:
    """Return the traceback from the first frame outside of this program."""
    trace, ours = error.__traceback__, str(Path(__file__).parent)
    while trace and trace.tb_frame.f_code.co_filename.startswith(ours):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def has_lost_workspace(error: BaseException | None) -> bool:
    """Tell whether files below /Workspace may not be read any more: a process has access for 36 hours."""
    while error is not None:
        if isinstance(error, PermissionError) and str(error.filename).startswith("/Workspace/"):
            return True
        error = error.__cause__ or error.__context__
    return False


def is_in_import(error: BaseException) -> bool:
    """Tell whether an import was interrupted, which leaves a package partly imported."""
    codes = (frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(each.co_name == "<module>" or "<frozen importlib" in each.co_filename for each in codes)
