"""Convert the output of a kernel to the `results` of an API 1.2 command."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.guesses import MAX_TEXT
from kedro_databricks_hybrid.sandbox.kernel.access import TABLE

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.kernel.process import Message, Reply

CUT = "\n\n*** WARNING: max output size exceeded, skipping output. ***\n\n"
"""What stands for the middle of a longer output."""

_HALF = MAX_TEXT // 2
_MANY = 100  # pieces of output, after which those that cannot be returned are dropped
_TERMINAL_CODES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_NOTEBOOK_EXIT = "NotebookExit"
_PYTHON_RESTART = "PythonRestart"


class Output:
    """The output of one command so far, up to what it may return: its beginning and its end."""

    def __init__(self) -> None:
        self._start = ""
        self._end: list[str] = []
        self._length = 0
        self._images: list[str] = []
        self._table: dict[str, Any] | None = None

    def add(self, message: Message) -> None:
        """Add one message of the kernel's output."""
        content = message["content"]
        kind = message["msg_type"]
        if kind == "stream":
            self._write(content["text"])
        elif kind in {"execute_result", "display_data"}:
            self._show(content["data"])

    def results(self, reply: Reply) -> dict[str, Any]:
        """Return the `results` of an ended command, as `commands/status` shows them."""
        if reply.error == _NOTEBOOK_EXIT:
            return {"resultType": "text", "data": reply.value}
        if reply.error is not None and not restarts_python(reply):
            return error_results(reply.error, reply.value, "\n".join(reply.traceback))
        if self._table is not None:
            return {"resultType": "table", "isJsonSchema": True, **self._table}
        if self._images:
            if len(self._images) > 1:
                return {"resultType": "images", "fileNames": self._images}
            return {"resultType": "image", "fileName": self._images[0]}
        text = self._start + "".join(self._end)
        if self._length > MAX_TEXT:
            text = f"{text[:_HALF]}{CUT}{text[-_HALF:]}"
        results = {"resultType": "text", "data": text.rstrip("\n")}
        return {**results, "truncated": True} if self._length > MAX_TEXT else results

    def _show(self, data: dict[str, Any]) -> None:
        picture = next((name for name in ("image/png", "image/jpeg") if name in data), None)
        if TABLE in data:
            self._table = data[TABLE]
        elif picture:
            self._images.append(f"data:{picture};base64,{''.join(data[picture].split())}")
        elif "text/plain" in data:
            self._write_line(data["text/plain"])

    def _write_line(self, text: str) -> None:
        """Write a value on a new line."""
        last = self._end[-1] if self._end else self._start
        if last and not last.endswith("\n"):
            self._write("\n")
        self._write(text if text.endswith("\n") else f"{text}\n")

    def _write(self, text: str) -> None:
        self._length += len(text)
        room = _HALF - len(self._start)
        self._start += text[:room]
        if text[room:]:
            self._end.append(text[room:])
        if len(self._end) > _MANY:
            self._end = ["".join(self._end)[-MAX_TEXT:]]


def restarts_python(reply: Reply) -> bool:
    """Whether a command requested a new Python process."""
    return reply.error == _PYTHON_RESTART


def error_results(name: str, message: str, traceback: str) -> dict[str, Any]:
    """Return the results of a command that raised, which do not contain its output.

    The summary is HTML; the cause has the terminal colours of the traceback.
    """
    summary = f"<span class='ansi-red-fg'>{_escaped(name)}</span>: {_escaped(plain(message))}"
    return {"resultType": "error", "summary": summary, "cause": traceback}


def _escaped(text: str) -> str:
    return html.escape(text).replace("&#x27;", "&#39;")


def plain(text: str) -> str:
    """Return a text without terminal colours."""
    return _TERMINAL_CODES.sub("", text)
