"""Make a warm process run code as a new one would: import the current files, and undo what a run changed."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OF_SPARK = ("SPARK_", "PYSPARK_")  # set when Spark starts, and needed as long as it runs


def forget(folder: str, package_name: str) -> None:
    """Unload all modules whose files lie in a folder, and the package, so that the current code runs.

    Args:
        folder: The Git folder.
        package_name: The project's package.
    """
    for name, module in list(sys.modules.items()):
        is_of_package = f"{name}.".startswith(f"{package_name}.")
        if name != "__main__" and (is_of_package or is_in(folder, *_files(module))):
            sys.modules.pop(name, None)
    importlib.invalidate_caches()
    _restart_spark_workers()


def is_in(folder: str, *paths: str) -> bool:
    """Tell whether one of the paths lies in a folder."""
    tops = (f"{folder}{os.sep}", f"{os.path.realpath(folder)}{os.sep}")
    return any(f"{path}{os.sep}".startswith(tops) for path in paths)


def _files(module: object) -> list[str]:
    """Return the file of a module, or the folders of a package."""
    known: Mapping[str, Any] = getattr(module, "__dict__", None) or {}
    try:
        return [each for each in (known.get("__file__"), *known.get("__path__", ())) if isinstance(each, str)]
    except TypeError:  # an object that only stands for a module
        return []


def _restart_spark_workers() -> None:
    """Let Spark start new Python processes for functions, as the old ones have imported the old code.

    Spark keeps idle processes, and chooses among those that have the same environment variables.
    """
    pyspark: Any = sys.modules.get("pyspark")
    context = getattr(getattr(pyspark, "SparkContext", None), "_active_spark_context", None)
    if context is not None:
        context.environment["KEDRO_DATABRICKS_CODE"] = os.environ.get("KEDRO_DATABRICKS_CODE", "")


@contextlib.contextmanager
def unchanged_process(folder: str) -> Iterator[None]:
    """Undo what the block changes and a new process would not have.

    That is environment variables, import paths in the Git folder, the working directory, warnings, the hook
    for uncaught errors and OmegaConf's resolvers. Warnings that are shown once are shown again.

    Args:
        folder: The Git folder.
    """
    variables, paths = dict(os.environ), set(sys.path)
    directory, hook, writes_no_bytecode = Path.cwd(), sys.excepthook, sys.dont_write_bytecode
    captures_warnings = getattr(logging, "_warnings_showwarning", None) is not None
    logging.captureWarnings(capture=False)
    try:
        with warnings.catch_warnings(), _same_resolvers():
            try:
                yield
            finally:
                logging.captureWarnings(capture=False)
    finally:
        logging.captureWarnings(captures_warnings)
        sys.excepthook, sys.dont_write_bytecode = hook, writes_no_bytecode
        sys.path[:] = [path for path in sys.path if path in paths or not is_in(folder, path)]
        with contextlib.suppress(OSError):
            os.chdir(directory)
        for name in {*variables, *os.environ}:
            if variables.get(name) == os.environ.get(name) or name.startswith(_OF_SPARK):
                continue
            if name in variables:
                os.environ[name] = variables[name]
            else:
                del os.environ[name]


@contextlib.contextmanager
def _same_resolvers() -> Iterator[None]:
    """Remove the resolvers that the block registers: Kedro does not replace one that exists."""
    try:
        from omegaconf import OmegaConf
        from omegaconf.basecontainer import BaseContainer
    except ImportError:
        yield
        return
    known = set(BaseContainer._resolvers)  # noqa: SLF001 - there is no public list
    try:
        yield
    finally:
        for name in set(BaseContainer._resolvers) - known:  # noqa: SLF001
            OmegaConf.clear_resolver(name)
