"""The functions that a job's task calls in its kernel."""

from __future__ import annotations

import ast
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from . import dbutils, lazy_spark, notebook_context, notebook_run


def open_notebook(notebook: str, folder: str, root: str, parameters: dict[str, str]) -> None:
    """Set the path, the folder, the import path and the parameters of a notebook before its cells run.

    Its folder comes first on the import path, followed by the root of its Git folder; without a root, last.
    """
    notebook_context.set_notebook_path(notebook)
    notebook_run.set_folder(folder)
    os.chdir(folder)
    if root:
        sys.path[:0] = dict.fromkeys((folder, root))
    else:
        sys.path.append(folder)
    widgets = dbutils.DBUtils().widgets
    for name, value in parameters.items():
        widgets.text(name, value)


def run_script(path: str, arguments: list[str]) -> None:
    """Run a Python file in the notebook's namespace, with its arguments in `sys.argv`.

    On serverless compute it has no `__file__`, and any `sys.exit` is a failure.
    """
    from IPython import get_ipython

    names = get_ipython().user_ns
    source = Path(path).read_bytes()
    sys.argv = [path, *arguments]
    sys.path.insert(0, str(Path(path).parent))
    tree = ast.parse(source, path)
    if lazy_spark.needs_spark(tree):
        lazy_spark.start()
    code = compile(tree, path, "exec")
    if os.environ.get("IS_SERVERLESS"):
        exec(code, names)  # noqa: S102 - the task
        return
    names["__file__"] = path
    _run(lambda: exec(code, names))  # noqa: S102 - the task


def run_entry_point(package: str, name: str, arguments: list[str]) -> None:
    """Call an entry point of an installed package, or the function of that name in it."""
    sys.argv = [package, *arguments]
    points = [point for point in metadata.distribution(package).entry_points if point.name == name]
    if points:
        _run(points[0].load())
    else:
        module = __import__(package.replace("-", "_"))
        _run(getattr(module, name))


def _run(work: Any) -> None:  # noqa: ANN401 - a function without arguments
    """Run a function; `sys.exit` with status 0 in it is success."""
    try:
        work()
    except SystemExit as end:
        if end.code not in {None, 0}:
            raise
