"""The driver program: runs a Kedro pipeline on the cluster and writes its run log.

The client sends this file's text to the cluster and calls `main`. So it imports only the standard library and
Kedro, nothing of this package, and supports Python 3.9, which the oldest supported runtime has.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import logging
import os
import sys
import threading
import time
import traceback
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FLUSH_SECONDS = (0.2, 1.0)  # pause between two files: shortest after silence, longer with constant output
CHUNK_BYTES = 500_000  # one DBFS read returns at most 1 MB
TEXT_LIMIT = 100_000
SIZES_SECONDS = 2.0  # how long the end of a run waits for the sizes of saved datasets


class RunLog:
    """Numbered JSON-lines files, each written under a temporary name and renamed, so readers see it whole."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._pending: list[dict[str, Any]] = []
        self._number = 0
        self._chunk = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._flush_regularly, name="run-log", daemon=True)
        self._thread.start()

    def add(self, event: str, **fields: object) -> None:
        """Append one record; thread-safe."""
        with self._lock:
            self._append(event, fields)

    def write(self, stream: str, text: str) -> None:
        """Append printed text; consecutive text of one stream becomes one record."""
        with self._lock:
            last = self._pending[-1] if self._pending else {}
            if last.get("stream") != stream or last["size"] > TEXT_LIMIT:
                last = self._append("output", {"stream": stream, "size": 0, "text": []})
            last["text"].append(text)
            last["size"] += len(text)

    def close(self, **end: object) -> None:
        """Write all pending records and the end record, then end.json."""
        self.add("end", **end)
        self._closing.set()
        self._thread.join()
        self._replace("end.json", json.dumps(end).encode())

    def _append(self, event: str, fields: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        self._pending.append({"n": self._number, "t": round(time.time(), 3), "event": event, **fields})
        return self._pending[-1]

    def _flush_regularly(self) -> None:
        shortest, longest = FLUSH_SECONDS
        pause = shortest
        while not self._closing.wait(pause):
            pause = min(pause * 1.5, longest) if self._flush() else shortest
        self._flush()

    def _flush(self) -> bool:
        with self._lock:
            records, self._pending = self._pending, []
        size = 0
        chunk: list[bytes] = []
        for line in map(encoded, records):
            if chunk and size + len(line) > CHUNK_BYTES:
                self._write(chunk)
                size, chunk = 0, []
            chunk.append(line)
            size += len(line) + 1
        if chunk:
            self._write(chunk)
        return bool(records)

    def _write(self, lines: list[bytes]) -> None:
        self._chunk += 1
        self._replace(f"{self._chunk:06d}.jsonl", b"\n".join(lines) + b"\n")

    def _replace(self, name: str, content: bytes) -> None:
        draft = self._folder / f"{name}.part"
        draft.write_bytes(content)
        draft.replace(self._folder / name)


def encoded(record: dict[str, Any]) -> bytes:
    """Return a record as one line of JSON."""
    if record["event"] == "output":
        del record["size"]
        record["text"] = "".join(record["text"])
    return json.dumps(record, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")


class LogHandler(logging.Handler):
    """Sends log records to the run log, with the fields that Kedro's handler needs to show them as usual."""

    def __init__(self, log: RunLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Add one record; one that cannot be formatted is reported as logging does, without an error."""
        if record.exc_info and record.exc_info[0] is KeyboardInterrupt and "py4j" in record.pathname:
            return  # py4j's errors in a cancelled run
        try:
            message = record.getMessage()[:TEXT_LIMIT]
            fields: dict[str, Any] = {"level": record.levelno, "name": record.name, "message": message}
            if hasattr(record, "rich_format") and isinstance(record.args, tuple):
                arguments = [str(argument) for argument in record.args]
                fields.update(template=record.msg, args=arguments, rich_format=record.rich_format)
            if record.exc_info and record.exc_info[0]:
                fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))[-TEXT_LIMIT:]
            self._log.add("log", path=record.pathname, line=record.lineno, **fields)
        except Exception:  # noqa: BLE001 - log records may contain any object
            self.handleError(record)


class Output(io.TextIOBase):
    """Replaces stdout or stderr, and sends printed text to the run log."""

    encoding = "utf-8"

    def __init__(self, log: RunLog, stream: str) -> None:
        self._log = log
        self._stream = stream

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Send text to the run log; it is in the log's next file, even if the line is incomplete."""
        if text:
            self._log.write(self._stream, text)
        return len(text)


def node_events(log: RunLog, hook_impl: Callable[..., Any], sizes: futures.Executor) -> object:
    """Return Kedro hooks that log when nodes start and end, what they save and its size.

    A node's seconds count from its first load to its last save, as Spark computes while it saves.
    """
    began: dict[str, float] = {}
    catalogs: list[Any] = []

    def seconds(node: Any) -> float:  # noqa: ANN401 - Kedro's Node, which is not imported here
        return round(time.monotonic() - began[node.name], 3)

    def note_size(name: str, node: Any) -> None:  # noqa: ANN401
        if catalogs and (size := size_of(catalogs[0].get(name))) is not None:
            log.add("size", node=node.name, dataset=name, bytes=size)

    class NodeEvents:
        @hook_impl
        def before_pipeline_run(self, catalog: Any) -> None:  # noqa: ANN401
            catalogs.append(catalog)

        @hook_impl
        def before_dataset_loaded(self, node: Any) -> None:  # noqa: ANN401
            began.setdefault(node.name, time.monotonic())

        @hook_impl
        def before_node_run(self, node: Any) -> None:  # noqa: ANN401
            began.setdefault(node.name, time.monotonic())
            log.add("node_started", node=node.name)

        @hook_impl
        def after_node_run(self, node: Any) -> None:  # noqa: ANN401
            log.add("node_finished", node=node.name, seconds=seconds(node))

        @hook_impl
        def on_node_error(self, error: Exception, node: Any) -> None:  # noqa: ANN401
            log.add("node_failed", node=node.name, seconds=seconds(node), error=repr(error)[:2000])

        @hook_impl
        def after_dataset_saved(self, dataset_name: str, node: Any) -> None:  # noqa: ANN401
            log.add("saved", node=node.name, dataset=dataset_name, seconds=seconds(node))
            sizes.submit(note_size, dataset_name, node)

    return NodeEvents()


def size_of(dataset: object) -> int | None:
    """Return the size in bytes of a dataset's file or folder; None if it has none.

    The path is read from protected attributes, as Kedro's datasets have no public one.
    """
    kept: Any = getattr(dataset, "_dataset", dataset)  # the one inside of a CachedDataset
    found = [getattr(kept, name, "") for name in ("_original_filepath", "_filepath", "_path")]
    if getattr(kept, "_version", None):
        found = [kept._get_load_path()]  # noqa: SLF001
    for path in (str(each).removeprefix("dbfs:") for each in found):
        for file in (Path(f"/dbfs{path}"), Path(path)):
            if path.startswith("/") and os.path.exists(file):  # noqa: PTH110 - /dbfs may answer with Errno 95
                files = file.rglob("*") if file.is_dir() else [file]
                return sum(each.stat().st_size for each in files if each.is_file())
    return None


@contextlib.contextmanager
def measuring() -> Iterator[futures.Executor]:
    """Provide a thread that measures sizes, so that no node waits; unfinished ones are dropped at the end."""
    pool = futures.ThreadPoolExecutor(1, "sizes")
    try:
        yield pool
    finally:
        futures.wait([pool.submit(int)], SIZES_SECONDS)
        pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def redirected_logging(log: RunLog) -> Iterator[None]:
    """Send every log record only to the run log, as console handlers would print it a second time."""
    handler = LogHandler(log)
    known = [logging.root, *(logging.getLogger(name) for name in list(logging.root.manager.loggerDict))]
    before = [(logger, logger.handlers[:]) for logger in known]
    for logger, handlers in before:
        logger.handlers = [h for h in handlers if isinstance(h, (logging.FileHandler, logging.NullHandler))]
    logging.root.addHandler(handler)
    logging.getLogger("py4j").setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, handlers in before:
            logger.handlers = handlers


@contextlib.contextmanager
def captured_output(log: RunLog) -> Iterator[None]:
    """Send the text that Python code prints to the run log."""
    out, err = Output(log, "stdout"), Output(log, "stderr")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


def forget(package_name: str) -> None:
    """Unload the project's modules, so that the current code of the Git folder runs."""
    for name in [each for each in sys.modules if f"{each}.".startswith(f"{package_name}.")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def takes(session_class: type, base: type, method: str) -> set[str]:
    """Return the names of a method's arguments; with `**kwargs`, also those of the base class's method."""
    known = dict(inspect.signature(getattr(session_class, method)).parameters)
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in known.values()):
        known.update(inspect.signature(getattr(base, method)).parameters)
    return set(known)


def accepted(known: set[str], options: dict[str, Any]) -> dict[str, Any]:
    """Keep the options that this Kedro has; raise TypeError for given options that it lacks."""
    if lacking := [name for name, value in options.items() if name not in known and value]:
        raise TypeError(f"The Kedro on the cluster has no option {', '.join(lacking)}; update it there.")
    return {name: value for name, value in options.items() if name in known}


def make_runner(options: dict[str, Any]) -> object:
    """Create the runner as `kedro run` does, from a class name, by default in kedro.runner."""
    from kedro.utils import load_obj

    arguments = dict(options.get("runner_params") or {})
    if options.get("is_async"):
        arguments["is_async"] = True
    return load_obj(options.get("runner") or "SequentialRunner", "kedro.runner")(**arguments)


def run_pipeline(request: dict[str, Any], log: RunLog) -> None:
    """Reload the project and run the request's pipelines."""
    with contextlib.redirect_stdout(io.StringIO()):  # Kedro prints which logging configuration it uses
        from kedro.framework.project import settings
    from kedro.framework.hooks import hook_impl
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    project_path = Path(request["project_path"])
    os.chdir(project_path)
    forget(request["package_name"])
    bootstrap_project(project_path)
    options = request["options"]
    with redirected_logging(log):
        session_class: Any = getattr(settings, "SESSION_CLASS", KedroSession)
        taken = [takes(session_class, KedroSession, method) for method in ("create", "run")]
        create = {"project_path": project_path, "env": options["env"], "conf_source": options["conf_source"]}
        run = {**request["run"], "runner": make_runner(options)}
        (create if "runtime_params" in taken[0] else run)["runtime_params"] = options["params"]
        names = run.pop("pipeline_names")
        if "pipeline_names" in taken[1]:
            run["pipeline_names"] = names
        elif len(names) > 1:
            raise TypeError("The Kedro on the cluster runs one pipeline at a time; update it there.")
        else:
            run["pipeline_name"] = next(iter(names), None)
        with session_class.create(**accepted(taken[0], create)) as session, measuring() as sizes:
            session._hook_manager.register(node_events(log, hook_impl, sizes))  # noqa: SLF001 - there is no public attribute
            session.run(**accepted(taken[1], run))


def project_traceback(error: BaseException) -> str:
    """Return the traceback from the first frame outside of this program."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))[-TEXT_LIMIT:]


def is_in_import(error: BaseException) -> bool:
    """Tell whether an import was interrupted, which leaves a package partly imported."""
    codes = (frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(each.co_name == "<module>" or "<frozen importlib" in each.co_filename for each in codes)


def has_lost_workspace(error: BaseException | None) -> bool:
    """Tell whether files below /Workspace may not be read any more: a process has access for 36 hours."""
    while error is not None:
        if isinstance(error, PermissionError) and str(error.filename).startswith("/Workspace/"):
            return True
        error = error.__cause__ or error.__context__
    return False


def main(request: dict[str, Any]) -> None:
    """Perform a `RunRequest`; the outcome is only in the log's end record."""
    os.environ.update(request["environment"])
    sys.dont_write_bytecode = True  # __pycache__ would make the Git folder dirty
    began = time.monotonic()
    log = RunLog(request["log_folder"])
    log.add("run", **request["facts"], python=sys.version.split()[0])
    end: dict[str, Any] = {"outcome": "failed", "error": "The run ended for an unknown reason."}
    try:
        with captured_output(log):
            run_pipeline(request, log)
        end = {"outcome": "completed"}
    except KeyboardInterrupt as error:
        end = {"outcome": "cancelled", "error": "The run was cancelled.", "spoiled": is_in_import(error)}
    except BaseException as error:  # noqa: BLE001 - also SystemExit, as the project may call sys.exit
        last_line = "".join(traceback.format_exception_only(type(error), error)).strip()[:2000]
        end = {"outcome": "failed", "error": last_line, "traceback": project_traceback(error)}
        if has_lost_workspace(error):
            end["spoiled"] = True
    finally:
        log.close(seconds=round(time.monotonic() - began, 3), **end)
