"""Kedro hooks that log when nodes start and end, and what they save."""

from __future__ import annotations

import contextlib
import difflib
import os
import time
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .run_log import RunLog

SIZES_SECONDS = 2.0  # how long the end of a run waits for the sizes of saved datasets


class NodeEvents:
    """Hooks that log when nodes start and end, what they save and its size.

    A node's seconds count from its first load to its last save, as Spark computes while it saves. Runners
    that start other processes make new hook managers there, from these hooks too if the processes are forked.
    If a runner calls no hooks, its nodes are counted when the pipeline has completed.

    Args:
        log: The run log.
        sizes: Measures sizes.

    Attributes:
        is_unfinished: Whether a pipeline has begun and not completed.
    """

    def __init__(self, log: RunLog, sizes: futures.Executor) -> None:
        from kedro.framework.hooks import hook_impl

        for name, function in vars(type(self)).items():
            if name.startswith(("before_", "after_", "on_")):
                hook_impl(function)
        self.is_unfinished = False
        self._log = log
        self._sizes = sizes
        self._began: dict[str, float] = {}
        self._catalog: Any = None

    def before_pipeline_run(self, pipeline: Any, catalog: Any) -> None:  # noqa: ANN401, D102
        self.is_unfinished = True
        self._catalog = catalog
        for name in sorted(pipeline.inputs()):
            self._warn_if_missing(name)

    def after_pipeline_run(self, run_params: Mapping[str, Any], pipeline: Any) -> None:  # noqa: ANN401, D102
        self.is_unfinished = False
        if not self._began and not self._log.finished and not run_params.get("only_missing_outputs"):
            for node in pipeline.nodes:
                self._log.add("node_finished", node=node.name)

    def before_dataset_loaded(self, node: Any) -> None:  # noqa: ANN401, D102
        self._began.setdefault(node.name, time.monotonic())

    def before_node_run(self, node: Any) -> None:  # noqa: ANN401, D102
        self._began.setdefault(node.name, time.monotonic())
        self._log.add("node_started", node=node.name)

    def after_node_run(self, node: Any) -> None:  # noqa: ANN401, D102
        self._log.add("node_finished", node=node.name, seconds=self._seconds(node))

    def on_node_error(self, error: Exception, node: Any) -> None:  # noqa: ANN401, D102
        self._log.add("node_failed", node=node.name, seconds=self._seconds(node), error=repr(error)[:2000])

    def after_dataset_saved(self, dataset_name: str, node: Any) -> None:  # noqa: ANN401, D102
        name, log = dataset_name, self._log
        in_memory = {"in_memory": True} if getattr(self._dataset(name), "_EPHEMERAL", False) else {}
        log.add("saved", node=node.name, dataset=name, seconds=self._seconds(node), **in_memory)
        if log.is_here:
            self._sizes.submit(self._note_size, name, node)
        else:
            self._note_size(name, node)  # the thread for sizes was not forked

    def _warn_if_missing(self, name: str) -> None:
        """Warn of an input without a file before the first node runs, with the nearest name beside it."""
        paths: list[Path] = []
        with contextlib.suppress(Exception):  # the runner will report it
            paths = paths_of(self._dataset(name), with_version=False)
        if not paths or any(map(_exists, paths)):
            return
        path = paths[-1]
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, beside, n=1)
        there = f"; there is {path.with_name(near[0])}" if near else ""
        self._log.say(f"The input {name} does not exist: {path}{there}.")

    def _seconds(self, node: Any) -> float:  # noqa: ANN401
        return round(time.monotonic() - self._began[node.name], 3)

    def _dataset(self, name: str) -> Any:  # noqa: ANN401
        return self._catalog.get(name) if self._catalog else None

    def _note_size(self, name: str, node: Any) -> None:  # noqa: ANN401
        if (size := size_of(self._dataset(name))) is not None:
            self._log.add("size", node=node.name, dataset=name, bytes=size)


def size_of(dataset: object) -> int | None:
    """Return the size in bytes of a dataset's file or folder; None if it has none."""
    for file in paths_of(dataset, with_version=True):
        if _exists(file):
            files = file.rglob("*") if file.is_dir() else [file]
            return sum(each.stat().st_size for each in files if each.is_file())
    return None


def _exists(path: Path) -> bool:
    """Tell whether a path exists; Path.exists raises the Errno 95 of compute that does not support /dbfs."""
    return os.path.exists(path)  # noqa: PTH110


def paths_of(dataset: object, *, with_version: bool) -> list[Path]:
    """Return where the file or folder of a dataset may be, as paths on this machine.

    With a version it is the file of the version that was loaded or saved, otherwise the folder of all. The
    path is read from protected attributes, as Kedro's datasets have no public one.
    """
    kept: Any = getattr(dataset, "_dataset", dataset)  # the one inside of a CachedDataset
    found = [getattr(kept, name, "") for name in ("_original_filepath", "_filepath", "_path")]
    if with_version and getattr(kept, "_version", None):
        found = [kept._get_load_path()]  # noqa: SLF001
    absolute = [path for path in (str(each).removeprefix("dbfs:") for each in found) if path.startswith("/")]
    is_pattern = any(set("*?[") & set(path) for path in absolute)
    return [] if is_pattern else [file for path in absolute for file in (Path(f"/dbfs{path}"), Path(path))]


@contextlib.contextmanager
def measuring() -> Iterator[futures.Executor]:
    """Provide a thread that measures sizes, so that no node waits; unfinished ones are dropped at the end."""
    pool = futures.ThreadPoolExecutor(1, "sizes")
    try:
        yield pool
    finally:
        futures.wait([pool.submit(int)], SIZES_SECONDS)
        pool.shutdown(wait=False, cancel_futures=True)
