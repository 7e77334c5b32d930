"""One task of a run, executed in a Python process of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.command_results import plain, restarts_python
from kedro_databricks_hybrid.sandbox.job_outcome import FAILED, MAX_OUTPUT, SUCCEEDED, Log, State, TaskOutput
from kedro_databricks_hybrid.sandbox.kernels import Kernel, KernelDiedError

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.kernels import Message, Reply
    from kedro_databricks_hybrid.sandbox.notebook_environment import NotebookEnvironment


@dataclass(frozen=True)
class Program:
    """What a task runs.

    Attributes:
        opening: Code that is run first, and again whenever Python is restarted.
        cells: The code, piece by piece.
        is_notebook: Whether it has a result, or else a log.
    """

    opening: str
    cells: tuple[str, ...]
    is_notebook: bool


class TaskProcess:
    """Runs one program to its end; cancelling that ends the process and all below it.

    Attributes:
        output: What it has said so far.
    """

    def __init__(self, environment: NotebookEnvironment, variables: dict[str, str], program: Program) -> None:
        self.output = TaskOutput()
        self._environment = environment
        self._variables = variables
        self._program = program
        self._log = Log()

    async def run(self) -> State:
        """Run the program and return how it ended."""
        kernel = await Kernel.start(self._environment, self._variables)
        try:
            waiting = [self._program.opening, *self._program.cells]
            while waiting:
                reply = await kernel.execute(waiting.pop(0), self._write)
                if reply.error == "NotebookExit":
                    self._exit_with(reply.value)
                    return SUCCEEDED
                if restarts_python(reply):
                    await kernel.end()
                    kernel = await Kernel.start(self._environment, self._variables)
                    waiting.insert(0, self._program.opening)
                elif reply.error is not None:
                    self._fail(reply)
                    return FAILED
        except KernelDiedError as error:
            self.output.error = str(error)
            return replace(FAILED, message=str(error))
        finally:
            self._finish()
            await kernel.end()
        return SUCCEEDED

    def _write(self, message: Message) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            self._log.add(content["text"])
        elif message["msg_type"] in {"execute_result", "display_data"}:
            self._log.add(content["data"].get("text/plain", "") + "\n")

    def _exit_with(self, value: str) -> None:
        content = value.encode(errors="replace")
        self.output.result = content[:MAX_OUTPUT].decode(errors="ignore")
        self.output.result_truncated = len(content) > MAX_OUTPUT

    def _fail(self, reply: Reply) -> None:
        redact = self._environment.access.redact
        self.output.error = redact(f"{reply.error}: {plain(reply.value)}")
        self.output.error_trace = redact(plain("\n".join(reply.traceback)))

    def _finish(self) -> None:
        redact = self._environment.access.redact
        if self._program.is_notebook:
            self.output.result = redact(self.output.result)
        else:
            self.output.logs = redact(self._log.text())
            self.output.logs_truncated = self._log.cut
