"""The campaign: one sandbox, and two users, each with a project, a Git remote and a login."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass, replace
from pathlib import Path

from kedro_databricks_hybrid.cli import sandbox, sandbox_process
from kedro_databricks_hybrid.sandbox import connection
from tests.e2e.commands import Result, Shell, Started, provide_package
from tests.e2e.conftest import COLLEAGUE, token_of
from tests.project_fixtures import make_project
from tests.soak.history import History
from tests.soak.processes import wait_for_no_orphans

NODES = "src/tiny_shop/pipeline_registry.py"
RAW = "data/01_raw/raw.csv"
SCALED = "data/02_intermediate/scaled.csv"

_NODES = """\
import time
from pathlib import Path

from kedro.pipeline import node, pipeline

FACTOR = {factor}


def scale(raw, what):
    if what == "fail":
        raise ValueError("asked to fail")
    if what != "go":
        print("waiting", flush=True)
        while not Path(what).exists():
            time.sleep(0.05)
    return raw * FACTOR


def register_pipelines():
    return {{"__default__": pipeline([node(scale, ["raw", "params:what"], "scaled", name="scale")])}}
"""
_CATALOG = f"""\
raw:
  type: pandas.CSVDataset
  filepath: {RAW}
scaled:
  type: pandas.CSVDataset
  filepath: {SCALED}
  save_args:
    index: false
"""
_SETTINGS = """\
code:
  folder: /Workspace/Repos/{user}/shop
compute:
  cluster: sandbox
"""
LINKS = {"linked.py": NODES, "linked": "conf/base", "conf/up": "../conf", "nowhere": "nothing"}
_FIRST_RAW = "a\n1\n2\n"


@dataclass
class User:
    """A user with a project and a shell in it.

    Attributes:
        name: The user name on Databricks.
        shell: A shell in the project.
        login: The option that selects the login.
        token: The access token.
        history: The expected state of the project.
    """

    name: str
    shell: Shell
    login: str
    token: str
    history: History

    def command(self, verb: str) -> str:
        """Return the command line of a verb such as `data push`."""
        return f"kedro databricks {verb} {self.login}".rstrip()

    def ok(self, verb: str) -> Result:
        """Run a command that must succeed."""
        return self.shell.ok(self.command(verb))

    def run(self, verb: str) -> Result:
        """Run a command that may fail."""
        return self.shell.run(self.command(verb))

    def start(self, verb: str) -> Started:
        """Start a command."""
        return self.shell.start(self.command(verb))

    def at(self, project: Path) -> User:
        """Return the same user in another project."""
        return replace(self, shell=replace(self.shell, folder=project))

    def edit(self, factor: int) -> None:
        """Change the code and commit."""
        (self.shell.folder / NODES).write_text(_NODES.format(factor=factor))
        self.shell.ok(f"git commit -q --allow-empty -a -m 'Multiply by {factor}'")
        self.history.head = self.shell.ok("git rev-parse HEAD").out.strip()
        self.history.factors[self.history.head] = factor

    @property
    def git_folder(self) -> Path:
        """The folder of this user's Git folder on this machine."""
        return self.shell.home / "roots" / "Workspace" / "Repos" / self.name / "shop"

    @property
    def data_root(self) -> Path:
        """The folder of this user's data root on this machine."""
        return self.shell.home / "roots" / "dbfs" / "soak" / self.name


class Campaign:
    """The sandbox and its users.

    Args:
        scratch: An empty folder for all files.
    """

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.home = scratch / "home"
        self.users: list[User] = []

    def open(self) -> None:
        """Start the sandbox and create the users' projects."""
        _isolate(self.scratch)
        colleagues_token = token_of(self.home, COLLEAGUE)
        self.start()
        provide_package(self.home)
        running = self.running()
        self.users = [
            _user(self.scratch, running.user, "--profile=sandbox", running.token),
            _user(self.scratch, COLLEAGUE, "", colleagues_token),
        ]
        self.users[1].shell.environment = {
            "DATABRICKS_HOST": running.host,
            "DATABRICKS_TOKEN": colleagues_token,
        }

    def running(self) -> connection.Connection:
        """Return the connection to the sandbox."""
        return sandbox_process.require_running()

    def start(self) -> None:
        """Start the sandbox, on the same port as before."""
        sandbox_process.start(None)

    def kill(self) -> None:
        """Kill the sandbox's server, as the kernel does when it is out of memory."""
        server = self.running().pid
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)

    def fault(self, effect: str, **details: object) -> None:
        """Add a fault."""
        sandbox.ask_sandbox("POST", "/sandbox/faults", {"effect": effect, **details})

    def clear_faults(self) -> None:
        """Remove all faults."""
        sandbox.ask_sandbox("DELETE", "/sandbox/faults", None)

    def note(self, words: str) -> None:
        """Print what the step does."""
        print(words, flush=True)

    def gate(self, name: str) -> Path:
        """Return the path on this machine of a file that a run can wait for."""
        return self.home / "roots" / "dbfs" / f"gate-{name}"

    def close(self) -> None:
        """Stop the sandbox and everything that runs in it.

        Raises:
            AssertionError: Processes are left.
        """
        sandbox_process.stop(self.running())
        wait_for_no_orphans(self.scratch)


def _isolate(scratch: Path) -> None:
    """Isolate the campaign from the user's environment, logins and files."""
    for name in list(os.environ):
        if name.startswith(("DATABRICKS_", "KEDRO_", "SPARK_", "PYSPARK_", "GIT_", "XDG_")):
            del os.environ[name]
    (scratch / "tmp").mkdir()
    os.environ |= {
        "HOME": str(scratch),
        "TMPDIR": str(scratch / "tmp"),
        "DO_NOT_TRACK": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "GIT_CONFIG_NOSYSTEM": "1",
        "KEDRO_DATABRICKS_SANDBOX_HOME": str(scratch / "home"),
        "KEDRO_DATABRICKS_STATE": str(scratch / "state"),
    }
    for role in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{role}_NAME": "Soak", f"GIT_{role}_EMAIL": "soak@example.com"}


def _user(scratch: Path, name: str, login: str, token: str) -> User:
    folder = scratch / re.sub(r"\W.*", "", name) / "shop"
    make_project(folder).write(
        {
            ".gitignore": "/data/\n__pycache__/\n",
            NODES: _NODES.format(factor=1),
            RAW: _FIRST_RAW,
            "conf/base/catalog.yml": _CATALOG,
            "conf/base/parameters.yml": "what: go\n",
            "conf/base/databricks.yml": _SETTINGS,
            "conf/databricks/databricks.yml": "data:\n  root: dbfs:/soak/{user}\n",
            "conf/team/databricks.yml": "data:\n  root: dbfs:/soak/team\n",
        }
    )
    # Forked commands would be children of the fork server, and count as orphans.
    shell = Shell(folder, scratch / "home", patience=180, installed=True)
    for link, target in LINKS.items():
        (folder / link).symlink_to(target)
    user = User(name, shell, login, token, History("", {}, _FIRST_RAW))
    shell.ok("git init -q -b main")
    shell.ok(f"git init -q --bare -b main {folder.parent / 'remote.git'}")
    shell.ok(f"git remote add origin {folder.parent / 'remote.git'}")
    user.ok("notebook")
    shell.ok("git add .")
    user.edit(1)
    return user
