"""Apply the project's logging configuration, and send what it would show on a terminal to the run log.

Handlers that write to stdout or stderr stay as they are, since the streams themselves are captured. Rich
handlers are replaced: their records travel with all fields, and the client shows them as they would.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .process import is_in
from .run_log import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .run_log import RunLog

FILES_FOLDER = "files"
"""The folder beside the log for files that logging.yml has below the project."""

_COMPLETED = "Completed node: %s"  # what Kedro's runners log, also those that call no hooks
_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}
_COLUMNS = {"show_time": True, "show_level": True, "show_path": True, "time_format": "[%x %X]"}


class LogHandler(logging.Handler):
    """Sends log records to the run log, with the fields that Kedro's handler needs to show them as usual.

    Args:
        log: The run log.
        shown: The rich handler that it replaces.
    """

    def __init__(self, log: RunLog, shown: logging.Handler | None = None) -> None:
        super().__init__(shown.level if shown else logging.NOTSET)
        self._log = log
        self._markup = getattr(shown, "markup", True)
        self._columns: dict[str, Any] = {}
        if shown:
            self.filters, self.formatter = shown.filters, shown.formatter
            render = getattr(shown, "_log_render", None)
            found = {name: getattr(render, name, default) for name, default in _COLUMNS.items()}
            self._columns = {name: each for name, each in found.items() if each != _COLUMNS[name]}
            if shown.formatter and shown.formatter.datefmt:
                self._columns["time_format"] = shown.formatter.datefmt

    def emit(self, record: logging.LogRecord) -> None:
        """Add one record; one that cannot be formatted is reported as logging does, without an error."""
        if record.exc_info and record.exc_info[0] is KeyboardInterrupt and "py4j" in record.pathname:
            return  # py4j's errors in a cancelled run
        try:
            self._log.add("log", **self._fields(record))
            if record.msg == _COMPLETED and isinstance(record.args, tuple):
                node = str(record.args[0])
                if node not in self._log.finished:
                    self._log.add("node_finished", node=node)
        except Exception:  # noqa: BLE001 - log records may contain any object
            self.handleError(record)

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "level": record.levelno,
            "name": record.name,
            "message": self._message(record),
            "path": record.pathname,
            "line": record.lineno,
        }
        if _LEVELS.get(record.levelno) != record.levelname:
            fields["level_name"] = record.levelname
        if hasattr(record, "rich_format") and isinstance(record.args, tuple) and not self.formatter:
            arguments = [str(argument) for argument in record.args]
            fields.update(template=record.msg, args=arguments, rich_format=record.rich_format)
        if not getattr(record, "markup", self._markup):
            fields["markup"] = False
        if not getattr(record, "highlighter", True):
            fields["highlighter"] = False
        if self._columns:
            fields["columns"] = self._columns
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else record.exc_text
        if trace or record.stack_info:
            fields["traceback"] = "\n".join(each for each in (trace, record.stack_info) if each)
        return fields

    def _message(self, record: logging.LogRecord) -> str:
        """Return the message as the handler's formatter has it, without the traceback."""
        record.message = record.getMessage()
        if self.formatter is None:
            return record.message
        if self.formatter.usesTime():
            record.asctime = self.formatter.formatTime(record, self.formatter.datefmt)
        return self.formatter.formatMessage(record)


@contextlib.contextmanager
def project_logging(log: RunLog, folder: str, log_folder: str) -> Iterator[None]:
    """Configure logging as Kedro does in a new process, until the block ends.

    Args:
        log: The run log.
        folder: The Git folder, in which no log file is written.
        log_folder: The folder of the run log.
    """
    # Before the import, on which Kedro applies the configuration of the project in the working directory.
    before = {logger: _State.of(logger) for logger in _loggers()}
    with contextlib.redirect_stdout(io.StringIO()):  # Kedro says which one it uses
        import kedro.framework.project as framework

    logging_before = framework.LOGGING
    configured: set[str] = set()
    has_own = "KEDRO_LOGGING_CONFIG" in os.environ or any(Path("conf").glob("logging.*"))
    with tempfile.TemporaryDirectory() as scratch:

        class ProjectLogging(framework._ProjectLogging):  # noqa: SLF001 - there is no public class
            def configure(self, logging_config: dict[str, Any]) -> None:
                super().configure(_without_files_in(folder, logging_config, scratch, log))
                configured.update(logging_config.get("loggers") or {})
                for logger in _loggers():
                    if not logger.name.startswith("kedro"):
                        # disable_existing_loggers: in a new process only Kedro's own exist at this time.
                        logger.disabled = False
                    is_plain = logger is logging.root and not has_own
                    logger.handlers = [_replacement(each, log, is_plain=is_plain) for each in logger.handlers]
                py4j = logging.getLogger("py4j")
                if py4j.level == logging.NOTSET:
                    py4j.setLevel(logging.ERROR)

        names_file = logging.getLogger(framework.__name__)  # Kedro says which configuration it uses
        if not has_own:
            names_file.addFilter(_nothing)
        framework.LOGGING = ProjectLogging()
        names_file.removeFilter(_nothing)
        try:
            yield
        finally:
            framework.LOGGING = logging_before
            _restore(before, configured)
            _keep_files(Path(scratch), Path(log_folder, FILES_FOLDER))


def _nothing(_: logging.LogRecord) -> bool:
    return False


class _State(NamedTuple):
    """What a logging configuration changes of a logger; the defaults are those of a new one."""

    level: int = logging.NOTSET
    propagate: bool = True
    disabled: bool = False
    handlers: tuple[logging.Handler, ...] = ()
    filters: tuple[Any, ...] = ()

    @classmethod
    def of(cls, logger: logging.Logger) -> _State:
        handlers, filters = tuple(logger.handlers), tuple(logger.filters)
        return cls(logger.level, logger.propagate, logger.disabled, handlers, filters)

    def restore(self, logger: logging.Logger) -> None:
        for handler in logger.handlers:
            if handler not in self.handlers:
                handler.close()
        logger.setLevel(self.level)
        logger.propagate, logger.disabled = self.propagate, self.disabled
        logger.handlers, logger.filters = list(self.handlers), list(self.filters)


def _loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict.copy().values()
    return [logging.root, *(each for each in known if isinstance(each, logging.Logger))]


def _restore(before: dict[logging.Logger, _State], configured: set[str]) -> None:
    """Restore all loggers; of new ones, the configured ones become as logging makes them."""
    for logger in _loggers():
        if logger in before or logger.name in configured:
            before.get(logger, _State()).restore(logger)


def _replacement(handler: logging.Handler, log: RunLog, *, is_plain: bool) -> logging.Handler:
    """Return the handler for the records of a rich handler, or of a plain one in a process without rich."""
    if any(base.__name__ == "RichHandler" for base in type(handler).__mro__):
        return LogHandler(log, handler)
    return LogHandler(log) if is_plain and type(handler) is logging.StreamHandler else handler


def _without_files_in(folder: str, config: dict[str, Any], scratch: str, log: RunLog) -> dict[str, Any]:
    """Return a logging configuration whose files lie outside of the Git folder, and say what was changed."""
    handlers = dict(config.get("handlers") or {})
    for name, handler in handlers.items():
        file = handler.get("filename") if isinstance(handler, dict) else None
        if not isinstance(file, str):
            continue
        path = Path(file).absolute()
        if is_in(folder, str(path)):
            below = os.path.relpath(path, Path.cwd()).replace("..", "_")
            moved = Path(scratch, below)
            moved.parent.mkdir(parents=True, exist_ok=True)
            handlers[name] = {**handler, "filename": str(moved)}
            log.say(
                f"Logging handler {name}: {file} lies in the code's folder, so it is kept in {FILES_FOLDER}/ "
                "beside this run's log instead."
            )
        elif reason := _why_not_writable(path):
            handlers[name] = {"class": "logging.NullHandler"}
            log.say(f"Logging handler {name} is left out: {path} cannot be written here ({reason}).")
    return {**config, "handlers": handlers}


def _why_not_writable(path: Path) -> str | None:
    try:
        with path.open("a"):
            return None
    except OSError as error:
        return error.strerror or type(error).__name__


def _keep_files(scratch: Path, target: Path) -> None:
    """Copy log files beside the run log: on the disk of the cluster they would be lost."""
    for path in sorted(scratch.rglob("*")):
        if path.is_file() and path.stat().st_size:
            copy = target / path.relative_to(scratch)
            copy.parent.mkdir(parents=True, exist_ok=True)
            with (
                path.open(errors="surrogateescape") as lines,
                copy.open("w", errors="surrogateescape") as kept,
            ):
                kept.writelines(map(redacted, lines))
