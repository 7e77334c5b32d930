"""How tasks and runs end, in the API's own words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MAX_OUTPUT = 5 * 1024 * 1024
"""Bytes of a task's logs (the last) or a notebook's result (the first) that are kept."""

WORKLOAD_FAILED = "Workload failed, see run output for details"
_TYPES = {
    "SUCCESS": "SUCCESS",
    "USER_CANCELED": "SUCCESS",
    "CANCELED": "CLIENT_ERROR",
    "RUN_EXECUTION_ERROR": "CLIENT_ERROR",
    "LIBRARY_INSTALLATION_ERROR": "CLIENT_ERROR",
    "REPOSITORY_CHECKOUT_FAILED": "CLIENT_ERROR",
    "INVALID_RUN_CONFIGURATION": "CLIENT_ERROR",
    "SKIPPED": "CLIENT_ERROR",
    "MAX_CONCURRENT_RUNS_EXCEEDED": "CLIENT_ERROR",
    "CLUSTER_ERROR": "CLOUD_FAILURE",
    "INTERNAL_ERROR": "INTERNAL_ERROR",
}


@dataclass
class State:
    """Where a run or a task of it is: the old form and the new one of the same thing."""

    life_cycle: str = "PENDING"
    result: str = ""
    message: str = ""
    code: str = ""

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self.life_cycle in {"TERMINATED", "SKIPPED", "INTERNAL_ERROR"}

    def describe(self) -> dict[str, Any]:
        """Return `state` and `status` as the API shows them."""
        state: dict[str, Any] = {
            "life_cycle_state": self.life_cycle,
            "state_message": self.message,
            "user_cancelled_or_timedout": self.result in {"CANCELED", "TIMEDOUT"},
        }
        if self.result:
            state["result_state"] = self.result
        status: dict[str, Any] = {"state": "TERMINATED" if self.is_final else self.life_cycle}
        if self.is_final:
            status["termination_details"] = {
                "code": self.code,
                "type": _TYPES.get(self.code, "INTERNAL_ERROR"),
                "message": self.message,
            }
        return {"state": state, "status": status}


SUCCEEDED = State("TERMINATED", "SUCCESS", "", "SUCCESS")
FAILED = State("TERMINATED", "FAILED", WORKLOAD_FAILED, "RUN_EXECUTION_ERROR")
CANCELLED = State("TERMINATED", "CANCELED", "Run cancelled.", "USER_CANCELED")
TIMED_OUT = State("TERMINATED", "TIMEDOUT", "Run timed out.", "CANCELED")
INTERRUPTED = State("INTERNAL_ERROR", "FAILED", "The workspace was restarted.", "INTERNAL_ERROR")
SUCCEEDED_PARTLY = State("TERMINATED", "SUCCESS_WITH_FAILURES", "", "SUCCESS")
# Not verified against a live workspace: life cycles and messages of tasks that are not begun.
UPSTREAM_FAILED = State("SKIPPED", "UPSTREAM_FAILED", "An upstream task failed.", "SKIPPED")
UPSTREAM_CANCELLED = State("SKIPPED", "UPSTREAM_CANCELED", "An upstream task was cancelled.", "SKIPPED")
EXCLUDED = State("SKIPPED", "EXCLUDED", "The conditions to run this task were not met.", "SKIPPED")
TOO_MANY = State(
    "SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED",
    "Skipped: the job has as many active runs as it may have.", "MAX_CONCURRENT_RUNS_EXCEEDED",
)  # fmt: skip


@dataclass
class TaskOutput:
    """What a task has said."""

    logs: str | None = None
    logs_truncated: bool = False
    result: str | None = None
    result_truncated: bool = False
    error: str = ""
    error_trace: str = ""

    def describe(self) -> dict[str, Any]:
        """Return it as `runs/get-output` shows it."""
        shown: dict[str, Any] = {}
        if self.logs is not None:
            shown |= {"logs": self.logs, "logs_truncated": self.logs_truncated}
        if self.result is not None:
            shown["notebook_output"] = {"result": self.result, "truncated": self.result_truncated}
        elif self.logs is None:
            shown["notebook_output"] = {"truncated": False}
        if self.error:
            shown |= {"error": self.error, "error_trace": self.error_trace}
        return shown


class TaskFailedError(Exception):
    """A task ends otherwise than its program would; `state` is how."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.state = State("INTERNAL_ERROR", "FAILED", message, code)


@dataclass
class Log:
    """The end of what a task writes; the beginning is dropped."""

    parts: list[str] = field(default_factory=list)
    length: int = 0
    cut: bool = False

    def add(self, text: str) -> None:
        """Write a text."""
        self.parts.append(text)
        self.length += len(text)
        if self.length > 2 * MAX_OUTPUT:
            self.parts = [self.text()]
            self.length = len(self.parts[0])

    def text(self) -> str:
        """Return the last of it."""
        content = "".join(self.parts).encode(errors="replace")
        self.cut = self.cut or len(content) > MAX_OUTPUT
        return content[-MAX_OUTPUT:].decode(errors="ignore")
