"""Convert the output of a kernel to the `results` of an API 1.2 command."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.kernel.access import TABLE

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.kernel.process import Message, Reply

MAX_TEXT = 50_000
"""The maximum number of characters that a command returns (`spark.databricks.driver.maxReplOutputLength`)."""

_TERMINAL_CODES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_NOTEBOOK_EXIT = "NotebookExit"
_PYTHON_RESTART = "PythonRestart"


class Output:
    """The output of one command so far, up to what it may return."""

    def __init__(self) -> None:
        self._text: list[str] = []
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
            self._write_line(f"Notebook exited: {reply.value}")
        elif reply.error is not None and not restarts_python(reply):
            return error_results(reply.error, reply.value, "\n".join(reply.traceback))
        if self._table is not None:
            return {"resultType": "table", "isJsonSchema": True, **self._table}
        if self._images:
            if len(self._images) > 1:
                return {"resultType": "images", "fileNames": self._images}
            return {"resultType": "image", "fileName": self._images[0]}
        text = "".join(self._text)
        results = {"resultType": "text", "data": text[:MAX_TEXT]}
        return {**results, "truncated": True} if len(text) > MAX_TEXT else results

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
        if self._text and not self._text[-1].endswith("\n"):
            self._write("\n")
        self._write(text if text.endswith("\n") else f"{text}\n")

    def _write(self, text: str) -> None:
        if text and self._length <= MAX_TEXT:
            self._text.append(text[: MAX_TEXT + 1])
            self._length += len(text)


def restarts_python(reply: Reply) -> bool:
    """Whether a command requested a new Python process."""
    return reply.error == _PYTHON_RESTART


def error_results(name: str, message: str, traceback: str) -> dict[str, Any]:
    """Return the results of a command that raised, which do not contain its output."""
    summary = f'<span class="ansi-red-fg">{html.escape(name)}</span>: {html.escape(plain(message))}'
    return {"resultType": "error", "summary": summary, "cause": plain(traceback)}


def plain(text: str) -> str:
    """Return a text without terminal colours."""
    return _TERMINAL_CODES.sub("", text)
