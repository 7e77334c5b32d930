"""Kernel processes: how they start for each kind of user, and that none is left."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
import zmq

from kedro_databricks_hybrid.sandbox import connection
from kedro_databricks_hybrid.sandbox.__main__ import main
from kedro_databricks_hybrid.sandbox.app import Sandbox
from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID
from kedro_databricks_hybrid.sandbox.commands.model import Context
from kedro_databricks_hybrid.sandbox.core.layout import Layout
from kedro_databricks_hybrid.sandbox.kernel import kinds
from tests.sandbox.notebooks import Notebook, is_gone, open_notebook, serve
from tests.sandbox.users_of_the_machine import ALLOWED, REFUSED

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes

_BACKGROUND = "%sh setsid sleep 300 > /dev/null 2>&1 & echo $!"


def test_a_killed_server_leaves_no_process(tmp_path: Path) -> None:
    """After SIGKILL of the server the kernel and its background processes end."""
    with serve(tmp_path / "home") as server:
        notebook = open_notebook(server.http)
        kernel = int(notebook.text("import os; os.getpid()"))
        background = int(notebook.text(_BACKGROUND))
        assert not is_gone(background, seconds=0.1)
        notebook.submit("import time; time.sleep(300)")
        server.process.send_signal(signal.SIGKILL)
        assert is_gone(kernel)
        assert is_gone(background)


def test_a_killed_server_leaves_no_run(tmp_path: Path) -> None:
    """A run's process ends with the server; on the next server the run has failed."""
    with serve(tmp_path / "home") as server:
        source = "import os, time\nopen('/dbfs/pid', 'w').write(str(os.getpid()))\ntime.sleep(300)"
        (server.home / "roots" / "dbfs" / "job.py").write_text(source)
        program = {"python_file": "dbfs:/job.py"}
        task = {"task_key": "a", "existing_cluster_id": RUNNING_ID, "spark_python_task": program}
        submitted = server.http.post("/api/2.2/jobs/runs/submit", json={"tasks": [task]}).json()
        pid = server.home / "roots" / "dbfs" / "pid"
        deadline = time.monotonic() + 30
        while not (pid.is_file() and pid.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        server.process.send_signal(signal.SIGKILL)
        assert is_gone(int(pid.read_text()))
        server.process.wait()
    with serve(tmp_path / "home") as server:
        run = server.http.get("/api/2.2/jobs/runs/get", params=submitted).json()
        assert run["state"]["result_state"] == "FAILED"
        assert [path.name for path in (server.home / "kernels").iterdir()] == ["home"]


def test_a_terminated_server_leaves_no_process(tmp_path: Path) -> None:
    """SIGTERM ends all processes, also during a command, and deletes the contexts' files."""
    with serve(tmp_path / "home") as server:
        notebook = open_notebook(server.http)
        kernel = int(notebook.text("import os; os.getpid()"))
        background = int(notebook.text(_BACKGROUND))
        notebook.submit("import time; time.sleep(300)")
        server.process.terminate()
        assert server.process.wait(timeout=20) == 0
        assert is_gone(kernel)
        assert is_gone(background)
        assert [path.name for path in (server.home / "kernels").iterdir()] == ["home"]


@pytest.mark.parametrize("seconds", [0, 0.005, 0.02, 0.1, 0.5])
def test_a_context_closed_while_it_starts_leaves_nothing(tmp_path: Path, seconds: float) -> None:
    """Closing a context while it starts leaves no process and no sockets, which would block later."""
    sandbox = Sandbox(Layout(tmp_path / "home"))
    before = _processes_and_sockets()

    async def close_early() -> None:
        environment = sandbox.notebook_environment("1", sandbox.user)
        context = Context(environment, RUNNING_ID, sandbox.user.name, "17.3")
        while not (environment.folder / "kernel.log").exists():
            assert context.status == "Pending", context.error
            await asyncio.sleep(0.001)
        await asyncio.sleep(seconds)
        await context.close("enough")

    asyncio.run(close_early())
    assert _processes_and_sockets() <= before


def test_a_context_closed_while_its_process_ends_leaves_nothing(tmp_path: Path) -> None:
    """The close waits until the end that has begun is complete."""
    sandbox = Sandbox(Layout(tmp_path / "home"))
    before = _processes_and_sockets()

    async def close_twice() -> None:
        environment = sandbox.notebook_environment("1", sandbox.user)
        context = Context(environment, RUNNING_ID, sandbox.user.name, "17.3")
        while context.status == "Pending":  # noqa: ASYNC110 - nothing tells of a status
            await asyncio.sleep(0.01)
        context.submit("import os; os._exit(3)")
        while context.status == "Running":  # noqa: ASYNC110
            await asyncio.sleep(0)
        await context.close("enough")

    asyncio.run(close_twice())
    assert _processes_and_sockets() <= before


def _processes_and_sockets() -> set[tuple[str, int]]:
    """Return the running Python processes of contexts and their open sockets."""
    contexts = [each for each in gc.get_objects() if issubclass(type(each), zmq.Context) and not each.closed]
    return {("process", child.pid) for child in psutil.Process().children()} | {
        ("sockets", id(each)) for each in contexts
    }


def test_the_next_server_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """Files of contexts that no longer exist are deleted."""
    with serve(tmp_path / "home") as server:
        notebook = open_notebook(server.http)
        server.process.kill()
        server.process.wait()
        left = tmp_path / "home" / "kernels" / notebook.context
        assert left.exists()
    with serve(tmp_path / "home") as server:
        assert not left.exists()
        assert "does not exist" in Notebook(server.http, notebook.context).ask("GET", "contexts/status").text


@pytest.mark.namespaces
def test_an_ordinary_user_needs_no_root(tmp_path: Path) -> None:
    """A user without privileges gets the same paths, keeps the user id, and installs packages."""
    with serve(tmp_path / "home", ALLOWED) as server:
        notebook = open_notebook(server.http)
        said = notebook.text(
            "import os\nopen('/dbfs/x', 'w').write('y')\nos.getuid(), os.listdir('/Workspace')"
        )
        assert said.startswith("(1000, ")
        assert (tmp_path / "home" / "roots" / "dbfs" / "x").read_text() == "y"
        assert "Successfully installed parse-" in notebook.text("%pip install --no-index parse")
        assert notebook.text("import parse, pandas") == ""


def test_a_long_home_works(tmp_path: Path) -> None:
    """Paths of sockets must be short; a home with a long path works."""
    home = tmp_path / ("long" * 30) / "and blanks"
    home.mkdir(parents=True)
    with serve(home) as server:
        assert open_notebook(server.http).text("1 + 1") == "2"


def test_sockets_that_a_killed_server_left_elsewhere_are_removed(tmp_path: Path) -> None:
    """The sockets of a long home are in the machine's temporary folder."""
    home = tmp_path / ("long" * 30)
    home.mkdir()
    with serve(home) as server:
        notebook = open_notebook(server.http)
        server.process.kill()
        server.process.wait()
        sockets = (home / "kernels" / notebook.context / "sockets").readlink()
        assert sockets.exists()
    with serve(home):
        assert not sockets.exists()


@pytest.mark.parametrize("name", ["connection.json", "kernel.log"])
def test_files_are_their_owners_alone(tmp_path: Path, name: str) -> None:
    """Other users of the machine can read neither a kernel's key nor its log."""
    with serve(tmp_path / "home") as server:
        notebook = open_notebook(server.http)
        file = server.home / "kernels" / notebook.context / name
        assert file.stat().st_mode & 0o077 == 0


def test_a_machine_that_refuses_namespaces_has_portable_kernels(tmp_path: Path) -> None:
    """An ordinary user needs nothing else, and background processes end with the server."""
    with serve(tmp_path / "home", REFUSED) as server:
        announced = connection.read(server.home)
        assert announced is not None
        assert announced.kernels == "portable"
        notebook = open_notebook(server.http)
        found = notebook.text("import os; os.getcwd(), os.listdir('/Workspace/Users')")
        assert found == "('/databricks/driver', ['user@example.com'])"
        kernel, background = int(notebook.text("os.getpid()")), int(notebook.text(_BACKGROUND))
        server.process.send_signal(signal.SIGKILL)
        assert is_gone(kernel)
        assert is_gone(background)


def test_a_requested_kind_that_is_refused_starts_no_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names the cause. Without the option, the server starts and works, except for running code."""
    monkeypatch.setattr(kinds, "_refusal", lambda _: "Namespaces are refused here.")
    monkeypatch.setattr(kinds, "chosen", kinds.chosen.__wrapped__)
    assert main(["--home", str(tmp_path / "home"), "--kernels", "namespace"]) == 1
    assert capsys.readouterr().err == "Namespaces are refused here.\n"
    assert not (tmp_path / "home").exists()


def test_a_machine_without_any_kind_of_kernel_says_so(
    monkeypatch: pytest.MonkeyPatch, http: httpx.Client
) -> None:
    """The context has status Error and names the cause."""
    monkeypatch.setattr(kinds, "chosen", lambda _: kinds.Kernels(kinds.PORTABLE, refusal="No compiler here."))
    fields = {"clusterId": RUNNING_ID, "language": "python"}
    notebook = Notebook(http, http.post("/api/1.2/contexts/create", json=fields).json()["id"])
    deadline = time.monotonic() + 20
    while notebook.status() == "Pending":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    shown = notebook.ask("GET", "contexts/status").json()
    assert (shown["status"], shown["error"]) == ("Error", "No compiler here.")
    refusal = notebook.ask("POST", "commands/execute", language="python", command="1")
    assert refusal.status_code == 400
    assert "No compiler here." in refusal.json()["error"]
