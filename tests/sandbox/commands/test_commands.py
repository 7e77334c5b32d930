"""Execution contexts and commands of API 1.2, on real kernels; Spark is in test_spark.py."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

import pytest
from databricks.sdk.errors import BadRequest
from databricks.sdk.service.compute import CommandStatus, ContextStatus, Language, ResultType

from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID, STOPPED_ID
from kedro_databricks_hybrid.sandbox.commands import model, routes
from kedro_databricks_hybrid.sandbox.core import bodies
from kedro_databricks_hybrid.sandbox.core.guesses import MAX_TEXT
from kedro_databricks_hybrid.sandbox.kernel.results import CUT, plain
from tests.sandbox.notebooks import Notebook, is_cancelled, is_gone, open_notebook

if TYPE_CHECKING:
    import httpx
    from databricks.sdk import WorkspaceClient

pytestmark = pytest.mark.processes


def test_the_sdk_runs_a_command(workspace: WorkspaceClient) -> None:
    """The SDK's calls and waiters work from create to destroy."""
    api = workspace.command_execution
    context = api.create_and_wait(cluster_id=RUNNING_ID, language=Language.PYTHON)
    assert context.status is ContextStatus.RUNNING
    assert context.id
    ids = {"cluster_id": RUNNING_ID, "context_id": context.id}
    done = api.execute_and_wait(**ids, language=Language.PYTHON, command="6 * 7")
    assert done.status is CommandStatus.FINISHED
    assert done.results
    assert (done.results.result_type, done.results.data) == (ResultType.TEXT, "42")
    under_way = api.execute(**ids, language=Language.PYTHON, command="import time; time.sleep(60)")
    asked = (RUNNING_ID, context.id, str(under_way.command_id))
    api.cancel(**ids, command_id=asked[-1])
    while (status := api.command_status(*asked)).status is not CommandStatus.FINISHED:
        assert status.status in {CommandStatus.CANCELLING, CommandStatus.RUNNING}
    cancelled = status.results
    assert cancelled
    assert cancelled.result_type is ResultType.ERROR
    assert "CommandCancelledException" in (cancelled.cause or "")
    api.destroy(**ids)
    with pytest.raises(BadRequest, match="execution context not found"):
        api.context_status(**ids)


def test_output_and_last_value_are_one_text(notebook: Notebook) -> None:
    """Printed text comes first, then the last value on a new line, without a newline at the end."""
    assert notebook.text("import sys\nprint('a', end='')\nprint('b', file=sys.stderr)\n{'c': 1}") == (
        "ab\n{'c': 1}"
    )


def test_nothing_to_show_is_an_empty_text(notebook: Notebook) -> None:
    """A command without output and value finishes with an empty text."""
    assert notebook.results("x = 1") == {"resultType": "text", "data": ""}


def test_names_live_as_long_as_the_context(notebook: Notebook) -> None:
    """A later command sees what an earlier one defined; another context does not."""
    notebook.text("x = 41")
    assert notebook.text("x + 1") == "42"
    assert "NameError" in open_notebook(notebook.http).results("x")["cause"]


def test_an_exception_finishes_with_an_error(notebook: Notebook) -> None:
    """The status is Finished; the results have a coloured traceback and no printed text."""
    results = notebook.results("print('before')\n1 / 0")
    assert results["resultType"] == "error"
    assert results["summary"] == "<span class='ansi-red-fg'>ZeroDivisionError</span>: division by zero"
    assert "\x1b[" in results["cause"]
    cause = plain(results["cause"])
    assert cause.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "1 / 0" in cause
    assert "before\n" not in cause
    assert "data" not in results
    assert notebook.text("1") == "1"


def test_bad_syntax_is_an_error(notebook: Notebook) -> None:
    """Code that cannot be parsed is the command's error too."""
    assert "SyntaxError" in notebook.results("for")["summary"]


@pytest.mark.parametrize("more", [0, 1, 100_000])
def test_long_text_is_cut(notebook: Notebook, more: int) -> None:
    """The middle of a text of more than 50,000 characters is dropped."""
    half = MAX_TEXT // 2
    code = f"""
text = 'a' * {half} + 'b' * {more} + 'c' * {half}
for start in range(0, len(text), 500): print(text[start:start + 500], end='', flush=True)"""
    results = notebook.results(code)
    assert results["data"] == "a" * half + (CUT if more else "") + "c" * half
    assert results.get("truncated", False) is (more > 0)


def test_a_picture_is_base64(notebook: Notebook) -> None:
    """A picture is the result, in the form that an img tag takes."""
    code = (
        "from IPython.display import Image; Image(b'\\x89PNG\\r\\n\\x1a\\n' + bytes(range(20)), format='png')"
    )
    results = notebook.results(code)
    assert results["resultType"] == "image"
    start, _, picture = results["fileName"].partition(",")
    assert start == "data:image/png;base64"
    assert base64.b64decode(picture) == b"\x89PNG\r\n\x1a\n" + bytes(range(20))


def test_a_displayed_data_frame_is_a_table(notebook: Notebook) -> None:
    """`display` of a data frame gives a schema and rows."""
    results = notebook.results("import pandas\ndisplay(pandas.DataFrame({'a': [1, 2], 'b': ['x', None]}))")
    assert results["resultType"] == "table"
    assert [column["name"] for column in results["schema"]] == ["a", "b"]
    assert results["data"] == [[1, "x"], [2, None]]
    assert results["truncated"] is False


def test_commands_run_one_after_another(notebook: Notebook) -> None:
    """The second command waits; cancelled while it waits, it never runs."""
    first = notebook.submit("import time; time.sleep(0.5); x = 1")
    second = notebook.submit("x = 2")
    third = notebook.submit("x")
    notebook.wait(first, "Running")
    assert notebook.command(second) == {"id": second, "status": "Queued", "results": None}
    notebook.ask("POST", "commands/cancel", commandId=second).raise_for_status()
    assert is_cancelled(notebook.command(second))
    assert notebook.wait(third)["results"]["data"] == "1"


def test_cancelling_leaves_the_context_usable(notebook: Notebook) -> None:
    """A cancelled command ends, and earlier definitions are kept."""
    notebook.text("x = 1")
    running = notebook.submit("import time\nwhile True: time.sleep(0.1)")
    notebook.wait(running, "Running")
    notebook.ask("POST", "commands/cancel", commandId=running).raise_for_status()
    assert is_cancelled(notebook.wait(running))
    assert notebook.text("x") == "1"


def test_an_interrupt_before_the_code_begins(notebook: Notebook) -> None:
    """An interrupt while the kernel's own code runs stops the command that begins, and no reply is lost."""
    notebook.text("""
        import os, signal

        def interrupt(*_):
            get_ipython().events.unregister("pre_run_cell", interrupt)
            os.kill(os.getpid(), signal.SIGINT)

        get_ipython().events.register("pre_run_cell", interrupt)
    """)
    assert "KeyboardInterrupt" in notebook.results("x = 2")["cause"]
    assert "NameError" in notebook.results("x")["summary"]


def test_cancelling_ends_a_shell_command(notebook: Notebook) -> None:
    """Processes that `%sh` started end with the cell."""
    running = notebook.submit("%sh\necho $$ > /dbfs/pid; sleep 300")
    pid = _number_in(notebook, "/dbfs/pid")
    notebook.ask("POST", "commands/cancel", commandId=running).raise_for_status()
    assert is_cancelled(notebook.wait(running))
    assert is_gone(pid)


def _number_in(notebook: Notebook, path: str) -> int:
    """Wait for a number that a running command writes to a file of DBFS."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        name = path.removeprefix("/dbfs")
        answer = notebook.http.get("/api/2.0/dbfs/read", params={"path": name})
        if answer.status_code == 200 and answer.json()["data"]:
            return int(base64.b64decode(answer.json()["data"]))
        time.sleep(0.02)
    raise AssertionError(path)


def test_a_command_that_will_not_end_loses_its_context(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process of code that ignores every interrupt is killed."""
    monkeypatch.setattr(model, "_SECONDS_PER_INTERRUPT", 0.1)
    stubborn = open_notebook(notebook.http)
    code = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
open("/Workspace/Shared/ready", "w").close()
time.sleep(600)
"""
    running = stubborn.submit(code)
    while notebook.http.get("/api/2.0/workspace/get-status?path=/Shared/ready").status_code != 200:
        assert stubborn.command(running)["status"] in {"Queued", "Running"}
        time.sleep(0.01)
    stubborn.ask("POST", "commands/cancel", commandId=running).raise_for_status()
    assert is_cancelled(stubborn.wait(running))
    assert stubborn.status() == "Error"


def test_cancelling_what_has_ended_changes_nothing(notebook: Notebook) -> None:
    """A finished command stays finished."""
    command = notebook.submit("1")
    notebook.wait(command)
    notebook.ask("POST", "commands/cancel", commandId=command).raise_for_status()
    assert notebook.command(command)["status"] == "Finished"


def test_a_dead_process_is_an_error_of_the_command(notebook: Notebook) -> None:
    """The running command and the context have status Error, and further commands are refused."""
    command = notebook.submit("import os, time; time.sleep(0.5); os._exit(3)")
    waiting = notebook.submit("1")
    answer = notebook.wait(command)
    assert answer["status"] == "Error"
    assert "exit status 3" in answer["results"]["cause"]
    assert is_cancelled(notebook.wait(waiting))
    assert notebook.status() == "Error"
    refusal = notebook.ask("POST", "commands/execute", language="python", command="1")
    assert refusal.status_code == 400
    assert "is invalid" in refusal.json()["error"]


@pytest.mark.parametrize("name", ["contextId", "clusterId", "command"])
def test_a_missing_parameter_is_named(notebook: Notebook, name: str) -> None:
    """The error has the form of API 1.2: a message without a code."""
    fields = {"clusterId": RUNNING_ID, "contextId": notebook.context, "language": "python", "command": "1"}
    del fields[name]
    refusal = notebook.http.post("/api/1.2/commands/execute", json=fields)
    assert (refusal.status_code, refusal.json()) == (400, {"error": f"requirement failed: missing {name}"})


def test_the_sdk_reads_the_refusal(workspace: WorkspaceClient) -> None:
    """The SDK's exception has the message."""
    with pytest.raises(BadRequest) as refused:
        workspace.command_execution.execute(cluster_id=RUNNING_ID)
    assert str(refused.value) == "requirement failed: missing contextId"


@pytest.mark.parametrize("body", ["", "[]", "{", '{"clusterId": 1, "language": "python"}', '"x"', "null"])
def test_a_malformed_body_is_refused(http: httpx.Client, body: str) -> None:
    """Anything but an object of strings is a bad request."""
    refusal = http.post("/api/1.2/contexts/create", content=body)
    assert refusal.status_code == 400
    assert refusal.json()["error"].startswith("requirement failed")


def test_a_command_that_is_too_long_is_refused(notebook: Notebook) -> None:
    """Six megabytes are the limit."""
    code = "#" * (routes.MAX_COMMAND_BYTES + 1)
    refusal = notebook.ask("POST", "commands/execute", language="python", command=code)
    assert refusal.status_code == 400
    assert "larger than" in refusal.json()["error"]
    assert notebook.text(code[:-1]) == ""


@pytest.mark.parametrize("language", ["scala", "sql", "r"])
def test_only_python_is_run(workspace: WorkspaceClient, language: str) -> None:
    """A context for another language is refused."""
    with pytest.raises(BadRequest, match=f"not {language}"):
        workspace.command_execution.create(cluster_id=RUNNING_ID, language=Language(language))


def test_a_stopped_cluster_holds_no_contexts(workspace: WorkspaceClient) -> None:
    """The cluster must exist and run."""
    with pytest.raises(BadRequest, match="is not running"):
        workspace.command_execution.create(cluster_id=STOPPED_ID, language=Language.PYTHON)
    with pytest.raises(BadRequest, match="does not exist"):
        workspace.command_execution.create(cluster_id="none", language=Language.PYTHON)


def test_contexts_end_with_their_cluster(notebook: Notebook, workspace: WorkspaceClient) -> None:
    """Terminating a cluster ends its contexts' processes; after a restart the contexts are unknown."""
    process = int(notebook.text("import os; os.getpid()"))
    workspace.clusters.delete_and_wait(RUNNING_ID)
    assert is_gone(process)
    assert "is not running" in notebook.ask("GET", "contexts/status").json()["error"]
    workspace.clusters.start_and_wait(RUNNING_ID)
    assert "does not exist" in notebook.ask("GET", "contexts/status").json()["error"]


def test_another_users_context_does_not_exist(notebook: Notebook, running: Any) -> None:
    """Only the owner of a context sees its status and its commands."""
    stranger = Notebook(running.http("stranger@example.com"), notebook.context)
    for method, path in [
        ("GET", "contexts/status"),
        ("POST", "contexts/destroy"),
        ("POST", "commands/execute"),
    ]:
        refusal = stranger.ask(method, path, language="python", command="1")
        assert refusal.status_code == 400
        assert "execution context not found" in refusal.json()["error"]
    assert notebook.text("1") == "1"


def test_the_longest_idle_context_gives_way(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit, the context that is idle for longest is evicted; one that was just used is not idle."""
    monkeypatch.setattr(routes, "MAX_CONTEXTS", 2)
    first, second = open_notebook(http), open_notebook(http)
    first.text("1")
    another = {"clusterId": RUNNING_ID, "language": "python"}
    assert http.post("/api/1.2/contexts/create", json=another).status_code == 400
    monkeypatch.setattr(routes, "IDLE_SECONDS", 0)
    third = open_notebook(http)
    assert "execution context not found" in second.ask("GET", "contexts/status").json()["error"]
    assert (first.status(), third.status()) == ("Running", "Running")
    busy = [notebook.submit("import time; time.sleep(60)") for notebook in (first, third)]
    first.wait(busy[0], "Running")
    third.wait(busy[1], "Running")
    refusal = http.post("/api/1.2/contexts/create", json=another)
    assert refusal.status_code == 400
    assert refusal.json()["error"].startswith("Too many execution contexts")


def test_destroying_leaves_nothing(notebook: Notebook, running: Any) -> None:
    """The process, its background processes and the context's files are deleted."""
    process = int(notebook.text("import os; os.getpid()"))
    background = int(notebook.text("%sh setsid sleep 300 > /dev/null 2>&1 & echo $!"))
    assert not is_gone(background, seconds=0.1)
    notebook.ask("POST", "contexts/destroy").raise_for_status()
    assert is_gone(process)
    assert is_gone(background)
    assert [path.name for path in running.sandbox.layout.kernels.iterdir()] == ["home"]


def test_a_pending_context_can_be_destroyed(http: httpx.Client, running: Any) -> None:
    """A context that is destroyed before it runs leaves nothing."""
    answer = http.post("/api/1.2/contexts/create", json={"clusterId": RUNNING_ID, "language": "python"})
    pending = Notebook(http, answer.json()["id"])
    pending.ask("POST", "contexts/destroy").raise_for_status()
    assert "does not exist" in pending.ask("GET", "contexts/status").json()["error"]
    assert [path.name for path in running.sandbox.layout.kernels.iterdir()] == ["home"]


def test_contexts_end_with_the_server(notebook: Notebook, running: Any) -> None:
    """A server that is stopped leaves no process."""
    process = int(notebook.text("import os; os.getpid()"))
    running.stop()
    assert is_gone(process)


def test_python_starts_without_spark(notebook: Notebook) -> None:
    """A context that does not use Spark starts no Java process and does not import PySpark."""
    assert notebook.text("import sys; 'pyspark' in sys.modules") == "False"
    assert notebook.text("%sh ps -o comm= --ppid $PPID | grep -c java || true") == "0"


def test_an_idle_process_that_dies_ends_its_context(notebook: Notebook) -> None:
    """The context's error names the exit status."""
    notebook.text("import os, threading; threading.Timer(0.2, os._exit, [4]).start()")
    deadline = time.monotonic() + 10
    while notebook.status() == "Running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    shown = notebook.ask("GET", "contexts/status").json()
    assert (shown["status"], shown["error"]) == ("Error", "The Python process ended with exit status 4.")


def test_old_commands_make_room(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest ended ones are deleted; the limit is a thousand, here one."""
    first, second = notebook.submit("1"), notebook.submit("2")
    notebook.wait(second)
    monkeypatch.setattr(model, "_KEPT_COMMANDS", 1)
    assert notebook.command(first)["status"] == "Finished"
    third = notebook.submit("3")
    assert notebook.wait(third)["results"]["data"] == "3"
    for gone in (first, second, "none"):
        assert notebook.ask("GET", "commands/status", commandId=gone).status_code == 400


def test_a_body_that_is_too_large_is_refused(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that is too large is refused before it is read completely, with an error of API 1.2."""
    monkeypatch.setattr(bodies, "MAX_JSON_BYTES", 10)
    refusal = http.post("/api/1.2/contexts/create", json={"clusterId": RUNNING_ID})
    assert 400 <= refusal.status_code < 500
    assert refusal.json()["error"]
