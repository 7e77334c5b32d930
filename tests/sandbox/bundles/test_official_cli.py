"""The Databricks CLI on the sandbox: notebooks by name, sync, and a bundle from deployment to destruction.

`requests.json` has the requests that version 1.14 of it sent in this walk, in their order. Each step has the
request (`send`) with its `body`, or the `file` of the bundle that it uploads; and of the answer its `status`,
its fields (`has`), the values that are compared (`shows`), and those that name something new (`take`), which
later steps have as `{name}`. A step with `until` is repeated until the answer has these values.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.wheels import wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.sandbox.conftest import Running

HERE = Path(__file__).parent
HOME = "/Workspace/Users/user@example.com"
PROGRAM = "import sys\ndef main(): print(sys.argv)\n"
NOTEBOOK = b'# Databricks notebook source\ndbutils.notebook.exit("looked")\n'
_POLL_SECONDS = 0.1

pytestmark = pytest.mark.processes


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return a folder with the bundle and its wheel."""
    folder = tmp_path / "bundle"
    name, content = wheel("walk", entry_point="main=walk:main", walk=PROGRAM)
    files = {
        "databricks.yml": (HERE / "databricks.yml").read_bytes(),
        "notes/look.py": NOTEBOOK,
        "notes/read.txt": b"A file.\n",
        f"dist/{name}": content,
    }
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.fixture
def standard(start_sandbox: Callable[..., Running]) -> Running:
    """Return a sandbox that is like a new workspace."""
    return start_sandbox(like="standard")


def test_every_request_is_answered(standard: Running, bundle: Path) -> None:
    """As the command line needs it; the runs print their parameters, and nothing is left at the end."""
    http, names = standard.http(), dict[str, str]()
    for step in json.loads((HERE / "requests.json").read_bytes()):
        _perform(http, step, names, bundle)
    _nothing_is_left(standard)


def _perform(http: httpx.Client, step: dict[str, Any], names: dict[str, str], bundle: Path) -> None:
    method, _, address = _filled(step["send"], names).partition(" ")
    if "file" in step:
        content = (bundle / step["file"]).read_bytes()
    else:
        content = _filled(json.dumps(step["body"]), names).encode() if "body" in step else b""
    while True:
        answer = http.request(method, address, content=content)
        assert answer.status_code == step["status"], (step["send"], answer.text)
        found = answer.json() if answer.headers.get("content-type") == "application/json" else {}
        if all(_at(found, pointer) == value for pointer, value in step.get("until", {}).items()):
            break
        time.sleep(_POLL_SECONDS)
    assert set(step.get("has", ())) <= found.keys(), step["send"]
    for pointer, value in step.get("shows", {}).items():
        assert _at(found, pointer) == value, (step["send"], pointer)
    for pointer, name in step.get("take", {}).items():
        names[name] = str(_at(found, pointer))


def _filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f'"{{{name}:int}}"', value).replace(f"{{{name}}}", value)
    return text


def _at(document: Any, pointer: str) -> Any:
    for key in pointer.split("."):
        document = document[int(key)] if isinstance(document, list) else document.get(key)
    return document


def _nothing_is_left(standard: Running) -> None:
    workspace = standard.workspace()
    assert list(workspace.jobs.list()) == []
    assert [schema.name for schema in workspace.schemas.list("main")] == ["default"]
    assert standard.sandbox.permissions.keys_below("") == []
    assert not (standard.sandbox.layout.workspace / "Users/user@example.com/.bundle/walk/default").exists()


@pytest.mark.official_cli
def test_the_command_line(standard: Running, bundle: Path) -> None:
    """The same walk with the command line itself."""

    def databricks(*arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            ["databricks", *arguments],
            cwd=bundle,
            env={
                **os.environ,
                "DATABRICKS_HOST": standard.url,
                "DATABRICKS_TOKEN": standard.sandbox.user.token,
                "DATABRICKS_CONFIG_FILE": str(bundle / "none"),
                "DATABRICKS_BUNDLE_ENGINE": "direct",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    databricks("workspace", "import-dir", "notes", f"{HOME}/notes")
    assert databricks("workspace", "export", f"{HOME}/notes/look").startswith("# Databricks notebook source")
    databricks("sync", "notes", f"{HOME}/synced", "--full")
    assert "Validation OK!" in databricks("bundle", "validate")
    databricks("bundle", "deploy")
    assert f"{standard.url}/jobs/" in databricks("bundle", "summary")
    assert "['walk', 'hi']" in databricks("bundle", "run", "parameters", "--params", "greeting=hi")
    assert "['walk', 'a', 'b']" in databricks("bundle", "run", "arguments", "--python-params", "a,b")
    assert "0 to add, 0 to change, 0 to delete" in databricks("bundle", "plan")
    databricks("bundle", "destroy", "--auto-approve")
    _nothing_is_left(standard)
