"""Compare the answers of the sandbox with those of a workspace: `make contract HOST=https://... PROFILE=...`.

Each check works in a folder, scope, schema or job of its own and removes it. Commands and runs need a
cluster: `cluster_id` of the profile, or DATABRICKS_CLUSTER_ID.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from databricks.sdk.core import Config

from kedro_databricks_hybrid.sandbox.app import Sandbox
from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID
from kedro_databricks_hybrid.sandbox.core.layout import Layout
from kedro_databricks_hybrid.sandbox.core.workspace_kinds import DEFAULT_KIND, KINDS
from tests.sandbox.objects import encoded
from tests.sandbox_server import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

Answers = Iterator[tuple[str, str]]
"""Rows, each with the answer of one workspace."""

VOLUME = "/Volumes/main/default/data"
_NOT_ASKED = "not asked"
_LONGEST = 300
_BRANCH = "other"
_HEADER = "# Databricks notebook source\n"
_ENDED = {"TERMINATED", "SKIPPED", "INTERNAL_ERROR"}


@dataclass
class Host:
    """A workspace that is asked.

    Args:
        config: The SDK's login.
        volume: A volume, as /Volumes/catalog/schema/name.
        git_url: A repository in which README.md differs between the default branch and `git_branch`; None to
            leave the checks of Git folders out.
        git_branch: A branch of it.
    """

    config: Config
    volume: str
    git_url: str | None = None
    git_branch: str = _BRANCH
    name: str = field(default_factory=lambda: f"contract-{uuid.uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        """Log in."""
        self.http = httpx.Client(base_url=str(self.config.host), auth=self._log_in, timeout=120)
        self.user = str(self.http.get("/api/2.0/preview/scim/v2/Me").raise_for_status().json()["userName"])

    def _log_in(self, request: httpx.Request) -> httpx.Request:
        request.headers.update(self.config.authenticate())
        return request

    @property
    def cluster(self) -> str | None:
        """The cluster of commands and runs."""
        return self.config.cluster_id

    @property
    def schema(self) -> str:
        """A name for a schema, which may have no hyphens."""
        return self.name.replace("-", "_")

    def ask(self, call: str, address: str, /, **fields: Any) -> httpx.Response:
        """Send a request; the fields of GET and DELETE are parameters, those of others a JSON body."""
        sent: dict[str, Any] = {"params" if call in {"GET", "DELETE"} else "json": fields}
        return self.http.request(call, f"/api/{address}", **sent)

    def answer(self, call: str, address: str, /, **fields: Any) -> str:
        """Return the status of an answer, with code and message of a refusal."""
        return self.shown(self.ask(call, address, **fields))

    def shown(self, answer: httpx.Response) -> str:
        """Return an answer without what differs between two requests."""
        if answer.is_success:
            return str(answer.status_code)
        try:
            body = answer.json()
        except ValueError:
            body = {"message": answer.text}
        words = [str(answer.status_code), body.get("error_code"), body.get("message") or body.get("error")]
        return self.plain(" ".join(str(word) for word in words if word))

    def plain(self, text: str) -> str:
        """Return a text without names, ids and addresses of this workspace and of this comparison."""
        known: dict[str, str] = {
            self.name: "NAME",
            self.schema: "NAME",
            self.user: "USER",
            self.volume: "VOLUME",
            self.git_url or "": "REMOTE",
            str(self.config.host): "HOST",
        }
        for value in sorted(known, key=len, reverse=True):
            text = text.replace(value, known[value]) if value else text
        text = re.sub(r"\b\d{4}-\d{6}-\w+", "CLUSTER", text)
        text = re.sub(r"\b(?=[a-f-]*\d)[0-9a-f-]{5,}\b", "#", " ".join(text.split()))
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _until(ask: Callable[[], Any], is_done: Callable[[Any], bool]) -> Any:
    """Ask again and again, less and less often, and return the first answer that is final."""
    pause = 0.02
    while not is_done(answer := ask()):
        time.sleep(pause)
        pause = min(pause * 1.5, 2)
    return answer


def login(host: Host) -> Answers:
    """Ask without and with a wrong token."""
    for row, headers in (("no token", {}), ("wrong token", {"Authorization": "Bearer dapi-nothing"})):
        answer = httpx.get(f"{host.config.host}/api/2.0/preview/scim/v2/Me", headers=headers)
        yield row, host.shown(answer)


def workspace_files(host: Host) -> Answers:
    """Ask about files, notebooks and folders of the workspace."""
    folder = f"/Users/{host.user}/{host.name}"
    host.ask("POST", "2.0/workspace/mkdirs", path=folder).raise_for_status()

    def put(name: str, text: str) -> str:
        return host.answer(
            "POST", "2.0/workspace/import", path=f"{folder}/{name}", content=encoded(text), format="AUTO"
        )

    def sent(name: str, text: str) -> None:
        address = f"/api/2.0/workspace-files/import-file{folder}/{name}?overwrite=true"
        host.http.post(address, content=text.encode()).raise_for_status()

    def listed(path: str) -> str:
        found = host.ask("GET", "2.0/workspace/list", path=path).json().get("objects", [])
        return ", ".join(sorted(f"{each['path'].rpartition('/')[2]} {each['object_type']}" for each in found))

    try:
        put("a.txt", "1")
        yield "file over a file", put("a.txt", "2")
        yield "folder with content is deleted", host.answer("POST", "2.0/workspace/delete", path=folder)
        for row, call in (("status", "get-status"), ("list", "list")):
            yield f"{row} of a missing path", host.answer("GET", f"2.0/workspace/{call}", path=f"{folder}/no")
        put("notebook.py", f"{_HEADER}1")
        put("module.py", "1")
        yield "notebook and module", listed(folder)
        host.ask("POST", "2.0/workspace/mkdirs", path=f"{folder}/sent")
        sent("sent/x.py", "1")
        sent("sent/x.py", f"{_HEADER}1")
        yield "file that becomes a notebook", listed(f"{folder}/sent")
        beside = f"/Repos/{host.user}/{host.name}.txt"
        yield (
            "file next to Git folders in /Repos",
            host.answer("POST", "2.0/workspace/import", path=beside, content=encoded("1"), format="AUTO"),
        )
        host.ask("POST", "2.0/workspace/delete", path=beside)
    finally:
        host.ask("POST", "2.0/workspace/delete", path=folder, recursive=True)


def git_folder(host: Host) -> Answers:
    """Ask about a Git folder."""
    if host.git_url is None:
        return
    path = f"/Repos/{host.user}/{host.name}"
    fields = {"provider": "gitHub", "path": path}
    wrong = {**fields, "url": "https://host.invalid/a/b.git"}
    yield "remote whose host does not exist", host.answer("POST", "2.0/repos", **wrong)
    made = host.ask("POST", "2.0/repos", url=host.git_url, **fields)
    repo = f"2.0/repos/{made.raise_for_status().json()['id']}"
    try:
        yield (
            "Git folder at a path that is taken",
            host.answer("POST", "2.0/repos", url=host.git_url, **fields),
        )
        status = host.ask("GET", "2.0/workspace/get-status", path=path, return_git_info=True).json()
        yield (
            "type of a Git folder",
            f"{status['object_type']} {' '.join(sorted(status.get('git_info', {})))}",
        )
        yield "branch that the remote does not have", host.answer("PATCH", repo, branch="no-such-branch")
        edited = {
            "path": f"{path}/README.md",
            "content": encoded("edited"),
            "format": "AUTO",
            "overwrite": True,
        }
        host.ask("POST", "2.0/workspace/import", **edited).raise_for_status()
        yield "checkout that would lose edits", host.answer("PATCH", repo, branch=host.git_branch)
    finally:
        host.ask("DELETE", repo)
    yield "deleted Git folder", host.answer("GET", repo)


def dbfs(host: Host) -> Answers:
    """Ask about files and folders on DBFS."""
    folder = f"/tmp/{host.name}"
    host.ask("POST", "2.0/dbfs/mkdirs", path=f"{folder}/empty").raise_for_status()
    file = f"{folder}/a"
    try:
        host.ask("POST", "2.0/dbfs/put", path=file, contents=encoded("1")).raise_for_status()
        yield "DBFS file over a file", host.answer("POST", "2.0/dbfs/put", path=file, contents=encoded("2"))
        read = host.ask("GET", "2.0/dbfs/read", path=file, offset=0, length=100).json()
        yield "DBFS read beyond the end", f"{read.get('bytes_read')} {read.get('data')}"
        yield "DBFS status of a missing path", host.answer("GET", "2.0/dbfs/get-status", path=f"{folder}/no")
        status = host.ask("GET", "2.0/dbfs/get-status", path=file).json()
        yield "DBFS modification time below a second", str(status["modification_time"] % 1000)
        yield (
            "DBFS list of an empty folder",
            str(host.ask("GET", "2.0/dbfs/list", path=f"{folder}/empty").json()),
        )
        yield "DBFS folder with content is deleted", host.answer("POST", "2.0/dbfs/delete", path=folder)
        yield "DBFS missing path is deleted", host.answer("POST", "2.0/dbfs/delete", path=f"{folder}/no")
        for row, target in (("onto a folder", "empty"), ("below a missing folder", "no/b")):
            fields = {"source_path": file, "destination_path": f"{folder}/{target}"}
            yield f"DBFS move {row}", host.answer("POST", "2.0/dbfs/move", **fields)
    finally:
        host.ask("POST", "2.0/dbfs/delete", path=folder, recursive=True)
    yield "path of a volume in the DBFS API", host.answer("GET", "2.0/dbfs/list", path=host.volume)


def volume(host: Host) -> Answers:
    """Ask about files and folders of a volume."""
    folder = f"{host.volume}/{host.name}"
    file = f"2.0/fs/files{folder}/sub/a"

    def put(content: bytes) -> str:
        return host.shown(host.http.put(f"/api/{file}?overwrite=false", content=content))

    try:
        yield "file of a volume whose folder is missing", put(b"1")
        yield "file of a volume over a file", put(b"2")
        yield (
            "file of a volume over a folder",
            host.shown(host.http.put(f"/api/2.0/fs/files{folder}/sub?overwrite=true", content=b"1")),
        )
        yield "missing file of a volume", host.answer("GET", f"2.0/fs/files{folder}/no")
        yield "missing folder of a volume", host.answer("GET", f"2.0/fs/directories{folder}/no")
        yield (
            "folder of a volume with content is deleted",
            host.answer("DELETE", f"2.0/fs/directories{folder}/sub"),
        )
    finally:
        for path in (file, f"2.0/fs/directories{folder}/sub", f"2.0/fs/directories{folder}"):
            host.ask("DELETE", path)


def secrets(host: Host) -> Answers:
    """Ask about secrets and their scope."""
    host.ask("POST", "2.0/secrets/scopes/create", scope=host.name).raise_for_status()
    try:
        yield "scope that exists", host.answer("POST", "2.0/secrets/scopes/create", scope=host.name)
        secret = {"scope": host.name, "key": "no"}
        yield "missing secret", host.answer("GET", "2.0/secrets/get", **secret)
        yield "missing secret is deleted", host.answer("POST", "2.0/secrets/delete", **secret)
    finally:
        host.ask("POST", "2.0/secrets/scopes/delete", scope=host.name)
    yield "missing scope", host.answer("GET", "2.0/secrets/list", scope=host.name)


def unity_catalog(host: Host) -> Answers:
    """Ask about a schema in the volume's catalog."""
    catalog = host.volume.split("/")[2]
    schema = f"{catalog}.{host.schema}"
    fields = {"name": host.schema, "catalog_name": catalog}
    host.ask("POST", "2.1/unity-catalog/schemas", **fields).raise_for_status()
    inside = {"catalog_name": catalog, "schema_name": host.schema, "name": "data", "volume_type": "MANAGED"}
    try:
        yield "schema that exists", host.answer("POST", "2.1/unity-catalog/schemas", **fields)
        host.ask("POST", "2.1/unity-catalog/volumes", **inside).raise_for_status()
        yield "schema that is not empty", host.answer("DELETE", f"2.1/unity-catalog/schemas/{schema}")
    finally:
        host.ask("DELETE", f"2.1/unity-catalog/volumes/{schema}.data")
        host.ask("DELETE", f"2.1/unity-catalog/schemas/{schema}")
    yield "missing schema", host.answer("GET", f"2.1/unity-catalog/schemas/{schema}")


def clusters(host: Host) -> Answers:
    """Ask about clusters and runs that are missing, stopped, or running already."""
    nothing = "0101-000000-nothing0"
    yield "missing cluster", host.answer("GET", "2.1/clusters/get", cluster_id=nothing)
    yield "missing cluster is started", host.answer("POST", "2.1/clusters/start", cluster_id=nothing)
    yield "missing run", host.answer("GET", "2.2/jobs/runs/get", run_id=1)
    create = {"language": "python", "clusterId": nothing}
    yield "context on a missing cluster", host.answer("POST", "1.2/contexts/create", **create)
    known = host.ask("GET", "2.1/clusters/list").json().get("clusters", [])
    stopped = [each["cluster_id"] for each in known if each["state"] == "TERMINATED"]
    if stopped:
        create["clusterId"] = stopped[0]
        yield "context on a stopped cluster", host.answer("POST", "1.2/contexts/create", **create)
    if host.cluster is not None:
        _start(host)
        yield "running cluster is started", host.answer("POST", "2.1/clusters/start", cluster_id=host.cluster)


def _start(host: Host) -> None:
    """Start the cluster, and wait until it runs."""

    def state() -> str:
        return str(host.ask("GET", "2.1/clusters/get", cluster_id=host.cluster).json().get("state"))

    if state() != "RUNNING":
        host.ask("POST", "2.1/clusters/start", cluster_id=host.cluster)
        _until(state, lambda found: found not in {"PENDING", "RESTARTING", "RESIZING", "TERMINATING"})


@contextlib.contextmanager
def _context(host: Host) -> Generator[dict[str, Any], None, None]:
    """Open a context on the cluster, and give the fields with which requests name it."""
    made = host.ask("POST", "1.2/contexts/create", language="python", clusterId=host.cluster)
    fields = {"clusterId": host.cluster, "contextId": made.raise_for_status().json()["id"]}
    _until(
        lambda: host.ask("GET", "1.2/contexts/status", **fields).json(),
        lambda status: status.get("status") != "Pending",
    )
    try:
        yield fields
    finally:
        host.ask("POST", "1.2/contexts/destroy", **fields)


# Each prints what the row shows.
_PROGRAMS = {
    "printed line": "print('a')",
    "value": "6 * 7",
    "command that raises": "1 / 0",
    "notebook that exits": "dbutils.notebook.exit('done')",
    "os.stat below /dbfs": """
import os
try:
    print(os.stat("/dbfs/no/such/file"))
except OSError as error:
    print(type(error).__name__, error.errno)
""",
    "unmount of a path that is not mounted": """
import re
try:
    print(dbutils.fs.unmount("/mnt/{name}"))
except Exception as error:
    print(*re.findall("is not whitelisted|Directory not mounted", str(error))[:1])
""",
    "rename onto a file of a volume": """
import os
folder = "{volume}/{name}-rename"
os.makedirs(folder)
for name in ("a", "b"):
    with open(f"{{folder}}/{{name}}", "w") as file:
        file.write(name)
try:
    os.replace(f"{{folder}}/a", f"{{folder}}/b")
    print(os.listdir(folder), open(f"{{folder}}/b").read())
except OSError as error:
    print(type(error).__name__, error.errno)
for name in os.listdir(folder):
    os.remove(f"{{folder}}/{{name}}")
os.rmdir(folder)
""",
}


def commands(host: Host) -> Answers:
    """Ask about commands in contexts of the cluster."""
    if host.cluster is None:
        return
    _start(host)

    def submit(code: str, context: dict[str, Any]) -> dict[str, Any]:
        sent = host.ask("POST", "1.2/commands/execute", language="python", command=code, **context)
        return {**context, "commandId": sent.raise_for_status().json()["id"]}

    def end(command: dict[str, Any]) -> dict[str, Any]:
        def is_done(found: dict[str, Any]) -> bool:
            return found.get("status") not in {"Queued", "Running", "Cancelling"}

        found: dict[str, Any] = _until(
            lambda: host.ask("GET", "1.2/commands/status", **command).json(), is_done
        )
        return found

    def shown(found: dict[str, Any]) -> str:
        results = found.get("results") or {}
        said = [results.get(key) for key in ("data", "summary")]
        words = [found.get("status"), results.get("resultType"), *said, found.get("error")]
        return host.plain(" ".join(str(word) for word in words if word is not None))

    with _context(host) as context:
        for row, program in _PROGRAMS.items():
            code = program.format(volume=host.volume, name=host.name)
            yield row, shown(end(submit(code, context)))
        text = end(submit("print('7' * 3_000_000)", context))["results"].get("data", "")
        yield "characters of a long output", f"{text.count('7'):,}, {' '.join(text.strip('7').split())}"
        started = submit("import time\ntime.sleep(600)", context)
        _until(
            lambda: host.ask("GET", "1.2/commands/status", **started).json(),
            lambda found: found.get("status") != "Queued",
        )
        host.ask("POST", "1.2/commands/cancel", **started)
        yield "cancelled command", shown(end(started))
        missing = {**context, "commandId": "no"}
        yield "status of a missing command", host.answer("GET", "1.2/commands/status", **missing)
        died = submit("import os\nos._exit(1)", context)
        yield "command whose Python process dies", shown(end(died))
    again = {"language": "python", "command": "1", **context}
    yield "command in a destroyed context", host.answer("POST", "1.2/commands/execute", **again)


def runs(host: Host) -> Answers:
    """Ask about runs of tasks that fail, and about jobs that can never run."""
    never = {"task_key": "a", "spark_python_task": {"python_file": "/a.py"}}
    yield (
        "job whose task has no compute",
        host.answer("POST", "2.2/jobs/create", name=host.name, tasks=[never]),
    )
    if host.cluster is None:
        return
    folder = f"/Users/{host.user}/{host.name}"
    script = {"path": f"{folder}/script.py", "content": encoded("print('said')\n1 / 0\n"), "format": "AUTO"}
    host.ask("POST", "2.0/workspace/mkdirs", path=folder).raise_for_status()
    try:
        host.ask("POST", "2.0/workspace/import", **script).raise_for_status()
        task = {"python_file": f"/Workspace{script['path']}"}
        sent = host.ask(
            "POST", "2.2/jobs/runs/submit", spark_python_task=task, existing_cluster_id=host.cluster
        )
        yield "run of one task without a key", host.shown(sent)
        if sent.is_success:
            run = _ended(host, sent.json()["run_id"])
            (one,) = run["tasks"]
            yield "key of a task that was submitted without one", str(one["task_key"])
            yield "Python file that fails", _state(host, run)
            output = host.ask("GET", "2.2/jobs/runs/get-output", run_id=one["run_id"]).json()
            yield "output of a task that fails", host.plain(f"{output.get('logs')} {output.get('error')}")
        yield from _run_of_a_job(host, folder)
    finally:
        host.ask("POST", "2.0/workspace/delete", path=folder, recursive=True)


def _run_of_a_job(host: Host, folder: str) -> Answers:
    first = {"notebook_path": f"{folder}/no"}
    tasks: list[dict[str, Any]] = [
        {"task_key": "a", "notebook_task": first, "existing_cluster_id": host.cluster},
        {
            "task_key": "b",
            "notebook_task": first,
            "existing_cluster_id": host.cluster,
            "depends_on": [{"task_key": "a"}],
        },
    ]
    made = host.ask("POST", "2.2/jobs/create", name=host.name, tasks=tasks).raise_for_status().json()
    try:
        settings = host.ask("GET", "2.2/jobs/get", **made).json()["settings"]
        yield "settings of a job that were not given", " ".join(sorted(settings.keys() - {"name", "tasks"}))
        sent = host.ask("POST", "2.2/jobs/run-now", **made, job_parameters={"undefined": "1"})
        yield "run-now with an undefined parameter", host.shown(sent)
        if not sent.is_success:
            sent = host.ask("POST", "2.2/jobs/run-now", **made)
        run = _ended(host, sent.json()["run_id"])
        states = {task["task_key"]: _state(host, task) for task in run["tasks"]}
        yield "task whose notebook is missing", states["a"]
        yield "task whose upstream failed", states["b"]
        whole = host.answer("GET", "2.2/jobs/runs/get-output", run_id=run["run_id"])
        yield "output of a run of several tasks", whole
    finally:
        host.ask("POST", "2.2/jobs/delete", **made)


def _ended(host: Host, run_id: int) -> dict[str, Any]:
    found: dict[str, Any] = _until(
        lambda: host.ask("GET", "2.2/jobs/runs/get", run_id=run_id).json(),
        lambda run: run["state"]["life_cycle_state"] in _ENDED,
    )
    return found


def _state(host: Host, run: dict[str, Any]) -> str:
    """Return the state of an ended run or task, with its code and its message."""
    state, details = run["state"], run.get("status", {}).get("termination_details", {})
    words = [
        state["life_cycle_state"],
        state.get("result_state"),
        details.get("code"),
        state.get("state_message"),
    ]
    return host.plain(" ".join(str(word) for word in words if word))


CHECKS = (
    *(login, workspace_files, git_folder, dbfs, volume, secrets, unity_catalog),
    *(clusters, commands, runs),
)


def answers(host: Host, checks: Iterable[Callable[[Host], Answers]] = CHECKS) -> dict[str, str]:
    """Return the answers of a workspace by their rows; a check that fails has a row that says why."""
    found: dict[str, str] = {}
    for check in checks:
        found.update(_answers_of(check, host))
    return found


def _answers_of(check: Callable[[Host], Answers], host: Host) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        found.update(check(host))  # row by row: a failure keeps those before it
    except httpx.HTTPStatusError as error:
        found[f"rest of {check.__name__}"] = f"stopped: {host.shown(error.response)}"
    except (httpx.HTTPError, LookupError, ValueError) as error:
        found[f"rest of {check.__name__}"] = host.plain(f"stopped: {type(error).__name__}: {error}")
    return found


def compared(ours: dict[str, str], theirs: dict[str, str]) -> list[tuple[str, str, str, str]]:
    """Return the table: row, the sandbox's answer, the workspace's, and whether they are the same."""
    rows = []
    for row in dict.fromkeys((*ours, *theirs)):
        pair = ours.get(row, _NOT_ASKED), theirs.get(row, _NOT_ASKED)
        rows.append(
            (row, *pair, _NOT_ASKED if _NOT_ASKED in pair else "same" if pair[0] == pair[1] else "NOT")
        )
    return rows


@contextlib.contextmanager
def sandbox(like: str) -> Generator[Host, None, None]:
    """Serve a sandbox, with a Git remote, until the comparison ends."""
    with tempfile.TemporaryDirectory(prefix="contract-") as folder:
        served = Sandbox(Layout(Path(folder, "home")), like=like)
        server = serve(served)
        try:
            config = Config(host=served.url, token=served.user.token, cluster_id=RUNNING_ID)
            host = Host(config, VOLUME, make_remote(Path(folder)))
            with contextlib.closing(host.http):
                yield host
        finally:
            server.stop()


def make_remote(folder: Path) -> str:
    """Make a repository of two branches whose README.md differ, and return its address."""
    repository = folder / "remote"
    git = ["git", "-C", str(repository), "-c", "user.name=Contract", "-c", "user.email=contract@example.com"]
    subprocess.run(["git", "init", "-q", "--initial-branch=main", str(repository)], check=True)
    for branch in ("main", _BRANCH):
        subprocess.run([*git, "checkout", "-q", "-B", branch], check=True)
        (repository / "README.md").write_text(f"{branch}\n", encoding="utf-8")
        subprocess.run([*git, "add", "README.md"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", branch], check=True)
    subprocess.run([*git, "checkout", "-q", "main"], check=True)
    return repository.as_uri()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table for the workspace of a host or profile, in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox.contract", description=__doc__)
    parser.add_argument("--host", help="the workspace's address; by default that of the profile")
    parser.add_argument("--profile", help="a profile of ~/.databrickscfg; by default the SDK's login")
    parser.add_argument("--volume", default=VOLUME, help="a volume to write to")
    parser.add_argument("--git-url", help="a repository in which README.md differs between two branches")
    parser.add_argument("--git-branch", default=_BRANCH, help="the branch that is not the default one")
    parser.add_argument("--like", choices=KINDS, default=DEFAULT_KIND, help="the kind of sandbox")
    given = parser.parse_args(arguments)
    try:
        config = Config(host=given.host or None, profile=given.profile or None)
        theirs = Host(config, given.volume, given.git_url or None, given.git_branch)
    except (ValueError, httpx.HTTPError) as error:
        raise SystemExit(f"The login failed: {error}") from error
    with contextlib.closing(theirs.http), sandbox(given.like) as ours:
        rows = compared(answers(ours), answers(theirs))
    for cells in (("row", "sandbox", "workspace", "same"), ("---",) * 4, *rows):
        sys.stdout.write(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n")
    counts = Counter(same for *_, same in rows)
    totals = ", ".join(f"{counts[each]} {each}" for each in ("same", "NOT", _NOT_ASKED))
    sys.stdout.write(f"\n{len(rows)} rows: {totals}.\n")


if __name__ == "__main__":
    main()
