"""Operations on paths have the same results in all kinds of kernels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kedro_databricks_hybrid.sandbox.kernel import kinds
from tests.sandbox.kernel import path_operations
from tests.sandbox.users_of_the_machine import KINDS

pytestmark = pytest.mark.processes

FOLDERS = (
    "/Workspace/a b ü",
    "/Workspace/Users/me/a b ü",
    "/Volumes/folder",
    "/dbfs/a b ü",
    "/databricks/folder",
    "/local_disk0/a b ü",
    "/local_disk0/.libraries/folder",
)

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module", params=KINDS)
def inside(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs a command with a kernel's folders, some of them hidden."""
    home = tmp_path_factory.mktemp("home of ü", numbered=True)
    for name in ("Workspace/Users/me", "Workspace/Users/other", "Volumes", "dbfs", "libraries"):
        (home / name).mkdir(parents=True)
    for name in ("own/databricks", "own/disk"):
        (home / name).mkdir(parents=True)
    (home / "Workspace/Users/other/secret").write_text("secret")
    (home / "state").write_text("secret")
    (home / "Workspace/home").symlink_to(home)
    binds = [
        ("-", home),
        (home / "own", home / "own"),
        (home / "Workspace", "/Workspace"),
        ("-", "/Workspace/Users"),
        (home / "Workspace/Users/me", "/Workspace/Users/me"),
        (home / "dbfs", "/dbfs"),
        (home / "Volumes", "/Volumes"),
        (home / "own/databricks", "/databricks"),
        (home / "own/disk", "/local_disk0"),
        (home / "libraries", "/local_disk0/.libraries"),
        (home / "dbfs", "/local_disk0/.dbfs"),
    ]
    bound = [word for source, target in binds for word in ("--bind", str(source), str(target))]
    program = kinds.chosen(request.param).program(home / "own")

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        started = [*program, "--parent", str(os.getpid()), *bound, "--cwd", "/databricks", "--", *command]
        return subprocess.run(started, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.fixture(scope="module")
def outcomes(inside: Run) -> dict[str, dict[str, Any]]:
    """Return the result of every operation in every folder."""
    done = inside(sys.executable, path_operations.__file__, *FOLDERS)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", path_operations.OPERATIONS)
def test_an_operation_does_the_same_at_every_root(name: str, outcomes: dict[str, dict[str, Any]]) -> None:
    """Every operation has its expected result in every root, also with spaces and non-ASCII letters."""
    _, expected = path_operations.OPERATIONS[name]
    text = json.dumps(expected)
    assert outcomes[name] == {
        folder: json.loads(text.replace("{f}", json.dumps(folder)[1:-1])) for folder in outcomes[name]
    }


REFUSED = {
    "os.rmdir('/Workspace')": "EBUSY",
    "os.rmdir('/Workspace/Users/me')": "EROFS",
    "os.rename('/dbfs', '/elsewhere')": "EBUSY",
    "os.rename('/Volumes', '/Workspace/x')": "EXDEV",
    "os.rename('/Workspace/x', '/Workspace/Users')": "EBUSY",
    "os.rename('/Workspace/x', '/dbfs/x')": "EXDEV",
    "os.rename('/Workspace/x', '/tmp/x')": "EXDEV",
    "os.link('/Workspace/x', '/dbfs/x')": "EXDEV",
    "os.mkdir('/Workspace/Users')": "EEXIST",
    "os.mkdir('/Workspace/Users/new')": "EROFS",
    "os.mkdir('Users/new')": "EROFS",
    "os.symlink('x', '/Workspace/Users/new')": "EROFS",
    "os.chmod('/Workspace/Users', 0o777)": "EROFS",
    "open('/Workspace/Users/new', 'w')": "EROFS",
    "os.unlink('/Workspace/Users/new')": "EROFS",
    "open('/Workspace/Users/other/secret')": "ENOENT",
    "open('Users/other/secret')": "ENOENT",
    "open('Users/me/../other/secret')": "ENOENT",
    "open('Users/me/relative')": "ENOENT",
    "open('Users/me/absolute')": "ENOENT",
    "open('home/state')": "ENOENT",
    "open(home + '/state')": "ENOENT",
    "open(home + '/new', 'w')": "EROFS",
    "os.open('other/secret', 0, dir_fd=os.open('/Workspace/Users', os.O_RDONLY))": "ENOENT",
}


@pytest.fixture(scope="module")
def refusals(inside: Run) -> dict[str, str]:
    """Return the error of each attempt."""
    program = """
import errno, json, os, sys
os.chdir("/Workspace")
os.mkdir("x")
os.symlink("../other/secret", "/Workspace/Users/me/relative")
os.symlink("/Workspace/Users/other/secret", "/Workspace/Users/me/absolute")
home = os.readlink("/Workspace/home")
errors = {}
for attempt in sys.argv[1:]:
    try:
        eval(attempt)
        errors[attempt] = ""
    except OSError as error:
        errors[attempt] = errno.errorcode[error.errno]
print(json.dumps(errors))
"""
    done = inside(sys.executable, "-c", program, *REFUSED)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("attempt", REFUSED)
def test_what_is_refused(attempt: str, refusals: dict[str, str]) -> None:
    """Roots cannot be removed, nothing moves between them, and hidden files cannot be read or created."""
    assert refusals[attempt] == REFUSED[attempt]


def test_listings_show_what_is_not_hidden(inside: Run) -> None:
    """The top folder lists the roots and the machine's folders; hidden folders list only the user's."""
    done = inside(
        "sh", "-c", "ls -A /; ls /Workspace/Users; cd /Workspace/Users/me; ls ..; ls ../../.. | grep -c ."
    )
    *shown, own, other, number = done.stdout.split()
    assert (own, other) == ("me", "me")
    roots = {"Workspace", "dbfs", "Volumes", "databricks", "local_disk0"}
    assert sorted(shown) == sorted({*(path.name for path in Path("/").iterdir()), *roots})
    assert int(number) == len([name for name in shown if not name.startswith(".")])


def test_one_folder_at_two_paths_is_one(inside: Run) -> None:
    """A file written at one path can be read at the other, and realpath keeps the given path."""
    script = (
        "echo text > /local_disk0/.dbfs/twin; cat /dbfs/twin; realpath /dbfs/twin /local_disk0/.dbfs/twin"
    )
    assert inside("sh", "-c", script).stdout.split() == ["text", "/dbfs/twin", "/local_disk0/.dbfs/twin"]


def test_java_sees_the_same(inside: Run) -> None:
    """Hadoop's shell reads, lists and writes with both file APIs of Java."""
    import pyspark

    from kedro_databricks_hybrid.spark import java

    home = java.java_home()
    assert home is not None
    jars = f"{Path(pyspark.__file__).parent}/jars/*"
    shell = f"'{home}/bin/java' -XX:TieredStopAtLevel=1 -cp '/databricks:{jars}' org.apache.hadoop.fs.FsShell"
    script = f"""
echo '<configuration/>' > /databricks/core-site.xml
mkdir -p '/dbfs/a b ü' && echo text > '/dbfs/a b ü/x' && cd '/dbfs/a b ü' && export LC_ALL=C.UTF-8
{shell} -cp 'file:///dbfs/a b ü/x' file:///Volumes/y && {shell} -cat file:///Volumes/y
"""
    done = inside("sh", "-c", script)
    assert done.stdout == "text\n", done.stderr
